data "tokenexchange_issuers" "all" {}

output "issuers" {
  value = data.tokenexchange_issuers.all.names
}
