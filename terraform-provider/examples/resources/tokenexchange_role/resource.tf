resource "tokenexchange_role" "orders" {
  name         = "orders"
  issuers      = [tokenexchange_issuer.idp.name]
  bound_claims = { groups = "order-clerks" }

  allowed_audiences = ["https://orders.example.com"]
  allowed_scopes    = ["orders:read", "orders:write"]
  default_scopes    = ["orders:read"]
  ttl               = "5m"

  # The engine holds a role against the guardrails of the mount: they come first.
  depends_on = [tokenexchange_config.this]
}

resource "tokenexchange_issuer" "idp" {
  name               = "idp"
  bound_issuer       = "https://idp.example.com"
  oidc_discovery_url = "https://idp.example.com"
  bound_audiences    = ["https://vault.example.com"]
}

resource "tokenexchange_key" "main" {
  name = "main"
}

resource "tokenexchange_config" "this" {
  issuer            = "https://vault.example.com/v1/token-exchange"
  default_key       = tokenexchange_key.main.name
  allowed_audiences = ["https://*.example.com"]
  allowed_scopes    = ["orders:*"]
}
