import {
  to = tokenexchange_role.orders
  id = "token-exchange/roles/orders"
}
