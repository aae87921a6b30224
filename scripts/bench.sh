#!/usr/bin/env bash
# Compares the engine's speed with that of its neighbours on a real dev Vault.
# Arguments go to scripts/bench: scripts/bench.sh -rounds 30
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

vault=$(scripts/vault.sh)
build_engine
work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT
go build -o "$work/bench" ./scripts/bench # before anything is measured

start_vault "$vault" "127.0.0.1:$(free_port)" "$work/vault.log"
"$work/bench" "$@"
