#!/usr/bin/env bash
# The CPU time of a query, beside other servers: the floor (tools/floor.rs), headless-dns, Knot and NSD answer the same
# records, and headless-dns, unbound and dnsmasq the same names of others from their caches, each on core 0 with one worker;
# dnsperf asks on core 1. Machines are shared and drift, so the servers take turns, medians are shown, and only ratios within
# one run mean anything.
#
#   compare.sh [--rounds 5] [--seconds 4] [--servers floor,headless-dns,knot,nsd,unbound,dnsmasq] [--workloads udp/main/mix,…]
#              [--binary NAME=PATH]… [--output FILE]
#   compare.sh plot [FILE [CHART.svg]]
#
# The first prints a table and, with --output, writes the raw figures of each round to FILE, with versions, configurations and
# the command in its head. The second draws the chart of such a file; by default of the one in results/.
#
# A workload is TRANSPORT/CLUSTER/QUERIES[+OPTION]: the clusters and queries that tools/zone.rs writes; medians.awk gives each a
# title. With +edns, +subnet or +cookie the queries have EDNS, and that option.
# CPU is user and system time of all threads and processes of a server for each answered query. Latency is that of a run of
# its own at a rate that every server sustains. --binary measures these builds of headless-dns, side by side, in place of this
# tree's in profile dist.
set -euo pipefail
cd "$(dirname "$0")/../../.."
here=tests/bench/dataplane

if [[ ${1:-} == plot ]]; then
  chart=${3:-$here/results/compare.svg}
  awk -f "$here/medians.awk" -f "$here/plot.awk" "${2:-$here/results/compare.txt}" >"$chart.new"
  mv "$chart.new" "$chart"
  exit
fi

# shellcheck source=tests/bench/dataplane/shell.sh
source "$here/shell.sh"
# shellcheck source=tests/bench/dataplane/servers.sh
source "$here/servers.sh"

command_line="$here/compare.sh $*"
rounds=5
seconds=4
servers=floor,headless-dns,knot,nsd,unbound,dnsmasq
workloads=udp/main/mix,udp/main/ordinal,udp/main/endpoints-1000,udp/main/endpoints-5000,udp/main/all-10
workloads+=,udp/services-100/ordinal,udp/services-10000/ordinal,udp/forward/ordinal,udp/forward/hits,tcp/main/mix,tcp/main/ordinal
workloads+=,tcp/main/all-1000
output=
while (($#)); do
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --servers) servers=$2 ;;
    --workloads) workloads=$2 ;;
    --binary) add_binary "$2" ;;
    --output) output=$2 ;;
    *) usage "$here/compare.sh" ;;
  esac
  shift 2
done
IFS=, read -ra servers <<<"$servers"
IFS=, read -ra workloads <<<"$workloads"

# Seconds of the run that latency is measured in, and of the one that warms up.
latency_seconds=2
warm_up_seconds=1

build
find_servers
"$tools" zone "$work"

# The options of dnsperf for those of a workload: the client subnet 10.0.0.0/24 (RFC 7871), and a client's cookie (RFC 7873).
# dnsperf can neither send NSID, which is empty, nor receive the 64 KiB of tcp/main/all-5000.
declare -A edns=([edns]="-e" [subnet]="-e -E 8:000118000a0000" [cookie]="-e -E 10:0102030405060708")

# load TRANSPORT QUERIES OPTION...: queries from core 1.
load() {
  local transport=$1 queries=$2
  shift 2
  # shellcheck disable=SC2206 # a list of options
  if [[ $queries == *+* ]]; then set -- "$@" ${edns[${queries#*+}]}; fi
  if [[ $transport == tcp ]]; then set -- "$@" -m tcp -c 20 -q 200; else set -- "$@" -c 8 -q 100; fi
  taskset -c 1 dnsperf -s 127.0.0.1 -T 1 "$@" 2>&1 || { say "dnsperf $* failed"; exit 1; }
}

# Queries per second at which latency is measured.
latency_rate() {
  case $1 in all-1000* | all-5000*) echo 2000 ;; *) echo 20000 ;; esac
}

# The 99th percentile of the latencies in the output of `dnsperf -v`, in microseconds.
p99() {
  awk '$1 == ">" { print $NF }' | sort -n | awk '{ at[NR] = $1 } END { if (NR) printf "%.0f\n", at[int((NR - 1) * 0.99) + 1] * 1e6 }'
}

# One run of one workload on one server: a line of the raw figures.
measure() {
  local name=$1 transport=$2 cluster=$3 queries=$4 file=$work/$3/${4%+*}.queries
  local pid=${pid_of[$name/$cluster]} port=${port_of[$name/$cluster]} before after answered qps latency
  load "$transport" "$queries" -p "$port" -d "$file" -l "$warm_up_seconds" >/dev/null
  before=$(cpu_ticks "$pid")
  load "$transport" "$queries" -p "$port" -d "$file" -l "$seconds" >"$work/run"
  after=$(cpu_ticks "$pid")
  answered=$(awk '/Queries completed:/ { print $3 }' "$work/run")
  qps=$(awk '/Queries per second:/ { print $4 }' "$work/run")
  if [[ ${answered:-0} == 0 ]]; then say "$name answered nothing of $transport/$cluster/$queries"; exit 1; fi
  load "$transport" "$queries" -p "$port" -d "$file" -l "$latency_seconds" -Q "$(latency_rate "$queries")" -v >"$work/run"
  latency=$(p99 <"$work/run")
  printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$transport/$cluster/$queries" "$name" "$qps" \
    "$(awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$answered" 'BEGIN { print ticks / hz / n * 1e6 }')" \
    "$latency" "$(resident "$pid")"
}

results=$work/results.txt
{
  for name in "${binaries[@]}"; do command_line=${command_line//$name=${binary_of[$name]}/$name=PATH}; done
  echo "$command_line"
  echo
  echo "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | sed -n 1p), $(nproc) cores; $(uname -sr); dnsperf $(dnsperf -h 2>&1 | awk '/^Version/ { print $2 }')"
  for server in "${present[@]}"; do describe_server "$server"; done
  echo
  echo "workload, server, queries per second, CPU µs per query, p99 latency µs, resident KiB"
} | sed 's/^/# /; s/ *$//' >"$results"

current=
# One cluster after the other: only its servers are in memory.
for workload in "${workloads[@]}"; do
  IFS=/ read -r _ cluster _ <<<"$workload"
  [[ $current == *" $cluster "* ]] && continue
  current+=" $cluster "
  here_too=()
  for server in "${present[@]}"; do if is_in "$server" "$cluster"; then here_too+=("$server"); fi; done
  say "$cluster: starting ${here_too[*]}"
  options=()
  if [[ $cluster == forward ]]; then
    start_upstream
    options=(--forward "127.0.0.1:$upstream")
  else
    export_zone "$cluster"
  fi
  for server in "${here_too[@]}"; do start_server "$server" "$cluster" "${options[@]}"; done
  # Every name of others once, so that all that follow are in the caches.
  if [[ $cluster == forward ]]; then
    sort -u "$work/forward/hits.queries" >"$work/names"
    for server in "${here_too[@]}"; do load udp hits -p "${port_of[$server/$cluster]}" -d "$work/names" -n 1 >/dev/null; done
  fi
  for ((round = 1; round <= rounds; round++)); do
    for one in "${workloads[@]}"; do
      IFS=/ read -r transport its_cluster queries <<<"$one"
      [[ $its_cluster == "$cluster" ]] || continue
      for server in "${here_too[@]}"; do
        # The floor answers over UDP only.
        [[ $server/$transport == floor/tcp ]] && continue
        is_asked "$server" "$cluster" "$queries" || continue
        measure "$server" "$transport" "$cluster" "$queries" >>"$results"
      done
    done
    say "$cluster: round $round of $rounds"
  done
  for server in "${here_too[@]}"; do stop "${pid_of[$server/$cluster]}"; done
done

awk -f "$here/medians.awk" -f "$here/table.awk" "$results"
if [[ -n $output ]]; then cp "$results" "$output"; fi
