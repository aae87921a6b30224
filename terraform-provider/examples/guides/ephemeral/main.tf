terraform {
  required_version = ">= 1.11"

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
  mount             = var.mount
  issuer            = "${var.vault_address}/v1/${var.mount}"
  default_key       = tokenexchange_key.main.name
  allowed_audiences = [var.target_address]
}

resource "tokenexchange_issuer" "ci" {
  mount              = var.mount
  name               = "ci"
  bound_issuer       = var.ci_issuer
  oidc_discovery_url = var.ci_jwks == null ? var.ci_issuer : null
  jwks               = var.ci_jwks
  bound_audiences    = [var.vault_address]
}

resource "tokenexchange_role" "terraform" {
  mount         = var.mount
  name          = "terraform"
  issuers       = [tokenexchange_issuer.ci.name]
  bound_subject = var.ci_subject

  allowed_audiences = [var.target_address]
  default_audience  = var.target_address
  ttl               = "5m"
  generate_lease    = true

  depends_on = [tokenexchange_config.this]
}

ephemeral "tokenexchange_token" "target" {
  mount         = var.mount
  role          = tokenexchange_role.terraform.name
  subject_token = var.ci_token

  # Before the role exists there is nothing to exchange: this is known as soon as
  # it does, so the first plan leaves the exchange to the apply.
  mount_id = tokenexchange_role.terraform.role_id
}

# The other provider. Here it is this one, for another Vault; any provider that
# takes a token is configured in the same way.
provider "tokenexchange" {
  alias   = "target"
  address = var.target_address

  auth_login_jwt {
    mount = var.target_auth_mount
    role  = "terraform"
    jwt   = ephemeral.tokenexchange_token.target.access_token
  }
}

# The other Vault trusts the tokens of this one.
resource "tokenexchange_issuer" "here" {
  provider = tokenexchange.target

  mount           = var.target_mount
  name            = "here"
  bound_issuer    = tokenexchange_config.this.issuer
  jwks_url        = "${tokenexchange_config.this.issuer}/.well-known/keys"
  bound_audiences = [var.target_address]
}
