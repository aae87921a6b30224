#!/usr/bin/env bash
# The main job on a real dev Vault, each step as a command and its answer: a CI
# runner trades the token of its own identity provider for a narrower one, a
# resource server verifies that, and Vault takes it back.
#
# shellcheck disable=SC2016,SC2034 # `run` expands the variables, after showing them
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root" # so that the commands shown can be typed there
vault=$(scripts/vault.sh)
build_engine

work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT

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

start_vault "$vault" "127.0.0.1:$(free_port)" "$work/vault.log"
step "A dev Vault at $VAULT_ADDR, with the engine among its plugins"
run 'vault secrets enable -path=token-exchange vault-plugin-secrets-token-exchange'
run 'vault write token-exchange/keys/main algorithm=ES256'
run 'vault write token-exchange/config issuer="$VAULT_ADDR/v1/token-exchange" default_key=main allowed_audiences="https://*" allowed_scopes="*"'

if install_modules idp; then
  start_idp "$work/idp.json" "$work/idp.log"
  step "An OpenID provider at $ISSUER, which knows the client ci-runner"
  run 'SUBJECT_TOKEN=$(node scripts/idp/token.mjs "$ISSUER" ci-runner "$CLIENT_SECRET" https://vault.example "orders:read orders:write")'
  subject=ci-runner
  scopes='subject_scopes=intersect'
else
  PASSWORD=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
  step "No Node.js 20 here: Vault's own OpenID provider takes the part of the identity provider"
  vault_as_issuer
  ISSUER=$VAULT_ADDR/v1/identity/oidc
  run 'SUBJECT_TOKEN=$(VAULT_TOKEN=$ALICE_TOKEN vault read -field=token identity/oidc/token/ci)'
  subject=$ALICE_ID
  scopes='subject_scopes=ignore' # its tokens have none that could be passed on
fi
run 'go run ./scripts/jwt "$SUBJECT_TOKEN"'

step "Whom the engine trusts, and what the role orders turns their tokens into"
run 'vault write token-exchange/issuers/idp bound_issuer="$ISSUER" oidc_discovery_url="$ISSUER" bound_audiences=https://vault.example allowed_addresses=127.0.0.0/8'
run "vault write token-exchange/roles/orders issuers=idp bound_audiences=https://vault.example bound_subject=$subject $scopes allowed_audiences=https://orders.example allowed_scopes=orders:read default_scopes=orders:read ttl=5m"

step "The exchange: one audience, one scope, five minutes"
run 'vault write token-exchange/exchange/orders subject_token="$SUBJECT_TOKEN" audience=https://orders.example scope=orders:read'
ACCESS_TOKEN=$(answer_field access_token)
LEASE_ID=$(answer_field lease_id)
run 'go run ./scripts/jwt "$ACCESS_TOKEN"'

step "What the role does not allow is refused"
run_refused 'vault write token-exchange/exchange/orders subject_token="$SUBJECT_TOKEN" audience=https://billing.example scope=orders:read' invalid_target
run_refused 'vault write token-exchange/exchange/orders subject_token="$SUBJECT_TOKEN" audience=https://orders.example scope=orders:write' invalid_scope

step "A resource server needs nothing but the issuer's address (Go, go-oidc)"
run 'go run ./scripts/verify "$VAULT_ADDR/v1/token-exchange" https://orders.example "$ACCESS_TOKEN"'
run_refused 'go run ./scripts/verify "$VAULT_ADDR/v1/token-exchange" https://billing.example "$ACCESS_TOKEN"' audience
if install_modules idp; then
  step "A second opinion (Node.js, jose)"
  run 'node scripts/idp/verify.mjs "$VAULT_ADDR/v1/token-exchange" https://orders.example "$ACCESS_TOKEN"'
fi

step "The token is alive: it can be introspected, and exchanged further down the chain"
run 'vault write token-exchange/introspect token="$ACCESS_TOKEN"'
expect_active true
run "vault write token-exchange/roles/billing issuers=self bound_audiences=https://orders.example bound_subject=idp:$subject allowed_audiences=https://billing.example allowed_scopes=orders:read default_scopes=orders:read"
run 'vault write token-exchange/exchange/billing subject_token="$ACCESS_TOKEN" audience=https://billing.example'
BILLING_TOKEN=$(answer_field access_token)

step "Vault takes it back, and with it what was exchanged from it"
run 'vault lease revoke -sync "$LEASE_ID"'
run 'vault write token-exchange/introspect token="$ACCESS_TOKEN"'
expect_active false
run 'vault write token-exchange/introspect token="$BILLING_TOKEN"'
expect_active false
run_refused 'vault write token-exchange/exchange/billing subject_token="$ACCESS_TOKEN" audience=https://billing.example' revoked

printf '\ndone in %d seconds; Vault and the provider are stopped\n' "$SECONDS"
