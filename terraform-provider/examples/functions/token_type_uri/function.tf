output "jwt" {
  # urn:ietf:params:oauth:token-type:jwt
  value = provider::tokenexchange::token_type_uri("jwt")
}
