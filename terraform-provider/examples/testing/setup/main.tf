# What a mount needs before it can have roles. The tests make it and destroy it.
terraform {
  required_providers {
    tokenexchange = {
      source = "tokenexchange/tokenexchange"
    }
  }
}

variable "mount" {
  type = string
}

resource "tokenexchange_key" "main" {
  mount             = var.mount
  name              = "main"
  revoke_on_destroy = true
}

resource "tokenexchange_config" "this" {
  mount             = var.mount
  issuer            = "https://vault.example.com/v1/${var.mount}"
  default_key       = tokenexchange_key.main.name
  allowed_audiences = ["https://*.example.com"]
  allowed_scopes    = ["orders:*"]
}

resource "tokenexchange_issuer" "github" {
  mount           = var.mount
  name            = "github"
  type            = "github"
  bound_audiences = ["https://vault.example.com"]
}

output "issuer" {
  value = tokenexchange_config.this.issuer
}
