terraform {
  required_version = ">= 1.8"

  required_providers {
    tokenexchange = {
      source = "tokenexchange/tokenexchange"
    }
  }
}

# Address and token are in VAULT_ADDR and VAULT_TOKEN.
provider "tokenexchange" {}

resource "tokenexchange_key" "main" {
  mount             = var.mount
  name              = "main"
  rotation_period   = "720h"
  revoke_on_destroy = var.disposable
}

resource "tokenexchange_config" "this" {
  mount             = var.mount
  issuer            = "${var.vault_address}/v1/${var.mount}"
  default_key       = tokenexchange_key.main.name
  allowed_audiences = ["https://*.example.com"]
  allowed_scopes    = ["orders:*"]
}

resource "tokenexchange_issuer" "idp" {
  mount              = var.mount
  name               = "idp"
  bound_issuer       = var.idp_url
  oidc_discovery_url = var.idp_url
  bound_audiences    = [var.vault_address]
}

resource "tokenexchange_role" "orders" {
  mount         = var.mount
  name          = "orders"
  issuers       = [tokenexchange_issuer.idp.name]
  bound_subject = var.subject

  allowed_audiences = ["https://orders.example.com"]
  default_audience  = "https://orders.example.com"
  allowed_scopes    = ["orders:read"]
  default_scopes    = ["orders:read"]
  ttl               = "5m"

  depends_on = [tokenexchange_config.this]
}

output "role_id" {
  value = tokenexchange_role.orders.role_id
}
