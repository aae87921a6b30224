data "tokenexchange_keys" "all" {}

output "keys" {
  value = data.tokenexchange_keys.all.names
}
