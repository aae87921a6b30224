terraform import tokenexchange_role.orders token-exchange/roles/orders
