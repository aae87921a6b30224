import {
  to = tokenexchange_issuer.idp
  identity = {
    mount = "token-exchange"
    name  = "idp"
  }
}
