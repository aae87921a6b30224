#!/usr/bin/env bash
# Generates what documentation is generated: that of the Terraform provider,
# terraform-provider/docs, from its schemas, templates and examples, and
# docs/conformance.md from the tests.
#   scripts/docs.sh        writes it
#   scripts/docs.sh check  fails if it is not what would be written
# Neither a Terraform nor the network takes part.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

[[ $# == 0 || $* == check ]] || { echo "usage: docs.sh [check]" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go run ./scripts/schemajson >"$work/schema.json"
# In a copy: tfplugindocs empties the directory that it writes to.
cp -R terraform-provider/templates terraform-provider/examples "$work/"
for command in generate validate; do
  scripts/tool.sh tfplugindocs "$command" --provider-dir "$work" --provider-name tokenexchange \
    --providers-schema "$work/schema.json" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
done

go run ./scripts/conformance >"$work/conformance.md"

if [[ ${1-} == check ]]; then
  diff docs/conformance.md "$work/conformance.md" || { echo "docs/conformance.md is stale: run make docs" >&2; exit 1; }
  diff -r terraform-provider/docs "$work/docs" || { echo "terraform-provider/docs is stale: run make docs" >&2; exit 1; }
else
  cp "$work/conformance.md" docs/conformance.md
  rm -rf terraform-provider/docs
  cp -R "$work/docs" terraform-provider/docs
fi
