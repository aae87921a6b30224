#!/usr/bin/env bash
# Prints the path of a Terraform for the tests of the provider:
#   scripts/terraform.sh       $TF_ACC_TERRAFORM_PATH, else a new enough `terraform`
#                              on PATH, else OpenTofu
#   scripts/terraform.sh tofu  OpenTofu: a new enough `tofu` on PATH, else one built
#                              from scripts/tofu
#   scripts/terraform.sh all   the first, and OpenTofu if that is another one and can
#                              be had without building it, or if TERRAFORM_BOTH=1
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

chosen=${TF_ACC_TERRAFORM_PATH-}
# What the developer has set for Terraform must not change what `version` prints.
unset "${!TF_@}"
export CHECKPOINT_DISABLE=1

# Without the last one OpenTofu calls itself a development version.
tofu_flags=(-ldflags '-s -w -X github.com/opentofu/opentofu/version.dev=no')

# on_path NAME PRODUCT prints the path of a command that is new enough for
# write-only attributes, which both products have since 1.11.
on_path() {
  local found version
  found=$(type -P "$1") || return 1
  version=$("$found" version) || version="it does not run"
  version=${version%%$'\n'*}
  if [[ $version =~ ^$2\ v([0-9]+)\.([0-9]+)\. ]] &&
    ((BASH_REMATCH[1] > 1 || BASH_REMATCH[1] == 1 && BASH_REMATCH[2] >= 11)); then
    printf '%s\n' "$found"
    return
  fi
  echo "not used, because it is not $2 1.11 or later: $found ($version)" >&2
  return 1
}

built_tofu() {
  local tofu want
  tofu=$(cached_build tofu "6 minutes" tofu github.com/opentofu/opentofu/cmd/tofu "${tofu_flags[@]}")
  # Tests ask for the version, and a development version is older than its release.
  want=$(go list -C "$root/scripts/tofu" -mod=readonly -m -f '{{.Version}}' github.com/opentofu/opentofu)
  if [[ $("$tofu" version) != "OpenTofu $want"$'\n'* ]]; then
    echo "$tofu should report $want, but: $("$tofu" version)" >&2
    return 1
  fi
  printf '%s\n' "$tofu"
}

tofu() {
  on_path tofu OpenTofu || built_tofu
}

first() {
  local found
  if [[ -n $chosen ]]; then
    # The tests run in other directories, and take a path.
    found=$(type -P "$chosen") || {
      echo "TF_ACC_TERRAFORM_PATH is no command: $chosen" >&2
      return 1
    }
    realpath -s "$found"
  else
    on_path terraform Terraform || tofu
  fi
}

case ${1-} in
'') first ;;
tofu) tofu ;;
all)
  terraform=$(first)
  printf '%s\n' "$terraform"
  if [[ $("$terraform" version) == OpenTofu* ]]; then
    exit
  fi
  if ! on_path tofu OpenTofu &&
    [[ ${TERRAFORM_BOTH-} == 1 || -x $(cached_path tofu tofu "${tofu_flags[@]}") ]]; then
    built_tofu
  fi
  ;;
*)
  echo "usage: terraform.sh [tofu|all]" >&2
  exit 2
  ;;
esac
