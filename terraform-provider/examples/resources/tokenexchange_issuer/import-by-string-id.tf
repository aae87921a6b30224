import {
  to = tokenexchange_issuer.idp
  id = "token-exchange/issuers/idp"
}
