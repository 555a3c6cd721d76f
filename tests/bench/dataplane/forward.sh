#!/usr/bin/env bash
# Forwarding under load, and beside upstreams that do not answer.
#
#   forward.sh [--rate 50000] [--seconds 10] [--rounds 7] [--cache 4] [--binary NAME=PATH]… [lost|local]…
#
# lost   asks so many queries a second, half of them for 100,000 names of others, with a cache of --cache megabytes, which holds a
#        tenth of them: none may be lost, and none may be answered with SERVFAIL, unless the upstream has not answered: "no answer"
#        counts attempts for which no answer came, and "refused" datagrams that the upstream's socket had no room for. The server
#        has all cores, and shares them with dnsperf and the upstream.
# local  the latency of names of ours at 5,000 a second while nothing else is asked (quiet), and while 100 names of others are
#        asked a second of upstreams that answer, hang, lie, or are not there. The server is on core 0 with one worker, everything
#        else on core 1. The five take turns; medians, and ratios to the first.
#
# Both, if none is named. --binary as for compare.sh.
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=tests/bench/dataplane

# shellcheck source=tests/bench/dataplane/shell.sh
source "$here/shell.sh"
# shellcheck source=tests/bench/dataplane/servers.sh
source "$here/servers.sh"

rate=50000
seconds=10
rounds=7
cache=4
parts=()
while (($#)); do
  case $1 in
    --rate) rate=$2 ;;
    --seconds) seconds=$2 ;;
    --rounds) rounds=$2 ;;
    --cache) cache=$2 ;;
    --binary) add_binary "$2" ;;
    lost | local) parts+=("$1"); shift; continue ;;
    *) usage "$here/forward.sh" ;;
  esac
  shift 2
done
if ((${#parts[@]} == 0)); then parts=(lost local); fi

# Queries of ours and of others that are asked in a second, and the seconds of a round.
local_rate=5000
others_rate=100
round_seconds=2
build
"$tools" zone "$work"
start_upstream

# The value of a metric of headless-dns, summed over its labels.
metric() { curl --silent "http://$admin/metrics" | awk -v name="headless_dns_$1" '$1 ~ "^" name "([{]|$)" { sum += $2 } END { printf "%.0f", sum }'; }
peak() { awk '/^VmHWM:/ { printf "%.1f", $2 / 1024 }' "/proc/$1/status"; }
# Datagrams that a port's socket had no room for, so far.
refused() { awk -v port="$(printf ':%04X' "$1")" 'index($2, port) { sum += $NF } END { print sum + 0 }' /proc/net/udp; }
in_output() { awk -v key="$1" -F: '$1 ~ key { split($2, words, " "); print words[1] }' "$work/run"; }

lost() {
  echo "build         asked/s      asked       lost  SERVFAIL  CPU us  hits %  cache MiB  evicted  no answer  refused  memory MiB, before"
  for name in "${binaries[@]}"; do
    start_server "$name" forward --forward "127.0.0.1:$upstream" --forward-cache-size "$cache"
    before=$(peak "$server_pid") refused=$(refused "$upstream")
    ticks=$(cpu_ticks "$server_pid")
    dnsperf -s 127.0.0.1 -p "${port_of[$name/forward]}" -d "$work/forward/half.queries" -l "$seconds" -Q "$rate" -c 8 -q 4000 -T 1 \
      -b 4096 >"$work/run" 2>&1
    ticks=$(($(cpu_ticks "$server_pid") - ticks))
    hits=$(metric cache_hits_total) misses=$(metric cache_misses_total)
    printf '%-13s %7.0f %10d %10d %9d %7.1f %7.1f %10.2f %8d %10d %8d %11s, %s\n' "$name" "$(in_output 'Queries per second')" \
      "$(in_output 'Queries sent')" "$(in_output 'Queries lost')" "$(grep -o 'SERVFAIL [0-9]*' "$work/run" | awk '{ n = $2 } END { print n + 0 }')" \
      "$(awk -v t="$ticks" -v hz="$(getconf CLK_TCK)" -v n="$(in_output 'Queries completed')" 'BEGIN { print t / hz / n * 1e6 }')" \
      "$(awk -v h="$hits" -v m="$misses" 'BEGIN { print 100 * h / (h + m) }')" \
      "$(awk -v b="$(metric cache_size_bytes)" 'BEGIN { print b / 1048576 }')" "$(metric cache_evictions_total)" \
      "$(metric forward_failures_total)" $(($(refused "$upstream") - refused)) "$(peak "$server_pid")" "$before"
    stop "$server_pid"
  done
}

# The latencies of names of ours in one round: their 50th and 99th percentile in µs.
latencies() {
  taskset -c 1 dnsperf -s 127.0.0.1 -p "$1" -d "$work/forward/ordinal.queries" -l "$round_seconds" -Q "$local_rate" -c 8 -T 1 -v 2>&1 |
    awk '$1 == ">" { print $NF }' | sort -n | awk '{ at[NR] = $1 } END { printf "%.0f %.0f\n", at[int(NR / 2) + 1] * 1e6, at[int((NR - 1) * 0.99) + 1] * 1e6 }'
}

local_names() {
  local kind port others
  grep '\.example ' "$work/forward/half.queries" >"$work/others"
  for kind in quiet answering hanging lying dead; do
    port=$upstream
    case $kind in
      hanging | lying)
        port=$(free_port)
        server_cores=1 start "upstream-$kind" "$tools" upstream "$kind" "127.0.0.1:$port"
        ;;
      dead) port=$(free_port) ;;
    esac
    start_server "${binaries[0]}" forward --forward "127.0.0.1:$port"
    port_of[$kind]=${port_of[${binaries[0]}/forward]}
  done
  for ((round = 1; round <= rounds; round++)); do
    for kind in quiet answering hanging lying dead; do
      if [[ $kind != quiet ]]; then
        # Ahead of the measured ones, so that failures have begun, and until they are done.
        taskset -c 1 dnsperf -s 127.0.0.1 -p "${port_of[$kind]}" -d "$work/others" -l $((round_seconds + 2)) -Q "$others_rate" -q 1000 -t 10 \
          >"$work/others-$kind" 2>&1 &
        others=$!
        sleep 1
      fi
      echo "$kind $(latencies "${port_of[$kind]}")" >>"$work/latencies"
      if [[ $kind != quiet ]]; then kill "$others" 2>/dev/null || true; wait "$others" || true; fi
    done
  done
  echo "upstream     p50 us   p99 us  x quiet"
  for kind in quiet answering hanging lying dead; do
    for field in 2 3; do
      awk -v kind="$kind" -v field="$field" '$1 == kind { print $field }' "$work/latencies" | sort -n | sed -n "$((rounds / 2 + 1))p"
    done | paste - - | sed "s/^/$kind /"
  done | awk '{ if (NR == 1) quiet = $3; printf "%-10s %8d %8d %8.2f\n", $1, $2, $3, $3 / quiet }'
}

for part in "${parts[@]}"; do
  case $part in
    lost) server_cores=0,1 lost ;;
    local) local_names ;;
  esac
done
