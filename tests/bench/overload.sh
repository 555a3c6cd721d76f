#!/usr/bin/env bash
# What becomes of a server that is asked two and four times what it can answer: it goes on answering at its best rate, in the
# same memory, and when that ends it is as before.
#
#   tests/bench/overload.sh [--rounds 5] [--seconds 2] [--servers floor,headless-dns,knot,nsd] [--train 64]
#
# Each server with one worker on core 0, one after the other; the sender (overload/) on core 1. Queries leave it in trains,
# which is how one core can ask for so much; with --train 1 each leaves alone, and what it asks for is a quarter more than a
# fast server can answer.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=5
seconds=2
servers=floor,headless-dns,knot,nsd
train=64
while (($#)); do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --servers) servers=$2; shift 2 ;;
    --train) train=$2; shift 2 ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
  esac
done
IFS=, read -ra servers <<<"$servers"

source tests/bench/shell.sh
source tests/bench/servers.sh

command -v dnsperf >/dev/null || { say "dnsperf is missing: apt-get install dnsperf"; exit 1; }
cargo build --release --locked --quiet --bin headless-dns
cargo build --release --locked --quiet --bench floor --bench zone --bench overload
"$(bench zone)" "$work"

export_zone main
for server in "${present[@]}"; do
  start_server "$server" main
  mapfile -t pids < <(tree "$server_pid")
  echo "$server"
  taskset -c 1 "$(bench overload)" "127.0.0.1:${port_of[$server/main]}" "$work/main/mix.queries" "$rounds" "$seconds" "$train" \
    "${pids[@]}"
  stop "$server_pid"
done
