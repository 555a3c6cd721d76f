# The servers that the benchmark scripts compare, each with one worker on the records of a cluster that zone.rs has written.

declare -A port_of pid_of
start_server() {
  local name=$1 cluster=$2 folder=$work/$1-$2 port
  mkdir "$folder"
  port=$(free_port)
  case $name in
    floor) start "$name-$cluster" "$(bench floor)" "127.0.0.1:$port" ;;
    headless-dns)
      start "$name-$cluster" "$target/headless-dns" serve --sandbox "$work/$cluster/manifests.yaml" --udp-workers 1 \
        --listen "127.0.0.1:$port" --admin 127.0.0.1:0 --log-level warn
      ;;
    knot)
      cat >"$folder/knot.conf" <<CONF
server:
  listen: 127.0.0.1@$port
  rundir: $folder
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  # Half a second by default: on a machine that has other things to do, clients would be cut that do nothing wrong.
  tcp-io-timeout: 10000
database:
  storage: $folder
log:
  - target: stderr
    any: warning
zone:
  - domain: cluster.local
    file: $work/$cluster/zone
CONF
      start "$name-$cluster" knotd --config "$folder/knot.conf"
      ;;
    nsd)
      cat >"$folder/nsd.conf" <<CONF
server:
  ip-address: 127.0.0.1@$port
  server-count: 1
  tcp-count: 100
  do-ip6: no
  username: ""
  chroot: ""
  zonesdir: $folder
  database: ""
  pidfile: $folder/nsd.pid
  zonelistfile: $folder/zone.list
  xfrdfile: ""
  xfrdir: $folder
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: cluster.local
  zonefile: $work/$cluster/zone
CONF
      start "$name-$cluster" nsd -d -c "$folder/nsd.conf"
      ;;
    *) say "no such server: $name"; exit 2 ;;
  esac
  port_of[$name/$cluster]=$port
  pid_of[$name/$cluster]=$server_pid
  await "$name" "$cluster" "$port"
}

# The zone file of a cluster, from a headless-dns of its own.
export_zone() {
  local cluster=$1 port admin
  port=$(free_port) admin=$(free_port)
  "$target/headless-dns" serve --sandbox "$work/$cluster/manifests.yaml" --listen "127.0.0.1:$port" \
    --admin "127.0.0.1:$admin" --log-level warn >"$work/export-$cluster.log" 2>&1 &
  server_pid=$!
  running[$server_pid]=1
  await export "$cluster" "$port"
  "$target/headless-dns" export --admin "127.0.0.1:$admin" >"$work/$cluster/zone"
  stop "$server_pid"
}

# Of the servers, those that are installed.
present=()
for server in "${servers[@]}"; do
  case $server in knot) program=knotd ;; nsd) program=nsd ;; *) program=true ;; esac
  if command -v "$program" >/dev/null; then present+=("$server"); else say "$server is left out: $program is not installed"; fi
done
