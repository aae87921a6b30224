# The token that the CI system has given to this run.
variable "ci_token" {
  type      = string
  ephemeral = true
}

ephemeral "tokenexchange_token" "deploy" {
  role          = "deploy"
  subject_token = var.ci_token
  audience      = ["https://kubernetes.example.com"]
  ttl           = "10m"
}

# Another provider takes it; it is stored nowhere.
provider "tokenexchange" {
  alias   = "west"
  address = "https://vault-west.example.com"

  auth_login_jwt {
    role = "terraform"
    jwt  = ephemeral.tokenexchange_token.deploy.access_token
  }
}
