#!/usr/bin/env bash
# Runs OAuth clients and resource servers, as they are published, against a real
# Vault with the engine: by TLS, and behind nginx. Arguments go to `go test`:
# scripts/test-clients.sh -run OAuthWire
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

missing=()
PATH=$PATH:/usr/sbin # where Debian has servers, and not every user looks
command -v curl >/dev/null || missing+=(curl)
command -v nginx >/dev/null || missing+=(nginx)
command -v apache2 >/dev/null || missing+=(apache2-bin)
[[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ]] || missing+=(libapache2-mod-auth-openidc)
if ((${#missing[@]})); then
  echo "install these packages: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
if ! install_modules clients; then
  echo "install Node.js 20 or later, with npm" >&2
  exit 1
fi

build_engine
VAULT_BIN=$(scripts/vault.sh)
CLIENTS_DIR=$root/scripts/clients
# A copy: a build that runs at the same time must not change the binary whose
# checksum Vault was told.
PLUGIN_DIR=$(mktemp -d)
trap 'rm -rf "$PLUGIN_DIR"' EXIT
cp "bin/$plugin" "$PLUGIN_DIR/"
export VAULT_BIN CLIENTS_DIR PLUGIN_DIR
go test -race -tags e2e -count=1 -timeout 10m -run '^TestOAuth' "$@" ./backend/e2e
