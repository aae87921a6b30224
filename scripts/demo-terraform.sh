#!/usr/bin/env bash
# The life of a role on a real dev Vault, with Terraform: it configures the engine,
# a token is exchanged with what it has made, it finds nothing to change, and it
# destroys all of it, the token too.
#
# shellcheck disable=SC2016,SC2034 # `run` expands the variables, after showing them
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root" # so that the commands shown can be typed there
terraform=$(scripts/terraform.sh)
vault=$(scripts/vault.sh)
build_engine

work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT

go build -o "$work/provider/terraform-provider-tokenexchange" ./cmd/terraform-provider-tokenexchange

step() {
  printf '\n# %s\n' "$1"
}

# expect_active BOOLEAN checks the answer of an introspection.
expect_active() {
  if [[ $(answer_field active) != "$1" ]]; then
    echo "expected active to be $1" >&2
    return 1
  fi
}

# expect TEXT checks the last answer.
expect() {
  if [[ $answer != *"$1"* ]]; then
    echo "expected: $1" >&2
    return 1
  fi
}

# Terraform under its own name, whatever the binary is called. Nothing that is set
# for another one reaches it, and it takes the provider from here: no registry and
# no `init` are needed.
terraform() {
  (unset "${!TF_@}" && TF_CLI_CONFIG_FILE=$work/terraformrc CHECKPOINT_DISABLE=1 "$terraform" "$@" -no-color)
}
cat >"$work/terraformrc" <<END
provider_installation {
  dev_overrides { "tokenexchange/tokenexchange" = "$work/provider" }
}
END

start_vault "$vault" "127.0.0.1:$(free_port)" "$work/vault.log"
PASSWORD=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
step "A dev Vault at $VAULT_ADDR, with the engine among its plugins, and Vault itself as an identity provider"
run 'vault secrets enable -path=token-exchange vault-plugin-secrets-token-exchange'
vault_as_issuer
run 'SUBJECT_TOKEN=$(VAULT_TOKEN=$ALICE_TOKEN vault read -field=token identity/oidc/token/ci)'

step "A key, the configuration, an issuer and a role"
cat >"$work/main.tf" <<END
terraform {
  required_providers {
    tokenexchange = {
      source = "tokenexchange/tokenexchange"
    }
  }
}

provider "tokenexchange" {} # VAULT_ADDR, VAULT_TOKEN

resource "tokenexchange_key" "main" {
  name                = "main"
  algorithm           = "ES256"
  publication_lead    = "30m"
  rotation_period     = "2h"
  verification_period = "1h"
  revoke_on_destroy   = true
}

resource "tokenexchange_config" "this" {
  issuer            = "$VAULT_ADDR/v1/token-exchange"
  default_key       = tokenexchange_key.main.name
  allowed_audiences = ["https://*.example"]
  allowed_scopes    = ["orders:*"]
}

resource "tokenexchange_issuer" "idp" {
  name               = "idp"
  type               = "vault"
  bound_issuer       = "$VAULT_ADDR/v1/identity/oidc"
  oidc_discovery_url = "$VAULT_ADDR/v1/identity/oidc"
  bound_audiences    = ["https://vault.example"]
  allowed_addresses  = ["127.0.0.0/8"]
}

resource "tokenexchange_role" "orders" {
  name              = "orders"
  issuers           = [tokenexchange_issuer.idp.name]
  bound_subject     = "$ALICE_ID"
  allowed_audiences = ["https://orders.example"]
  default_audience  = "https://orders.example"
  allowed_scopes    = ["orders:read"]
  default_scopes    = ["orders:read"]
  subject_scopes    = "ignore" # Vault's identity tokens have none
  ttl               = "5m"
  depends_on        = [tokenexchange_config.this] # the guardrails of the mount
}
END
run 'cat "$work/main.tf"'
run 'terraform -chdir="$work" validate'
run 'terraform -chdir="$work" apply -auto-approve -input=false'
expect '4 added, 0 changed, 0 destroyed'

step "The exchange, with the role that Terraform has made"
run 'vault write token-exchange/exchange/orders subject_token="$SUBJECT_TOKEN"'
ACCESS_TOKEN=$(answer_field access_token)
run 'go run ./scripts/jwt "$ACCESS_TOKEN"'
run 'go run ./scripts/verify "$VAULT_ADDR/v1/token-exchange" https://orders.example "$ACCESS_TOKEN"'
run 'vault write token-exchange/introspect token="$ACCESS_TOKEN"'
expect_active true

step "There is nothing to change"
run 'terraform -chdir="$work" plan -detailed-exitcode -input=false'

step "Somebody changes the role by hand: Terraform shows it, and puts it right"
run 'vault write token-exchange/roles/orders ttl=30m'
status=0
run 'terraform -chdir="$work" plan -detailed-exitcode -input=false' || status=$?
if [[ $status != 2 ]]; then
  echo "expected a plan with a change, which ends with 2, not $status" >&2
  exit 1
fi
expect '"30m" -> "5m"'
run 'terraform -chdir="$work" apply -auto-approve -input=false'
expect '0 added, 1 changed, 0 destroyed'

step "Destroyed: nothing is left, and the token is dead"
run 'terraform -chdir="$work" apply -destroy -auto-approve -input=false'
expect '0 added, 0 changed, 4 destroyed'
run_refused 'vault list token-exchange/keys' 'No value found'
run_refused 'vault list token-exchange/issuers' 'No value found'
run_refused 'vault list token-exchange/roles' 'No value found'
run_refused 'vault read token-exchange/config' 'No value found'
run 'vault write token-exchange/introspect token="$ACCESS_TOKEN"'
expect_active false
run_refused 'vault write token-exchange/exchange/orders subject_token="$SUBJECT_TOKEN"' invalid_request

printf '\ndone in %d seconds; Vault is stopped\n' "$SECONDS"
