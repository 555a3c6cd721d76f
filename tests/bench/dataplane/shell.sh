# What the benchmark scripts share: the folder of a run, the builds to measure, and the processes of a server.

# Seconds that a server may take until it answers: the sandbox reads the manifests of the largest cluster.
patience=120

work=$(mktemp -d)
declare -A running=()
stop() {
  unset "running[$1]"
  kill "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}
cleanup() {
  local pid
  for pid in "${!running[@]}"; do stop "$pid"; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() { printf '%s\n' "$*" >&2; }
# The comment at the head of a script.
usage() {
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$1"
  exit 2
}

target=${CARGO_TARGET_DIR:-target}
# Builds of headless-dns by name, from `--binary NAME=PATH`.
declare -A binary_of=()
binaries=()
add_binary() {
  if [[ $1 != ?*=* || ! -x ${1#*=} ]]; then say "--binary NAME=PATH, of an executable; not $1"; exit 2; fi
  binaries+=("${1%%=*}")
  binary_of[${1%%=*}]=$(realpath "${1#*=}")
}

# Builds what a script needs: the server as the image has it, unless builds are given, and the tools beside it. By two
# commands: in one, Cargo would give the server the features that only tests ask of its dependencies.
build() {
  command -v dnsperf >/dev/null || { say "dnsperf is missing: apt-get install dnsperf"; exit 1; }
  if ((${#binaries[@]} == 0)); then
    cargo build --profile dist --locked --quiet --bin headless-dns
    add_binary "headless-dns=$target/dist/headless-dns"
  fi
  cargo build --release --locked --quiet --bench tools
  # The newest: its file has a hash in its name.
  tools=$(find "$target/release/deps" -maxdepth 1 -name 'tools-*' -type f -executable -printf '%T@ %p\n' | sort -rn | sed -n '1s/^[^ ]* //p')
}

free_port() {
  local port
  while
    port=$((20000 + RANDOM % 10000))
    grep -q "$(printf ':%04X ' "$port")" /proc/net/udp /proc/net/tcp
  do :; done
  echo "$port"
}

# start NAME COMMAND...: on the cores of `server_cores`, its output in NAME.log.
server_cores=0
start() {
  local name=$1
  shift
  taskset -c "$server_cores" "$@" >"$work/$name.log" 2>&1 &
  server_pid=$!
  running[$server_pid]=1
}

# await NAME CLUSTER PORT QUERIES: waits until the last of these is answered.
await() {
  local name=$1 cluster=$2 port=$3 deadline=$((SECONDS + patience))
  tail -n 1 "$work/$cluster/$4.queries" >"$work/probe"
  until dnsperf -s 127.0.0.1 -p "$port" -d "$work/probe" -n 1 -t 1 2>/dev/null | grep -q 'NOERROR 1 '; do
    if ((SECONDS > deadline)) || ! kill -0 "$server_pid" 2>/dev/null; then
      say "$name does not answer for $cluster:"
      tail -n 5 "$work/$name-$cluster.log" >&2
      exit 1
    fi
    sleep 0.2
  done
}

# The processes of a server: NSD has several.
tree() {
  local pid
  echo "$1"
  for pid in $(pgrep -P "$1" || true); do tree "$pid"; done
}

# Clock ticks that a server has spent so far; its resident memory in KiB, with shared pages counted once.
cpu_ticks() { tree "$1" | sed 's|.*|/proc/&/stat|' | xargs cat | sed 's/.*) //' | awk '{ ticks += $12 + $13 } END { print ticks }'; }
resident() { tree "$1" | sed 's|.*|/proc/&/smaps_rollup|' | xargs cat | awk '/^Pss:/ { kib += $2 } END { print kib }'; }
