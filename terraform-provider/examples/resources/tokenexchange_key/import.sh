terraform import tokenexchange_key.main token-exchange/keys/main
