terraform import tokenexchange_issuer.idp token-exchange/issuers/idp
