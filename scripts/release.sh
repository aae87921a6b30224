#!/usr/bin/env bash
# Builds what a release consists of, engine and Terraform provider, into dist/. The
# same source and Go version give the same bytes, whoever builds and wherever.
#
#   VERSION=v0.1.0            refuse to build any other version; the version itself
#                             is in backend/backend.go
#   PLATFORMS=linux_amd64     not all platforms; several with spaces between them
#   RELEASE_GPG_KEY=KEY       sign the checksums
#   ALLOW_DIRTY=1             build although there are changes that are not committed
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

platforms=${PLATFORMS:-linux_amd64 linux_arm64 darwin_amd64 darwin_arm64 windows_amd64}
provider=terraform-provider-tokenexchange

refuse() {
  echo "no release: $*" >&2
  exit 1
}

source_version=$(sed -n 's/^var Version = "\(.*\)"$/\1/p' backend/backend.go)
version=${VERSION:-$source_version}
number='(0|[1-9][0-9]*)'
[[ $version =~ ^v$number\.$number\.$number(-[0-9A-Za-z.-]+)?$ ]] ||
  refuse "the version must be like v1.2.3 or v1.2.3-rc.1, but is $version"
[[ $version == "$source_version" ]] ||
  refuse "VERSION is $version, but backend/backend.go says $source_version"
# A source archive has no .git, and nothing to compare with.
if [[ -e .git && ${ALLOW_DIRTY-} != 1 && -n $(git status --porcelain --untracked-files=all) ]]; then
  git status --short >&2
  refuse "there are changes that are not committed; ALLOW_DIRTY=1 builds all the same"
fi
if [[ -n ${RELEASE_GPG_KEY-} ]]; then
  command -v gpg >/dev/null || refuse "RELEASE_GPG_KEY is set, but there is no gpg"
fi

# What a developer may have set, and what would change the bytes.
export GOFLAGS=-mod=readonly CGO_ENABLED=0 GOEXPERIMENT='' GOAMD64=v1 GOARM64=v8.0 GOFIPS140=off GOWORK=off

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/dist"
env -u GOOS -u GOARCH go build -o "$work/zip" ./scripts/zip

# build PACKAGE LDFLAGS OUT; without what git says about the checkout, which a
# source archive does not have.
build() {
  GOOS=${platform%_*} GOARCH=${platform#*_} \
    go build -trimpath -buildvcs=false -ldflags "-s -w $2" -o "$3" "$1"
}

for platform in $platforms; do
  [[ $platform =~ ^[a-z0-9]+_[a-z0-9]+$ ]] || refuse "a platform must be like linux_amd64, but is $platform"
  echo "building for $platform" >&2
  dir=$work/$platform suffix=
  [[ $platform == windows_* ]] && suffix=.exe
  build "./cmd/$plugin" '' "$dir/$plugin$suffix"
  build "./cmd/$provider" "-X main.version=${version#v}" "$dir/${provider}_$version$suffix"
  "$work/zip" "$work/dist/${plugin}_${version}_$platform.zip" "$dir/$plugin$suffix" LICENSE
  "$work/zip" "$work/dist/${provider}_${version#v}_$platform.zip" "$dir/${provider}_$version$suffix" LICENSE
  # `vault plugin register` wants the checksum of the binary, not of the archive.
  (cd "$work" && sha256sum "$platform/$plugin$suffix") >>"$work/binary_sums"
done

cd "$work/dist"
cp "$root/terraform-provider/terraform-registry-manifest.json" "${provider}_${version#v}_manifest.json"
sha256sum "${plugin}"_*.zip >"${plugin}_${version}_SHA256SUMS"
mv ../binary_sums "${plugin}_${version}_BINARY_SHA256SUMS"
# The names that the registries look for, and what they expect to be listed.
sha256sum "${provider}"_*.zip "${provider}"_*_manifest.json >"${provider}_${version#v}_SHA256SUMS"

if [[ -n ${RELEASE_GPG_KEY-} ]]; then
  for sums in *SHA256SUMS; do
    gpg --batch --yes --local-user "$RELEASE_GPG_KEY" --detach-sign --output "$sums.sig" "$sums"
  done
else
  echo "not signed: RELEASE_GPG_KEY is not set" >&2
fi

rm -rf "$root/dist"
mv "$work/dist" "$root/dist"
cd "$root"
ls -l dist
echo "$version, built with $(go env GOVERSION)"
