# What the benchmark scripts share: a folder for their files, servers that end with them, and what those cost.

# Seconds that a server may take until it answers: the sandbox reads the largest cluster's manifests.
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

target=${CARGO_TARGET_DIR:-target}/release
# The newest build of a bench, whose file has a hash in its name.
bench() { find "$target/deps" -maxdepth 1 -name "$1-*" -type f -executable -printf '%T@ %p\n' | sort -rn | sed -n '1s/^[^ ]* //p'; }

free_port() {
  local port
  while
    port=$((20000 + RANDOM % 10000))
    grep -q "$(printf ':%04X ' "$port")" /proc/net/udp /proc/net/tcp
  do :; done
  echo "$port"
}

# start NAME COMMAND...: on core 0, its output in NAME.log.
start() {
  local name=$1
  shift
  taskset -c 0 "$@" >"$work/$name.log" 2>&1 &
  server_pid=$!
  running[$server_pid]=1
}

# Waits until the last name of a cluster is answered.
await() {
  local name=$1 cluster=$2 port=$3 deadline=$((SECONDS + patience))
  tail -n 1 "$work/$cluster/ordinal.queries" >"$work/probe"
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

# Clock ticks that a server has spent so far; its resident memory in KiB, what processes share counted once.
cpu_ticks() { tree "$1" | sed 's|.*|/proc/&/stat|' | xargs cat | sed 's/.*) //' | awk '{ ticks += $12 + $13 } END { print ticks }'; }
resident() { tree "$1" | sed 's|.*|/proc/&/smaps_rollup|' | xargs cat | awk '/^Pss:/ { kib += $2 } END { print kib }'; }
