#!/bin/bash
# Capture on real programs whose configuration knows of no proxy: a Redis Sentinel failover, because the master is a black hole for
# everybody; and clients that verify certificate and host name, of which one is captured. Each proof from three sources: the
# victim's own record, the event log with the result document, and an oracle outside of both. All of it in a network namespace of
# the test's own.
# beside: others
# time-limit: 150
set -u
cd "$(dirname "$0")/../.." || exit 1
if [[ $EUID -ne 0 ]]; then
    echo "1..0 # SKIP captures by the kernel need root"
    exit 0
fi
[[ ${1:-} == inside ]] || exec unshare -n "$0" inside
ip link set lo up || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)
chmod 755 "$work"
number=0 failed=0

verdict() { # NAME PROBLEM
    number=$((number + 1))
    if [[ -z $2 ]]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
        failed=1
    fi
}

run() { # NAME -> what it says in NAME.said
    "$BUILD/perturb" run "$work/$1.yaml" --seed 7 --out "$work/run-$1" > "$work/$1.said" 2>&1
    echo $? > "$work/$1.status"
}

echo 1..8

# ---- Sentinel -------------------------------------------------------------------------------------------------------------
master=21001 replica=21002 sentinel=21003 app=21004
cat > "$work/sentinel.conf" <<CONF
port $sentinel
dir $work
sentinel monitor mymaster 127.0.0.1 $master 1
sentinel down-after-milliseconds mymaster 1000
sentinel failover-timeout mymaster 5000
CONF
cat > "$work/sentinel.yaml" <<YAML
perturb: 1
title: The app follows Sentinel when the master is a black hole
lease: 2s
targets:
  master: {command: [redis-server, --port, "$master", --save, "", --dir, "$work"], ready: {tcp: "127.0.0.1:$master"}}
  replica:
    command: [redis-server, --port, "$replica", --save, "", --dir, "$work", --replicaof, 127.0.0.1 $master, --repl-diskless-sync-delay, "0"]
    ready: {tcp: "127.0.0.1:$replica"}
  sentinel:
    command: [redis-server, "$work/sentinel.conf", --sentinel, --logfile, "$work/sentinel.log"]
    ready: {tcp: "127.0.0.1:$sentinel"}
  app:
    command: [python3, tests/e2e/sentinel_client.py, "$app", "$sentinel", "$work/app.log"]
    ready: {http: "http://127.0.0.1:$app/"}
proxies:
  master: {capture: {tcp: $master}}
load:
  main: {http: {url: "http://127.0.0.1:$app/", timeout: 500ms}, rate: 25/s, connections: 8}
warmup: 12s
steady-state-hypothesis: [{signal: main.goodput, min: 99%}]
method:
  - {fault: blackhole, proxy: master, at: 500ms, for: 12s}
expect: {convergence: {max: 10s, band: 10%, hold: 2s}}
rollback:
  - {command: [sh, -c, "redis-cli -p $replica role | head -n 1 > $work/role; redis-cli -p $master info stats > $work/stats"]}
YAML
run sentinel
verdict "the run passes: the app recovers under the fault" "$(
    python3 - "$work/run-sentinel/result.json" "$(cat "$work/sentinel.status")" <<'PYTHON'
import json, sys
result = json.load(open(sys.argv[1]))
if result["verdict"]["verdict"] != "recovered_under_fault" or sys.argv[2] != "0":
    print("verdict", result["verdict"], "status", sys.argv[2])
fault, proxy = result["faults"][0], result["proxies"][0]
if not fault["fired"] or fault["fired"] > proxy["connections"]:
    print("fired", fault["fired"], "of", proxy["connections"], "connections")
if proxy["capture"]["via"] != "nftables":
    print(proxy["capture"])
for line in result["undo"] + result["verify"]:
    if line["outcome"] not in ("undone", "moot", "proven"):
        print(line)
PYTHON
)"
verdict "the client went to the new master by itself, after the fault acted" "$(
    python3 - "$work/app.log" "$work/run-sentinel/events.jsonl" $master $replica <<'PYTHON'
import json, sys
log, events, old, new = sys.argv[1:]
acted = [int(e["ns"]) for e in map(json.loads, open(events)) if e["kind"] == "fault_acted"]
lines = [line.split(" ", 2) for line in open(log)]
masters = [(int(ns), rest.strip()) for ns, what, rest in lines if what == "master"]
failures = [int(ns) for ns, what, rest in lines if what == "failed" and int(ns) > acted[0]]
if [port for _, port in masters] != [old, new]:
    print("it was sent to", masters)
elif not acted[0] < failures[0] < masters[1][0] < acted[0] + 12e9:
    print("out of order:", acted, failures[:1], masters)
PYTHON
)"
verdict "Sentinel and Redis say the same, and the old master counts as many connections as the proxy" "$(
    grep -q "+switch-master mymaster 127.0.0.1 $master 127.0.0.1 $replica" "$work/sentinel.log" || tail -n 5 "$work/sentinel.log"
    [[ $(cat "$work/role") == master ]] || echo "the replica's role is $(cat "$work/role")"
    python3 - "$work" <<'PYTHON'
import json, sys
proxy = json.load(open(f"{sys.argv[1]}/run-sentinel/result.json"))["proxies"][0]
received = next(int(line.split(":")[1]) for line in open(f"{sys.argv[1]}/stats") if line.startswith("total_connections_received"))
if not 1 <= received - proxy["connections"] <= 3:  # the probes of its readiness go past the proxy
    print("the master counts", received, "connections, the proxy", proxy["connections"])
PYTHON
)"
verdict "the kernel has no table left" "$(nft list tables)"

# ---- TLS ------------------------------------------------------------------------------------------------------------------
tls=21011 plain=21012
certificate() { # NAME: an authority, and a certificate for localhost by it
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$work/$1.key" -out "$work/$1.pem" \
        -addext basicConstraints=critical,CA:TRUE
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout "$work/$1-server.key" -out "$work/$1.csr"
    openssl x509 -req -in "$work/$1.csr" -CA "$work/$1.pem" -CAkey "$work/$1.key" -days 2 -out "$work/$1-server.pem" \
        -extfile <(echo subjectAltName=DNS:localhost)
}
{ certificate ours; certificate theirs; } > "$work/openssl.log" 2>&1
cat > "$work/nginx.conf" <<CONF
daemon off; pid $work/nginx.pid; error_log $work/nginx.log; events {}
http {
    access_log off;
    server { listen 127.0.0.1:$plain; return 200 "ok\n"; }
    server { listen 127.0.0.1:$tls ssl; ssl_certificate $work/ours-server.pem; ssl_certificate_key $work/ours-server.key; return 200 "ok\n"; }
}
CONF
# HOST AUTHORITY LOG: a fresh, verifying client every now and then.
cat > "$work/client" <<SH
#!/bin/bash
while :; do
    curl -sS --cacert "\$2" -o /dev/null -w "%{time_total} %{http_code} %{ssl_verify_result} %{exitcode}\n" "https://\$1:$tls/" >> "\$3" 2> /dev/null
    read -rt 0.1 <> <(:)
done
SH
chmod 755 "$work/client"
cat > "$work/tls.yaml" <<YAML
perturb: 1
title: A verifying client is slowed down, and verifies
lease: 1s
targets:
  nginx: {command: [nginx, -c, "$work/nginx.conf"], ready: {tcp: "127.0.0.1:$tls"}}
  client: {command: ["$work/client", localhost, "$work/ours.pem", "$work/client.log"]}
  misled: {command: ["$work/client", localhost, "$work/theirs.pem", "$work/misled.log"]}
  misnamed: {command: ["$work/client", 127.0.0.1, "$work/ours.pem", "$work/misnamed.log"]}
  apart: {command: ["$work/client", localhost, "$work/ours.pem", "$work/apart.log"]}
proxies:
  client: {capture: {tcp: $tls, to: [127.0.0.0/8, "::1"], target: client}}
  misled: {capture: {tcp: $tls, target: misled}}
  misnamed: {capture: {tcp: $tls, target: misnamed}}
load:
  main: {http: {url: "http://127.0.0.1:$plain/"}, rate: 100/s}
steady-state-hypothesis: [{signal: main.goodput, min: 99%}]
method:
  - {fault: latency, proxy: client, direction: to_client, latency: 300ms, last: 5, for: 8s}
expect: {convergence: {band: 10%, hold: 500ms}}
YAML
run tls
verdict "the run is absorbed by the load that is not captured, and undone" "$(
    python3 - "$work/run-tls/result.json" "$(cat "$work/tls.status")" <<'PYTHON'
import json, sys
result = json.load(open(sys.argv[1]))
if result["verdict"]["verdict"] != "absorbed" or sys.argv[2] != "0":
    print("verdict", result["verdict"], "status", sys.argv[2])
for line in result["undo"] + result["verify"]:
    if line["outcome"] not in ("undone", "moot", "proven"):
        print(line)
PYTHON
)"
verdict "exactly five connections of the captured client were slow, every one verified" "$(
    python3 - "$work" <<'PYTHON'
import json, sys
work = sys.argv[1]
read = lambda name: [line.split() for line in open(f"{work}/{name}.log") if len(line.split()) == 4][:-1]
result = json.load(open(f"{work}/run-tls/result.json"))
fault, proxies = result["faults"][0], {p["name"]: p for p in result["proxies"]}
client, apart = read("client"), read("apart")
slow = [line for line in client if float(line[0]) >= 0.3]
if len(slow) != 5 or fault["fired"] != 5:
    print("slow answers", len(slow), "fired", fault["fired"])
if any(line[1:] != ["200", "0", "0"] for line in client):
    print("not all verified:", [line for line in client if line[1:] != ["200", "0", "0"]][:3])
if not apart or any(float(line[0]) >= 0.3 or line[1:] != ["200", "0", "0"] for line in apart):
    print("the client apart was disturbed:", apart[:3])
if not 0 <= proxies["client"]["connections"] - len(client) <= 2:
    print("connections", proxies["client"]["connections"], "of", len(client), "requests")
PYTHON
)"
verdict "who trusts another authority, or means another name, still refuses through the capture" "$(
    python3 - "$work" <<'PYTHON'
import json, sys
work = sys.argv[1]
proxies = {p["name"]: p for p in json.load(open(f"{work}/run-tls/result.json"))["proxies"]}
for name in "misled", "misnamed":
    lines = [line.split() for line in open(f"{work}/{name}.log") if len(line.split()) == 4][:-1]
    if not lines or any(line[3] != "60" for line in lines) or not 0 <= proxies[name]["connections"] - len(lines) <= 2:
        print(name, lines[:3], len(lines), proxies[name]["connections"])
PYTHON
)"
verdict "the kernel has no table left" "$(nft list tables)"
if ((failed)); then
    for name in sentinel tls; do tail -n 60 "$work/$name.said" | sed "s/^/# $name | /"; done
else
    rm -rf "$work"
fi
exit $failed
