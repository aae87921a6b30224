variable "user_token" {
  type      = string
  ephemeral = true
}

variable "service_token" {
  type      = string
  ephemeral = true
}

# A service acts for a user: the token is about the user, and says who acts.
ephemeral "tokenexchange_token" "for_user" {
  role             = "for-users"
  subject_token    = var.user_token
  actor_token      = var.service_token
  actor_token_type = provider::tokenexchange::token_type_uri("jwt")
  scope            = ["orders:read"]
}
