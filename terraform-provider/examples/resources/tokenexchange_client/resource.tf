# A gateway that signs its assertions. Its name is its client_id.
resource "tokenexchange_client" "gateway" {
  name        = "gateway"
  auth_method = "private_key_jwt"
  jwks_url    = "https://gateway.example.com/jwks.json"
  role        = tokenexchange_role.orders.name
}

# A resource server that asks about the tokens that are for it.
resource "tokenexchange_client" "orders" {
  name        = "orders"
  auth_method = "client_secret_basic"
  audiences   = ["https://orders.example.com"]
}

resource "tokenexchange_role" "orders" {
  name              = "orders"
  issuers           = ["idp"]
  bound_claims      = { groups = "order-clerks" }
  allowed_audiences = ["https://orders.example.com"]
  allowed_scopes    = ["orders:read"]
  generate_lease    = false # tokens of OAuth clients have none
}
