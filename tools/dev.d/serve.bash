# `tools/dev serve`: an engine and a host side by side in the foreground, with lines to try.
# Sourced by tools/dev. The host ends first, so that it can drain while its engine still listens.

command_serve() {
  local port=6420 kind=embedded
  while (($#)); do
    case $1 in
      --port) port=${2:-}; shift ;;
      --port=*) port=${1#*=} ;;
      --engine) kind=${2:-}; shift ;;
      --engine=*) kind=${1#*=} ;;
      *) die "serve: no option '$1'; try tools/dev help" ;;
    esac
    shift
  done
  [[ $port =~ ^[0-9]+$ ]] && ((port > 0 && port < 65000)) || die "serve: '$port' is not a port"
  [[ $kind == embedded || $kind == rivet ]] || die "serve: --engine is embedded or rivet, not '$kind'"
  if answers "$port"; then die "something already listens on port $port: end it or choose another with --port"; fi
  need_disk 2
  packages_for release
  install_packages curl
  [[ $kind == embedded ]] || set_engine
  configure release
  build release bin/nuncio

  set -m # a process group each: Ctrl-C reaches this script only
  engine_pid='' host_pid='' interrupts=0
  trap end_all EXIT
  trap interrupted INT TERM
  if [[ $kind == embedded ]]; then
    say "nuncio engine --port $port"
    build/release/bin/nuncio engine --port "$port" &
  else
    local data="$root/build/serve/$port"
    mkdir -p "$data"
    engine_settings "$port" "$data" >"$data/engine.json"
    say "rivet-engine --config $data/engine.json start (its log: $data/engine.log)"
    # Without this setting it sheds load on a small machine, and starts stall for seconds.
    RIVET__RUNTIME__WORKER_CPU_MAX=64000 RIVET__TELEMETRY__ENABLED=false \
      "$NUNCIO_RIVET_ENGINE" --config "$data/engine.json" start >"$data/engine.log" 2>&1 &
  fi
  engine_pid=$!
  local tries=0
  until answers "$port"; do
    kill -0 "$engine_pid" 2>/dev/null || die "the engine ended before it listened on port $port"
    ((++tries < 300)) || die "the engine did not listen on port $port within 30 s"
    sleep 0.1
  done

  say "nuncio serve --endpoint http://127.0.0.1:$port --namespace default --pool default"
  build/release/bin/nuncio serve --endpoint "http://127.0.0.1:$port" --namespace default --pool default &
  host_pid=$!
  lines_to_try "$port" >&2
  local status=0
  until ended "$host_pid"; do
    if ended "$engine_pid"; then
      complain "the engine ended by itself; ending the host"
      kill -INT "$host_pid" 2>/dev/null || true
      engine_pid=''
      wait "$host_pid" || true
      exit 1
    fi
    wait -n "$host_pid" ${engine_pid:+"$engine_pid"} || true
  done
  wait "$host_pid" || status=$?
  host_pid=''
  exit "$status"
}

ended() { [[ -z $1 ]] || ! kill -0 "$1" 2>/dev/null; }

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

interrupted() {
  interrupts=$((interrupts + 1))
  if [[ -z $host_pid ]]; then exit 130; fi
  if ((interrupts == 1)); then say "ending: the host drains first (Ctrl-C again: at once)"; fi
  kill -INT "$host_pid" 2>/dev/null || true
}

end_all() {
  trap '' INT TERM
  local pid
  for pid in "$host_pid" "$engine_pid"; do
    ended "$pid" && continue
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}

engine_settings() {  # engine_settings PORT DIR
  cat <<JSON
{"guard": {"port": $1}, "api_peer": {"port": $(($1 + 1))}, "metrics": {"port": $(($1 + 10))},
 "file_system": {"path": "$2/data"}, "telemetry": {"enabled": false},
 "topology": {"datacenter_label": 1, "datacenters": {"default": {"datacenter_label": 1, "is_leader": true,
   "public_url": "http://127.0.0.1:$1", "peer_url": "http://127.0.0.1:$(($1 + 1))"}}}}
JSON
}

lines_to_try() {
  local base="http://127.0.0.1:$1"
  cat <<TEXT

Try, in another terminal, once the host has said "ready":

  ID=\$(curl -s -X PUT '$base/actors?namespace=default' -H 'content-type: application/json' \\
    -d '{"name":"counter","key":"mine","runner_name_selector":"default","crash_policy":"sleep"}' |
    sed -E 's/.*"actor_id":"([^"]+)".*/\\1/'); echo "\$ID"      # create, or find, a counter
  curl -X POST "$base/gateway/\$ID/request/increment"           # one more
  curl "$base/gateway/\$ID/request/count"                       # how many
  curl -X POST "$base/actors/\$ID/sleep?namespace=default" -H 'content-type: application/json' -d '{}'
  curl "$base/gateway/\$ID/request/count"                       # wakes it as the next generation
  curl "$base/actors?namespace=default&actor_ids=\$ID"          # what the engine knows about it
  curl -X DELETE "$base/actors/\$ID?namespace=default"          # destroy it

What else an actor can do: create one of the name probe, and see docs/probe.md.

Ctrl-C ends both.

TEXT
}
