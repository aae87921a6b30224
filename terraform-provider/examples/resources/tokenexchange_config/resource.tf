resource "tokenexchange_key" "main" {
  name = "main"
}

resource "tokenexchange_config" "this" {
  issuer      = "https://vault.example.com/v1/token-exchange"
  default_key = tokenexchange_key.main.name

  # No role can allow more than this.
  allowed_audiences = ["https://*.example.com"]
  allowed_scopes    = ["orders:*"]
  max_ttl           = "30m"
}
