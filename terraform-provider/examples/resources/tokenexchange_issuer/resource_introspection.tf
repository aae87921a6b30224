# An issuer of opaque tokens. Its client secret is write-only (Terraform 1.11):
# neither the state nor a plan has it.
variable "introspection_client_secret" {
  type      = string
  ephemeral = true
}

resource "tokenexchange_issuer" "corp" {
  name              = "corp"
  bound_issuer      = "https://login.corp.example"
  bound_audiences   = ["https://vault.example.com"]
  introspection_url = "https://login.corp.example/introspect"

  introspection_client_id                = "vault"
  introspection_client_secret_wo         = var.introspection_client_secret
  introspection_client_secret_wo_version = 1
}
