data "tokenexchange_jwks" "this" {
  mount = "token-exchange"
}

# For a consumer that cannot fetch the keys. Run Terraform again before a key
# rotates: the file must have the successor by then.
output "jwks" {
  value = data.tokenexchange_jwks.this.keys_json
}
