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
  mount             = var.mount
  issuer            = "${var.vault_address}/v1/${var.mount}"
  default_key       = tokenexchange_key.main.name
  allowed_audiences = values(var.pipelines)[*].audience
  allowed_scopes    = ["deploy:*"]
  max_ttl           = "15m"
}

# The type knows the URL of github.com, and refuses roles that any repository
# could fit.
resource "tokenexchange_issuer" "github" {
  mount           = var.mount
  name            = "github"
  type            = "github"
  bound_audiences = [var.vault_address]
}

resource "tokenexchange_role" "pipeline" {
  for_each = var.pipelines

  mount   = var.mount
  name    = each.key
  issuers = [tokenexchange_issuer.github.name]
  bound_claims = {
    repository_id       = each.value.repository_id
    repository_owner_id = each.value.repository_owner_id
    ref                 = each.value.ref
    event_name          = ["push", "workflow_dispatch"]
  }

  allowed_audiences = [each.value.audience]
  default_audience  = each.value.audience
  allowed_scopes    = ["deploy:write"]
  default_scopes    = ["deploy:write"]
  subject_scopes    = "ignore" # GitHub's tokens have none
  ttl               = "10m"

  # What the API writes into its own log.
  claims = {
    repository = "subject.repository"
    run_id     = "subject.run_id"
  }

  depends_on = [tokenexchange_config.this]
}
