#!/usr/bin/env bash
# Builds a release for this platform, twice, and installs it as
# docs/how-to/install-a-release.md says. COLD=1 lets the second build take nothing
# from the first one's cache; that takes minutes.
#
# shellcheck disable=SC2016 # a quoted $1 and backquotes are meant as they are
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

page=docs/how-to/install-a-release.md
provider="terraform-provider-tokenexchange"
vault=$(scripts/vault.sh)
terraform=$(scripts/terraform.sh)
work=$(mktemp -d)
trap 'stop_all; rm -rf "$work"' EXIT
# The page calls them by these names, and unpacks with unzip.
mkdir "$work/bin" "$work/plugins" "$work/home" "$work/mirror"
ln -s "$terraform" "$work/bin/terraform"
ln -s "$vault" "$work/bin/vault"
if ! command -v unzip >/dev/null; then
  go build -o "$work/zip" ./scripts/zip
  printf '#!/bin/sh\nexec "%s/zip" -x "$1"\n' "$work" >"$work/bin/unzip"
  chmod +x "$work/bin/unzip"
fi

fail() {
  echo "--- FAIL: $*" >&2
  exit 1
}

# refused REASON COMMAND... expects no release, for that reason.
refused() {
  local reason=$1 output
  shift
  if output=$("$@" 2>&1); then
    fail "a release was built, but should not be: $reason"
  fi
  [[ $output == *"$reason"* ]] || fail "expected \"$reason\", but: $output"
}

# What is not committed is tested as well, so it is copied, and the copies are not
# git's. The paths differ in length too.
export PLATFORMS
PLATFORMS=$(go env GOHOSTOS)_$(go env GOHOSTARCH)
unset VERSION ALLOW_DIRTY RELEASE_GPG_KEY
files=()
while IFS= read -r -d '' file; do
  [[ ! -e $file ]] || files+=("$file") # one may have been deleted
done < <(git ls-files -z --cached --others --exclude-standard)
first=$work/one second=$work/another/place
mkdir -p "$first" "$second"
cp --parents -t "$first" -- "${files[@]}"
cp --parents -t "$second" -- "${files[@]}"

echo "what is refused"
refused "must be like v1.2.3" env VERSION=0.1 "$first/scripts/release.sh"
refused "backend.go says v" env VERSION=v9.9.9 "$first/scripts/release.sh"
refused "a platform must be like" env PLATFORMS=linux "$first/scripts/release.sh"
git init -q "$work/dirty"
cp -r "$first/." "$work/dirty"
refused "not committed" "$work/dirty/scripts/release.sh"
# Also where git is told not to look at new files.
git -C "$work/dirty" config status.showUntrackedFiles no
refused "not committed" "$work/dirty/scripts/release.sh"

echo "two builds, the second one with a signature where there is gpg"
"$first/scripts/release.sh"
if command -v gpg >/dev/null && command -v gpg-agent >/dev/null; then
  export GNUPGHOME=$work/gnupg
  mkdir -m 700 "$GNUPGHOME"
  trap 'gpgconf --kill all; stop_all; rm -rf "$work"' EXIT # ends the agent of this home
  gpg --batch --quiet --passphrase '' --quick-generate-key release-test rsa2048 sign never
  export RELEASE_GPG_KEY=release-test
fi
if [[ ${COLD-} == 1 ]]; then
  export GOCACHE=$work/gocache
fi
printf 'go 1.26\n\nuse ./elsewhere\n' >"$second/go.work" # somebody's own
(
  umask 077
  GOFLAGS=-trimpath=false GOAMD64=v3 "$second/scripts/release.sh"
)
content() {
  (cd "$1/dist" && sha256sum -- *.zip *.json *SUMS)
}
[[ $(content "$first") == "$(content "$second")" ]] ||
  fail "the two builds differ:"$'\n'"$(content "$first")"$'\n'"$(content "$second")"
if [[ -n ${RELEASE_GPG_KEY-} ]]; then
  signatures=("$second"/dist/*.sig)
  ((${#signatures[@]} == 3)) || fail "there are ${#signatures[@]} signatures"
  for signature in "${signatures[@]}"; do
    gpg --batch --quiet --verify "$signature" "${signature%.sig}"
  done
fi

version=$(sed -n 's/^var Version = "\(.*\)"$/\1/p' backend/backend.go)
expected="${plugin}_${version}_$PLATFORMS.zip
${plugin}_${version}_BINARY_SHA256SUMS
${plugin}_${version}_SHA256SUMS
${provider}_${version#v}_$PLATFORMS.zip
${provider}_${version#v}_SHA256SUMS
${provider}_${version#v}_manifest.json"
[[ $(LC_ALL=C ls "$first/dist") == "$(LC_ALL=C sort <<<"$expected")" ]] ||
  fail "these are not the files of a release: $(ls "$first/dist")"
(cd "$first/dist" && sha256sum --strict -c -- *"_${version}_SHA256SUMS" *"_${version#v}_SHA256SUMS")
grep -qx "VERSION=$version" "$page" || fail "$page is not about $version"

# The commands of the page, in the directory with the files and on a real Vault.
# What the developer has set for another Terraform must not reach this one.
unset "${!TF_@}"
export CHECKPOINT_DISABLE=1
start_vault "$vault" "127.0.0.1:$(free_port)" "$work/vault.log" "$work/plugins"
cd "$first/dist"
export HOME=$work/home PATH=$work/bin:$PATH
export VERSION=$version PLATFORM=$PLATFORMS PLUGIN_DIRECTORY=$work/plugins MIRROR=$work/mirror
export REGISTRY=registry.terraform.io
if [[ $(terraform version) == OpenTofu* ]]; then
  REGISTRY=registry.opentofu.org
fi
commands=$(sed -n '/^```sh$/,/^```$/p' "$root/$page" | grep -v '^```')
bash -euo pipefail -x <<<"$commands"

echo "what came of it"
[[ $(vault read -field=running_plugin_version sys/mounts/token-exchange) == "$version" ]] ||
  fail "the mount does not run $version"
vault write token-exchange/keys/main algorithm=ES256 >/dev/null
[[ $(./"$plugin" -version) == "$version" ]] || fail "the engine's binary does not say $version"
mkdir unpacked
(cd unpacked && unzip "../${provider}_${version#v}_$PLATFORMS.zip")
[[ $(unpacked/"${provider}_$version" --version) == "${version#v}" ]] || fail "the provider's binary does not say ${version#v}"
[[ $(terraform version) == *"+ provider $REGISTRY/tokenexchange/tokenexchange $version"* ]] ||
  fail "Terraform has not installed $version"
# For this it must start the provider.
[[ $(terraform providers schema -json) == *"\"$REGISTRY/tokenexchange/tokenexchange\""* ]] ||
  fail "Terraform does not know the schema of the provider"
echo "ok: a release in $SECONDS seconds"
