import {
  to = tokenexchange_key.main
  id = "token-exchange/keys/main"
}
