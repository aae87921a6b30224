#!/usr/bin/env bash
# Runs the acceptance tests of the Terraform provider against a real Vault, through
# a real Terraform, and once more through OpenTofu where both are there
# (TERRAFORM_BOTH=1 builds it). Arguments go to `go test`:
#   scripts/test-terraform.sh -run Role
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

terraforms=$(scripts/terraform.sh all)
vault=$(scripts/vault.sh)
build_engine

work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT
# A copy: a build that runs at the same time must not change the binary whose
# checksum Vault was told.
PLUGIN_DIR=$work/plugins
mkdir "$PLUGIN_DIR"
cp "bin/$plugin" "$PLUGIN_DIR/"

# What the developer has set for another Terraform, in the environment or in
# ~/.terraformrc, must not reach this one.
unset "${!TF_@}"
: >"$work/terraformrc"
export TF_CLI_CONFIG_FILE=$work/terraformrc CHECKPOINT_DISABLE=1 TF_ACC=1

start_vault "$vault" "127.0.0.1:$(free_port)" "$work/vault.log" "$PLUGIN_DIR" -log-level=debug
export PLUGIN_DIR VAULT_BIN=$vault

status=0
while read -r terraform; do
  version=$("$terraform" version)
  echo "acceptance tests with ${version%%$'\n'*}"
  unset TF_ACC_PROVIDER_HOST TF_ACC_PROVIDER_NAMESPACE
  if [[ $version == OpenTofu* ]]; then
    # Terraform's registry is what the tests take by default.
    export TF_ACC_PROVIDER_HOST=registry.opentofu.org TF_ACC_PROVIDER_NAMESPACE=hashicorp
  fi
  TF_ACC_TERRAFORM_PATH=$terraform go test -tags e2e -count=1 -timeout 20m "$@" \
    ./terraform-provider/... </dev/null || status=1
done <<<"$terraforms"

stop_all # and so has all of the log
# This begins every JWT: {" in base64url. The random key may have it as well.
if sed '/^Unseal Key: /d' "$work/vault.log" | grep -E 'eyJ[A-Za-z0-9_-]{24}' >/dev/null; then
  echo "there is a token in the log of Vault" >&2
  status=1
fi
if ((status)); then
  echo "log of Vault:" >&2
  shorten_tokens <"$work/vault.log" >&2
fi
exit "$status"
