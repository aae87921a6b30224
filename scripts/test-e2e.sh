#!/usr/bin/env bash
# Runs the end-to-end tests against a real Vault, and a real identity provider
# where there is Node.js. Arguments go to `go test`: scripts/test-e2e.sh -run Revoke
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

build_engine
VAULT_BIN=$(scripts/vault.sh)
IDP_DIR=
if install_modules idp; then
  IDP_DIR=$root/scripts/idp
fi
# A copy: a build that runs at the same time must not change the binary whose
# checksum Vault was told.
PLUGIN_DIR=$(mktemp -d)
trap 'rm -rf "$PLUGIN_DIR"' EXIT
cp "bin/$plugin" "$PLUGIN_DIR/"
export VAULT_BIN IDP_DIR PLUGIN_DIR
# What begins with TestOAuth is for scripts/test-clients.sh.
go test -race -tags e2e -count=1 -timeout 20m -skip '^TestOAuth' "$@" ./backend/e2e/...
