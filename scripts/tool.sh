#!/usr/bin/env bash
# Runs a development tool at the version that scripts/tools pins:
#   scripts/tool.sh golangci-lint run
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

case ${1-} in
golangci-lint) package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint duration="2 minutes" ;;
benchstat) package=golang.org/x/perf/cmd/benchstat duration="10 seconds" ;;
tfplugindocs) package=github.com/hashicorp/terraform-plugin-docs/cmd/tfplugindocs duration="30 seconds" ;;
*)
  echo "usage: tool.sh golangci-lint|benchstat|tfplugindocs [ARGUMENT...]" >&2
  exit 2
  ;;
esac
name=$1
shift
exec "$(cached_build "$name" "$duration" tools "$package")" "$@"
