# The servers that the benchmark scripts compare: how each is configured, started and described. Each has one worker.
#
# The cluster `forward` has a zone of others beside it, `example`. Knot, or else NSD, serves that to those who forward: headless-dns,
# unbound and dnsmasq. On its other zone all but the last two are compared.

# The options of headless-dns: of a cluster, a port, an admin port and further options.
headless_dns_options() {
  echo "serve --sandbox $1/manifests.yaml --udp-workers 1 --listen 127.0.0.1:$2 --admin 127.0.0.1:$3 --log-level warn" "${@:4}"
}

# Configuration files: of a folder, a port, a zone file and its zone.
knot_configuration() {
  cat <<CONF
server:
  listen: 127.0.0.1@$2
  rundir: $1
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  # The default of half a second cuts off well-behaved clients on a machine that is busy with something else.
  tcp-io-timeout: 10000
database:
  storage: $1
log:
  - target: stderr
    any: warning
zone:
  - domain: ${4:-cluster.local}
    file: $3
CONF
}

nsd_configuration() {
  cat <<CONF
server:
  ip-address: 127.0.0.1@$2
  server-count: 1
  tcp-count: 100
  minimal-responses: yes
  do-ip6: no
  username: ""
  chroot: ""
  zonesdir: $1
  database: ""
  pidfile: $1/nsd.pid
  zonelistfile: $1/zone.list
  xfrdfile: ""
  xfrdir: $1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: ${4:-cluster.local}
  zonefile: $3
CONF
}

# Those of who forwards: of a folder, a port and the port of the upstream. Their caches hold every name of a workload.
unbound_configuration() {
  cat <<CONF
server:
  interface: 127.0.0.1
  port: $2
  num-threads: 1
  username: ""
  chroot: ""
  directory: "$1"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  do-not-query-localhost: no
  msg-cache-size: 64m
  rrset-cache-size: 64m
remote-control:
  control-enable: no
forward-zone:
  name: "example."
  forward-addr: 127.0.0.1@$3
CONF
}

dnsmasq_configuration() {
  cat <<CONF
port=$2
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
pid-file
cache-size=10000
dns-forward-max=10000
server=/example/127.0.0.1#$3
CONF
}

# start_upstream: serves the zone of others, for as long as the script runs. Sets upstream, its port.
start_upstream() {
  local folder=$work/upstream
  [[ -z ${upstream:-} ]] || return 0
  mkdir -p "$folder"
  upstream=$(free_port)
  if command -v knotd >/dev/null; then
    knot_configuration "$folder" "$upstream" "$work/forward/example" example >"$folder/knot.conf"
    start upstream-forward knotd --config "$folder/knot.conf"
  elif command -v nsd >/dev/null; then
    nsd_configuration "$folder" "$upstream" "$work/forward/example" example >"$folder/nsd.conf"
    start upstream-forward nsd -d -c "$folder/nsd.conf"
  else
    say "nobody serves the zone of others: neither knotd nor nsd is installed"
    exit 1
  fi
  await upstream forward "$upstream" hits
}

# Whether a server is asked these queries of a cluster.
is_asked() {
  case $1/$2/$3 in
    floor/*) true ;;
    unbound/forward/hits* | dnsmasq/forward/hits*) true ;;
    unbound/* | dnsmasq/* | knot/forward/* | nsd/forward/*) false ;;
  esac
}

# Whether it is asked any.
is_in() { is_asked "$1" "$2" hits; }

declare -A port_of pid_of
# start_server NAME CLUSTER OPTION...: on the zone of that cluster. The options are those of headless-dns. Sets server_pid and, for
# headless-dns, admin.
start_server() {
  local name=$1 cluster=$2 folder=$work/$1-$2 port
  mkdir -p "$folder"
  port=$(free_port)
  case $name in
    floor) start "$name-$cluster" "$tools" floor "127.0.0.1:$port" ;;
    knot)
      knot_configuration "$folder" "$port" "$work/$cluster/zone" >"$folder/knot.conf"
      start "$name-$cluster" knotd --config "$folder/knot.conf"
      ;;
    nsd)
      nsd_configuration "$folder" "$port" "$work/$cluster/zone" >"$folder/nsd.conf"
      start "$name-$cluster" nsd -d -c "$folder/nsd.conf"
      ;;
    unbound)
      unbound_configuration "$folder" "$port" "$upstream" >"$folder/unbound.conf"
      start "$name-$cluster" unbound -d -c "$folder/unbound.conf"
      ;;
    dnsmasq)
      dnsmasq_configuration "$folder" "$port" "$upstream" >"$folder/dnsmasq.conf"
      start "$name-$cluster" dnsmasq --keep-in-foreground --conf-file="$folder/dnsmasq.conf"
      ;;
    *)
      admin=127.0.0.1:$(free_port)
      # shellcheck disable=SC2046 # a list of options
      start "$name-$cluster" "${binary_of[$name]}" $(headless_dns_options "$work/$cluster" "$port" "${admin##*:}" "${@:3}")
      ;;
  esac
  port_of[$name/$cluster]=$port
  pid_of[$name/$cluster]=$server_pid
  case $name in unbound | dnsmasq) await "$name" "$cluster" "$port" hits ;; *) await "$name" "$cluster" "$port" ordinal ;; esac
}

# The zone file of a cluster, for the servers that read one.
export_zone() {
  start_server "${binaries[0]}" "$1"
  "${binary_of[${binaries[0]}]}" export --admin "$admin" >"$work/$1/zone"
  stop "$server_pid"
}

# The version of a server and its configuration, with FOLDER and PORT for those of a run.
describe_server() {
  case $1 in
    floor) echo "floor: tests/bench/dataplane/tools/floor.rs, profile release" ;;
    knot)
      knotd --version
      knot_configuration FOLDER PORT FOLDER/zone | sed 's/^/  /'
      ;;
    nsd)
      nsd -v 2>&1 | sed -n '1p'
      if nsd -v 2>&1 | grep -q -- --disable-recvmmsg; then echo '  built with --disable-recvmmsg: a system call for each datagram'; fi
      nsd_configuration FOLDER PORT FOLDER/zone | sed 's/^/  /'
      ;;
    unbound)
      unbound -V | sed -n '1p'
      unbound_configuration FOLDER PORT PORT | sed 's/^/  /'
      ;;
    dnsmasq)
      dnsmasq --version | sed -n '1s/ *Copyright.*//p'
      dnsmasq_configuration FOLDER PORT PORT | sed 's/^/  /'
      ;;
    *)
      printf '%s: %s' "$1" "$("${binary_of[$1]}" --version)"
      if [[ ${binary_of[$1]} == "$(realpath "$target")/dist/headless-dns" ]]; then
        printf ', profile dist, default features, commit %s, %s' "$(git describe --always --dirty)" "$(rustc --version)"
      fi
      printf '\n  %s\n' "$(headless_dns_options FOLDER PORT PORT)"
      ;;
  esac
}

# Puts the builds in the place of headless-dns, and leaves out what is not installed.
find_servers() {
  local server program
  present=()
  for server in "${servers[@]}"; do
    case $server in
      headless-dns) present+=("${binaries[@]}"); continue ;;
      floor) program=true ;;
      knot) program=knotd ;;
      nsd) program=nsd ;;
      unbound | dnsmasq) program=$server ;;
      *) say "no such server: $server"; exit 2 ;;
    esac
    if command -v "$program" >/dev/null; then present+=("$server"); else say "$server is left out: $program is not installed"; fi
  done
}
