#!/usr/bin/env bash
# What the server does at twice the queries that it can serve: it answers as many as at its best, in the same memory, and is
# at its best again at once.
#
#   tests/bench/overload.sh [--seconds 8] [--rivals 3]
#
# One worker on core 0, dnsperf on core 1. So that dnsperf can ask for twice what the server can answer, the server shares its
# core with rivals, which compute. First the best rate: 8 sockets, each query after an answer. Then twice as many a second
# from 64 sockets, whatever comes back. Then as at first.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=8
rivals=3
while (($#)); do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --rivals) rivals=$2; shift 2 ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
  esac
done

source tests/bench/shell.sh

command -v dnsperf >/dev/null || { say "dnsperf is missing: apt-get install dnsperf"; exit 1; }
cargo build --release --locked --quiet --bin headless-dns
cargo build --release --locked --quiet --bench zone
"$(bench zone)" "$work"

port=$(free_port)
start headless-dns-main "$target/headless-dns" serve --sandbox "$work/main/manifests.yaml" --udp-workers 1 \
  --listen "127.0.0.1:$port" --admin 127.0.0.1:0 --log-level warn
server=$server_pid
await headless-dns main "$port"
for ((rival = 0; rival < rivals; rival++)); do start "rival-$rival" bash -c 'while :; do :; done'; done

# A figure of dnsperf's summary in the last run.
figure() { sed -n "s/^ *$1: *\([0-9.]*\).*/\1/p" "$work/run"; }

# ask NAME OPTION...: one run of dnsperf, and a line about it; the rate of answers is then in `qps`.
ask() {
  local name=$1 before after
  shift
  before=$(cpu_ticks "$server")
  taskset -c 1 dnsperf -s 127.0.0.1 -p "$port" -d "$work/main/mix.queries" -l "$seconds" -T 1 "$@" >"$work/run" 2>&1
  after=$(cpu_ticks "$server")
  qps=$(figure 'Queries per second')
  awk -v name="$name" -v sent="$(figure 'Queries sent')" -v done="$(figure 'Queries completed')" -v qps="$qps" \
    -v time="$(figure 'Run time (s)')" -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v kib="$(resident "$server")" \
    'BEGIN { printf "%-10s %12.0f %12.0f %10.1f %14.2f %10.1f\n", name, sent / time, qps, 100 * done / sent, ticks / hz / done * 1e6, kib / 1024 }'
}

best=(-c 8 -q 1000)
printf '%-10s %12s %12s %10s %14s %10s\n' phase offered/s answered/s answered% CPU-us/answer memory-MiB
ask warm-up "${best[@]}"
ask best "${best[@]}"
at_best=$qps
# Queries count as lost after 200 ms, so that 20,000 in flight are enough for those and the rest.
ask overload -c 64 -q 20000 -t 0.2 -Q "$(awk -v qps="$qps" 'BEGIN { printf "%.0f", 2 * qps }')"
in_overload=$qps
ask again "${best[@]}"
awk -v best="$at_best" -v overload="$in_overload" -v again="$qps" \
  'BEGIN { printf "answers in overload: %.2f of the best rate; right after it: %.2f\n", overload / best, again / best }'
