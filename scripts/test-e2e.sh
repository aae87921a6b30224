#!/usr/bin/env bash
# Runs the end-to-end tests against a real Vault, and a real identity provider
# where there is Node.js. Arguments go to `go test`: scripts/test-e2e.sh -run Revoke
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

build_engine
VAULT_BIN=$(scripts/vault.sh)
IDP_DIR=
if install_idp; then
  IDP_DIR=$root/scripts/idp
fi
export VAULT_BIN IDP_DIR PLUGIN_DIR=$root/bin
exec go test -race -tags e2e -count=1 -timeout 20m "$@" ./backend/e2e/...
