#!/usr/bin/env bash
# Checks what can be checked without running the code.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

for script in scripts/*.sh .ci/run; do
  bash -n "$script"
done
if command -v shellcheck >/dev/null; then
  shellcheck --external-sources --source-path=SCRIPTDIR scripts/*.sh .ci/run
fi
go mod tidy -diff
go vet -tags e2e ./...
scripts/tool.sh golangci-lint run
scripts/tool.sh golangci-lint fmt --diff
scripts/docs.sh check
