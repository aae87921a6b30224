#!/usr/bin/env bash
# Leaves a dev Vault running, with the engine mounted and ready for an exchange.
# DEV_ADDR says where it listens; by default at Vault's usual port if that is free.
#
# shellcheck disable=SC2016,SC2034 # `run` expands the variables, after showing them
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ -z ${DEV_ADDR-} ]]; then
  port=8200
  if listening "$port"; then
    port=$(free_port)
  fi
  DEV_ADDR=127.0.0.1:$port
fi

cd "$root"
vault=$(scripts/vault.sh)
build_engine

log=$(mktemp "${TMPDIR:-/tmp}/vault-dev.XXXXXX")
work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT # on failure; disarmed below

start_vault "$vault" "$DEV_ADDR" "$log"
PASSWORD=$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')

run 'vault secrets enable -path=token-exchange vault-plugin-secrets-token-exchange'
# What the audit log may show in clear: none of it is secret.
run 'vault secrets tune -audit-non-hmac-request-keys=role -audit-non-hmac-request-keys=audience -audit-non-hmac-request-keys=resource -audit-non-hmac-request-keys=scope -audit-non-hmac-response-keys=jti -audit-non-hmac-response-keys=txn -audit-non-hmac-response-keys=subject -audit-non-hmac-response-keys=audience -audit-non-hmac-response-keys=scope token-exchange/'
# What OAuth clients send, and Vault keeps from plugins otherwise.
run 'vault secrets tune -passthrough-request-headers=Authorization -passthrough-request-headers=DPoP -passthrough-request-headers=Accept -allowed-response-headers=DPoP-Nonce -allowed-response-headers=Retry-After -allowed-response-headers=Allow token-exchange/'
run 'vault write token-exchange/keys/main algorithm=ES256'
run 'vault write token-exchange/config issuer="$VAULT_ADDR/v1/token-exchange" default_key=main allowed_audiences="https://*" allowed_scopes="*"'
vault_as_issuer
run 'vault write token-exchange/issuers/vault bound_issuer="$VAULT_ADDR/v1/identity/oidc" oidc_discovery_url="$VAULT_ADDR/v1/identity/oidc" bound_audiences=https://vault.example allowed_addresses=127.0.0.0/8'
run 'vault write token-exchange/roles/demo issuers=vault bound_audiences=https://vault.example bound_subject="$ALICE_ID" subject_scopes=ignore allowed_audiences=https://orders.example,https://billing.example allowed_scopes=orders:read,orders:write default_scopes=orders:read ttl=15m'

trap - EXIT
rm -rf "$work"

cat <<END

A dev Vault is running. In the shell where you want to use it:

  export VAULT_ADDR=$VAULT_ADDR
  export VAULT_TOKEN=$VAULT_TOKEN
  export PATH=$(dirname "$vault"):\$PATH

Then log in as alice, get her token from Vault's identity provider, and exchange it:

  ALICE_TOKEN=\$(vault login -method=userpass -token-only username=alice password=$PASSWORD)
  SUBJECT_TOKEN=\$(VAULT_TOKEN=\$ALICE_TOKEN vault read -field=token identity/oidc/token/ci)
  vault write token-exchange/exchange/demo subject_token="\$SUBJECT_TOKEN" audience=https://orders.example
  vault path-help token-exchange/

After a change to the engine, run the new build in the same Vault:

  make build
  vault plugin register -sha256=\$(sha256sum bin/$plugin | cut -d' ' -f1) secret $plugin
  vault plugin reload -plugin=$plugin

Its log is $log. To stop it and lose all it holds:

  kill $vault_pid
END
