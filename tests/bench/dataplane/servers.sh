# The servers that the benchmark scripts compare: how each is configured, started and described. Each has one worker.

# The options of headless-dns: of a cluster, a port and an admin port.
headless_dns_options() {
  echo "serve --sandbox $1/manifests.yaml --udp-workers 1 --listen 127.0.0.1:$2 --admin 127.0.0.1:$3 --log-level warn"
}

# Configuration files: of a folder, a port and a zone file.
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
  - domain: cluster.local
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
  name: cluster.local
  zonefile: $3
CONF
}

declare -A port_of pid_of
# start_server NAME CLUSTER: on the zone of that cluster. Sets server_pid and, for headless-dns, admin.
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
    *)
      admin=127.0.0.1:$(free_port)
      # shellcheck disable=SC2046 # a list of options
      start "$name-$cluster" "${binary_of[$name]}" $(headless_dns_options "$work/$cluster" "$port" "${admin##*:}")
      ;;
  esac
  port_of[$name/$cluster]=$port
  pid_of[$name/$cluster]=$server_pid
  await "$name" "$cluster" "$port"
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
      *) say "no such server: $server"; exit 2 ;;
    esac
    if command -v "$program" >/dev/null; then present+=("$server"); else say "$server is left out: $program is not installed"; fi
  done
}
