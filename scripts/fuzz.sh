#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME, 30 seconds by default. What it finds is
# left in the package's testdata/fuzz: commit it, it is a seed from then on.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

targets=$(grep -rn --include='*_test.go' -oP '^func \KFuzz\w+' backend | sort)
[[ -n $targets ]] || { echo "no fuzz target found" >&2; exit 1; }
while IFS=: read -r file _ target; do
  echo "== $target"
  go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}"
done <<<"$targets"
