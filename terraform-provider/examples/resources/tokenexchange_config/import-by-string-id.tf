import {
  to = tokenexchange_config.this
  id = "token-exchange/config"
}
