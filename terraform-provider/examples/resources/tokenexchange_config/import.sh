terraform import tokenexchange_config.this token-exchange/config
