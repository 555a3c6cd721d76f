#!/usr/bin/env bash
# Asks a server two and four times what it can answer: it keeps answering at its best rate, in the same memory, and recovers
# when that ends.
#
#   overload.sh [--rounds 5] [--seconds 2] [--servers floor,headless-dns,knot,nsd] [--train 64] [--binary NAME=PATH]…
#
# Each server with one worker on core 0, one after the other; the sender (tools/overload/) on core 1. Queries leave it in
# trains of 64, which is how one core can send that many; with --train 1 each leaves alone, and the sender reaches about a
# quarter more than a fast server can answer. Over loopback, the sender's core also pays for the datagrams that the kernel
# drops; with a network card the server's machine does. --binary as for compare.sh.
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=tests/bench/dataplane

# shellcheck source=tests/bench/dataplane/shell.sh
source "$here/shell.sh"
# shellcheck source=tests/bench/dataplane/servers.sh
source "$here/servers.sh"

rounds=5
seconds=2
servers=floor,headless-dns,knot,nsd
train=64
while (($#)); do
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --servers) servers=$2 ;;
    --train) train=$2 ;;
    --binary) add_binary "$2" ;;
    *) usage "$here/overload.sh" ;;
  esac
  shift 2
done
IFS=, read -ra servers <<<"$servers"

build
find_servers
"$tools" zone "$work"

export_zone main
for server in "${present[@]}"; do
  start_server "$server" main
  mapfile -t pids < <(tree "$server_pid")
  echo
  describe_server "$server" | sed -n 1p
  taskset -c 1 "$tools" overload "127.0.0.1:${port_of[$server/main]}" "$work/main/mix.queries" "$rounds" "$seconds" "$train" \
    "${pids[@]}"
  stop "$server_pid"
done
