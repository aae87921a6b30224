data "tokenexchange_clients" "all" {}

output "clients" {
  value = data.tokenexchange_clients.all.names
}
