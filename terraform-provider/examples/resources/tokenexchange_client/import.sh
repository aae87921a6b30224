terraform import tokenexchange_client.gateway token-exchange/clients/gateway
