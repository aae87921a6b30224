# Functions shared by the scripts here. Source it, do not run it.
#
# It depends on bash, git, Go and the core utilities only: no jq, no curl.
# The variables of `run` commands look unused, or not expanded, to shellcheck.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
plugin=vault-plugin-secrets-token-exchange

# Every process started here, so that cleanup ends these and no others.
pids=()

# build_engine puts the engine, and nothing else, into bin/: a dev Vault takes
# every file of its plugin directory for a plugin.
build_engine() {
  go build -C "$root" -o "bin/$plugin" "./cmd/$plugin"
}

# cached_path NAME MODULE [FLAG...] prints where cached_build keeps a binary: one
# place for each state of its nested module, Go version and flags.
cached_path() {
  local name=$1 module=$root/scripts/$2 key
  shift 2
  key=$({
    cat "$module/go.mod" "$module/go.sum"
    go -C "$module" env GOVERSION GOOS GOARCH
    echo "$@"
  } | git hash-object --stdin)
  printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/$plugin/${key:0:12}/$name"
}

# cached_build NAME DURATION MODULE PACKAGE [FLAG...] prints the path of a binary
# that is built once. A FLAG wins over the same flag here.
cached_build() {
  local name=$1 duration=$2 module=$root/scripts/$3 package=$4 binary cache
  binary=$(cached_path "$name" "$3" "${@:5}")
  cache=$(dirname "$(dirname "$binary")")
  shift 4

  if [[ ! -x $binary ]]; then
    mkdir -p "$(dirname "$binary")"
    (
      # The lock spares a second caller the same long build. Without flock both
      # build, and the rename below still never shows anyone half a binary.
      if command -v flock >/dev/null; then
        flock 9
      fi
      if [[ ! -x $binary ]]; then
        echo "building $name: once, about $duration on two cores" >&2
        tmp=$(mktemp -d "$cache/build.XXXXXX")
        trap 'rm -rf "$tmp"' EXIT
        # Without cgo a C compiler is not needed.
        CGO_ENABLED=0 go build -C "$module" -mod=readonly -trimpath -ldflags '-s -w' \
          "$@" -o "$tmp/$name" "$package" >&2
        mv -f "$tmp/$name" "$binary"
      fi
    ) 9>"$binary.lock"
  fi
  printf '%s\n' "$binary"
}

# listening PORT tells whether something accepts connections on that port.
listening() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_port prints a port that nobody listens on. It stays below the range from
# which the kernel takes the ports of outgoing connections.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 10000))
    listening "$port" || break
  done
  printf '%s\n' "$port"
}

# wait_for SECONDS PID LOG COMMAND... polls until the command succeeds. It gives
# up, and shows the log, when the process has died or the time is over.
wait_for() {
  local deadline=$((SECONDS + $1)) pid=$2 log=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$pid" 2>/dev/null || ((SECONDS > deadline)); then
      echo "not ready: $*; the log of process $pid:" >&2
      cat "$log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# start_vault VAULT ADDRESS LOG [PLUGIN_DIR [FLAG...]] starts a dev Vault that
# offers the engine, waits until it is unsealed, and points the Vault command line
# of this shell at it.
start_vault() {
  local binary=$1 address=$2 log=$3 plugin_dir=${4:-$root/bin}
  # The caller's shell may be set up for another Vault (namespace, agent, output
  # format): nothing of that may reach this one.
  unset "${!VAULT_@}"
  export VAULT_ADDR=http://$address VAULT_TOKEN
  VAULT_TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

  # The token goes by the environment, where `ps` does not show it, and is not
  # stored, because ~/.vault-token may belong to another Vault.
  VAULT_DEV_ROOT_TOKEN_ID=$VAULT_TOKEN nohup "$binary" server -dev -dev-no-store-token \
    -dev-listen-address="$address" -dev-plugin-dir="$plugin_dir" "${@:5}" </dev/null >"$log" 2>&1 &
  vault_pid=$!
  pids+=("$vault_pid")
  PATH=$(dirname "$binary"):$PATH
  # Not `vault status`: only this Vault knows the token, and another one may have
  # the address.
  wait_for 120 "$vault_pid" "$log" "$binary" token lookup
}

# stop_all ends what this shell has started; meant for `trap stop_all EXIT`.
stop_all() {
  local pid deadline
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || continue
    deadline=$((SECONDS + 20))
    while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do
      sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
}

# install_modules DIRECTORY fails where what is in that directory of scripts/ cannot
# run, for lack of Node.js 20; else it installs its npm modules, once.
install_modules() {
  local dir=$root/scripts/$1
  command -v node >/dev/null && command -v npm >/dev/null || return 1
  node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || return 1
  [[ $dir/node_modules/.package-lock.json -nt $dir/package-lock.json ]] ||
    (cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund >&2)
}

# start_idp OUT LOG starts the OpenID provider and sets what a client needs.
start_idp() {
  local out=$1 log=$2 fields
  node "$root/scripts/idp/server.mjs" </dev/null >"$out" 2>"$log" &
  pids+=("$!")
  wait_for 60 "$!" "$log" test -s "$out"
  fields=$(node -p 'const f = JSON.parse(fs.readFileSync(process.argv[1])); `${f.issuer} ${f.client_secret}`' "$out")
  read -r ISSUER CLIENT_SECRET <<<"$fields"
}

# run COMMAND shows a command as one types it, executes that very text, and shows
# the answer, which stays in $answer. Tokens in it are shortened: nobody reads
# them, and they do not belong in a terminal's history or a CI log.
run() {
  local status=0
  printf '\n$ %s\n' "$1"
  eval "$1" >"$work/answer" 2>&1 || status=$?
  answer=$(<"$work/answer")
  if [[ -n $answer ]]; then
    shorten_tokens <<<"$answer"
  fi
  return "$status"
}

# run_refused COMMAND REASON is `run` for a command that must fail, and for that
# reason: a Vault that does not answer refuses nothing.
run_refused() {
  if run "$1" || [[ $answer != *"$2"* ]]; then
    echo "this should have been refused: $2" >&2
    return 1
  fi
}

shorten_tokens() {
  sed -E 's/eyJ([A-Za-z0-9_-]{5})[A-Za-z0-9_.-]{20,}([A-Za-z0-9_-]{6})/eyJ\1...\2/g'
}

# answer_field NAME prints one field of the table that `vault` answered last.
answer_field() {
  local name value
  while read -r name value; do
    if [[ $name == "$1" ]]; then
      printf '%s\n' "$value"
      return
    fi
  done <<<"$answer"
  echo "the answer has no field $1" >&2
  return 1
}

# vault_as_issuer makes Vault itself an OpenID provider with one user, alice, who
# may get tokens for https://vault.example; it sets ALICE_TOKEN and ALICE_ID.
vault_as_issuer() {
  run 'vault auth enable userpass'
  run 'vault policy write ci - <<< '\''path "identity/oidc/token/ci" { capabilities = ["read"] }'\'
  run 'vault write auth/userpass/users/alice password="$PASSWORD" token_policies=ci'
  run 'vault write identity/oidc/key/demo allowed_client_ids="*"'
  run 'vault write identity/oidc/role/ci key=demo client_id=https://vault.example ttl=1h'
  run 'ALICE_TOKEN=$(vault login -method=userpass -token-only username=alice password="$PASSWORD")'
  run 'ALICE_ID=$(VAULT_TOKEN=$ALICE_TOKEN vault read -field=entity_id auth/token/lookup-self)'
}
