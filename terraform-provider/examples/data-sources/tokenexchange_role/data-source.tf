data "tokenexchange_role" "orders" {
  name = "orders"
}

output "scopes" {
  value = data.tokenexchange_role.orders.allowed_scopes
}
