import {
  to = tokenexchange_key.main
  identity = {
    mount = "token-exchange"
    name  = "main"
  }
}
