import {
  to = tokenexchange_client.gateway
  id = "token-exchange/clients/gateway"
}
