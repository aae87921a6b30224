resource "tokenexchange_issuer" "idp" {
  name               = "idp"
  bound_issuer       = "https://idp.example.com"
  oidc_discovery_url = "https://idp.example.com"
  bound_audiences    = ["https://vault.example.com"]
}
