variable "ci_token" {
  type      = string
  ephemeral = true
}

# The claims are read, and nothing is verified: never decide by them who may do
# something. Here they tell early that the token is the wrong one.
check "audience" {
  assert {
    condition     = provider::tokenexchange::jwt_claims(var.ci_token).aud == "https://vault.example.com"
    error_message = "This token is not for Vault: ask the CI system for one with the audience https://vault.example.com."
  }
}
