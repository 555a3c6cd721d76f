#!/usr/bin/env bash
# What a query costs, beside other servers: the floor (floor.rs), headless-dns, Knot and NSD answer the same records, one after
# the other, each on core 0 with one worker; dnsperf asks on core 1. Machines are shared and drift, so rounds are interleaved,
# medians shown, and only the ratios within one run mean anything.
#
#   tests/bench/compare.sh [--rounds 5] [--seconds 8] [--servers floor,headless-dns,knot,nsd] [--workloads udp/main/mix,…]
#                          [--results FILE.tsv] [--svg [FILE.svg]]
#
# A workload is TRANSPORT/CLUSTER/QUERIES: the clusters and queries that zone.rs writes. CPU is user and system time of all
# threads and processes of a server for each answered query. Latency is that of a run of its own at a rate that all can serve.
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=5
seconds=8
servers=floor,headless-dns,knot,nsd
workloads=udp/main/mix,udp/main/ordinal,udp/main/endpoints-10,udp/main/endpoints-1000,udp/main/endpoints-5000
workloads+=,udp/services-100/ordinal,udp/services-10000/ordinal,tcp/main/mix,tcp/main/ordinal
results=
svg=
while (($#)); do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --seconds) seconds=$2; shift 2 ;;
    --servers) servers=$2; shift 2 ;;
    --workloads) workloads=$2; shift 2 ;;
    --results) results=$2; shift 2 ;;
    --svg)
      svg=tests/bench/compare.svg
      if [[ ${2:-} == *.svg ]]; then svg=$2; shift; fi
      shift
      ;;
    *) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2 ;;
  esac
done
IFS=, read -ra servers <<<"$servers"
IFS=, read -ra workloads <<<"$workloads"

# Queries a second at which latency is measured, for how many seconds, and after how many of them nobody is cold any more.
latency_rate=20000
latency_seconds=3
warm_up_seconds=1

source tests/bench/shell.sh
source tests/bench/servers.sh

command -v dnsperf >/dev/null || { say "dnsperf is missing: apt-get install dnsperf"; exit 1; }

# Two commands: built together, the server would get what only tests ask of its dependencies.
cargo build --release --locked --quiet --bin headless-dns
cargo build --release --locked --quiet --bench floor --bench zone
"$(bench zone)" "$work"

load() {
  local transport=$1
  shift
  if [[ $transport == tcp ]]; then set -- "$@" -m tcp -c 20 -q 200; else set -- "$@" -c 8 -q 100; fi
  taskset -c 1 dnsperf -s 127.0.0.1 -T 1 "$@" 2>&1
}

# The 99th percentile of the latencies in the output of `dnsperf -v`, in microseconds.
p99() {
  awk '$1 == ">" { print $NF }' | sort -n | awk '{ at[NR] = $1 } END { if (NR) printf "%.0f\n", at[int((NR - 1) * 0.99) + 1] * 1e6 }'
}

# One run of one workload on one server: a line of the results.
measure() {
  local name=$1 transport=$2 cluster=$3 queries=$4 file=$work/$3/$4.queries
  local pid=${pid_of[$name/$cluster]} port=${port_of[$name/$cluster]} before after answered qps latency
  load "$transport" -p "$port" -d "$file" -l "$warm_up_seconds" >/dev/null
  before=$(cpu_ticks "$pid")
  load "$transport" -p "$port" -d "$file" -l "$seconds" >"$work/run"
  after=$(cpu_ticks "$pid")
  answered=$(awk '/Queries completed:/ { print $3 }' "$work/run")
  qps=$(awk '/Queries per second:/ { print $4 }' "$work/run")
  if [[ ${answered:-0} == 0 ]]; then say "$name answered nothing of $transport/$cluster/$queries"; exit 1; fi
  load "$transport" -p "$port" -d "$file" -l "$latency_seconds" -Q "$latency_rate" -v >"$work/run"
  latency=$(p99 <"$work/run")
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$transport/$cluster/$queries" "$name" "$qps" \
    "$(awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$answered" 'BEGIN { print ticks / hz / n * 1e6 }')" \
    "$latency" "$(resident "$pid")"
}

results=${results:-$work/results.tsv}
: >"$results"
current=
# Clusters one after the other: the servers of one at most stand in memory.
for workload in "${workloads[@]}"; do
  IFS=/ read -r _ cluster _ <<<"$workload"
  [[ $current == *" $cluster "* ]] && continue
  current+=" $cluster "
  say "$cluster: starting ${present[*]}"
  export_zone "$cluster"
  for server in "${present[@]}"; do start_server "$server" "$cluster"; done
  for ((round = 1; round <= rounds; round++)); do
    for one in "${workloads[@]}"; do
      IFS=/ read -r transport its_cluster queries <<<"$one"
      [[ $its_cluster == "$cluster" ]] || continue
      for server in "${present[@]}"; do
        # The floor answers datagrams alone.
        [[ $server/$transport == floor/tcp ]] && continue
        measure "$server" "$transport" "$cluster" "$queries" >>"$results"
      done
    done
    say "$cluster: round $round of $rounds"
  done
  for server in "${present[@]}"; do stop "${pid_of[$server/$cluster]}"; done
done

awk -f tests/bench/medians.awk -f tests/bench/table.awk "$results"
if [[ -n $svg ]]; then
  awk -f tests/bench/medians.awk -f tests/bench/plot.awk "$results" >"$svg"
  say "chart: $svg"
fi
