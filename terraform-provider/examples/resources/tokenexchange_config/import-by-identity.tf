import {
  to = tokenexchange_config.this
  identity = {
    mount = "token-exchange"
  }
}
