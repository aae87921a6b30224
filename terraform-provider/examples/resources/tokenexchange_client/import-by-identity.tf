import {
  to = tokenexchange_client.gateway
  identity = {
    mount = "token-exchange"
    name  = "gateway"
  }
}
