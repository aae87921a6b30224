terraform {
  required_version = ">= 1.8"

  required_providers {
    tokenexchange = {
      source = "tokenexchange/tokenexchange"
    }
  }
}

provider "tokenexchange" {}

resource "tokenexchange_key" "main" {
  mount             = var.mount
  name              = "main"
  rotation_period   = "720h"
  revoke_on_destroy = var.disposable
}

resource "tokenexchange_config" "this" {
  mount                = var.mount
  issuer               = "${var.vault_address}/v1/${var.mount}"
  default_key          = tokenexchange_key.main.name
  allowed_audiences    = ["https://*.example.com"]
  allowed_scopes       = ["orders:*", "parcels:*"]
  max_delegation_depth = 2
}

# Where users sign in.
resource "tokenexchange_issuer" "users" {
  mount              = var.mount
  name               = "users"
  bound_issuer       = var.users_issuer
  oidc_discovery_url = var.users_issuer
  bound_audiences    = ["https://shop.example.com"]
}

# The shop calls the orders service for the user who is signed in to it.
resource "tokenexchange_role" "shop" {
  mount   = var.mount
  name    = "shop-for-users"
  issuers = [tokenexchange_issuer.users.name]
  # A token that the user has for the shop, and for nobody else.
  bound_audiences = ["https://shop.example.com"]
  bound_claims    = { groups = "customers" }

  delegation   = "required"
  actor_source = "caller"
  bound_actors = ["entity:${var.shop_entity_id}"]

  allowed_audiences = ["https://orders.example.com"]
  default_audience  = "https://orders.example.com"
  allowed_scopes    = ["orders:read", "orders:write"]
  default_scopes    = ["orders:read"]
  ttl               = "10m"

  depends_on = [tokenexchange_config.this]
}

# The orders service calls the parcels service, for the same user still.
resource "tokenexchange_role" "orders" {
  mount           = var.mount
  name            = "orders-for-users"
  issuers         = ["self"]
  bound_audiences = tokenexchange_role.shop.allowed_audiences

  delegation   = "required"
  actor_source = "caller"
  bound_actors = ["entity:${var.orders_entity_id}"]

  allowed_audiences = ["https://parcels.example.com"]
  default_audience  = "https://parcels.example.com"
  allowed_scopes    = ["orders:read"]
  default_scopes    = ["orders:read"]
  ttl               = "5m"
}
