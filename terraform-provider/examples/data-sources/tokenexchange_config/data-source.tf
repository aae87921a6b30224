data "tokenexchange_config" "this" {
  mount = "token-exchange"
}

# What a service needs to know to verify the tokens of the mount.
output "issuer" {
  value = data.tokenexchange_config.this.issuer
}
