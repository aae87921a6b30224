#!/usr/bin/env bash
# Prints the path of a Vault binary for the demo and the end-to-end tests: the
# `vault` on PATH if it is new enough, else one built from scripts/vault.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# 1.14 is the oldest version that the engine supports.
if found=$(command -v vault); then
  version=$("$found" version) || version="it does not run"
  if [[ $version =~ ^Vault\ v([0-9]+)\.([0-9]+)\. ]] &&
    ((BASH_REMATCH[1] > 1 || BASH_REMATCH[1] == 1 && BASH_REMATCH[2] >= 14)); then
    echo "$found"
    exit
  fi
  echo "not used, because it is not Vault 1.14 or later: $found ($version)" >&2
fi

vault=$(cached_build vault "6 minutes" vault github.com/hashicorp/vault -tags minimal)

# A server that does not say its version could not be told from an old one.
want=$(go list -C "$root/scripts/vault" -mod=readonly -m -f '{{.Version}}' github.com/hashicorp/vault)
if [[ $("$vault" version) != "Vault $want"[,\ ]* ]]; then
  echo "$vault should report $want, but: $("$vault" version)" >&2
  exit 1
fi
echo "$vault"
