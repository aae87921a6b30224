import {
  to = tokenexchange_role.orders
  identity = {
    mount = "token-exchange"
    name  = "orders"
  }
}
