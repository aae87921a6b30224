# A pipeline logs in with the token that its CI system gives it.
variable "ci_token" {
  type      = string
  ephemeral = true
}

provider "tokenexchange" {
  address = "https://vault.example.com"

  auth_login_jwt {
    role = "terraform"
    jwt  = var.ci_token
  }
}
