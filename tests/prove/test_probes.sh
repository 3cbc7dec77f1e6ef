#!/bin/bash
# Probes on programs that nobody here wrote: the log of a Java virtual machine's collector, Go's traces of an etcd, a Prometheus that
# scrapes itself, a PostgreSQL. Each program says by other means what the probe is to have read.
# time-limit: 180
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)
chmod 755 "$work"
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' ':')

number=0
failed=0
told() { # NAME EXPRESSION over d, its probes p, all values v of a signal
    number=$((number + 1))
    if python3 - "$work/out/result.json" "$2" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
p = {row["name"]: row for row in d["probes"]}
s = {row["signal"]: row for row in d["signals"]}
def v(name):
    return [x for x in s[name]["series"]["values"] if x is not None]
if not eval(sys.argv[2]):
    print("#", sys.argv[2], "does not hold:", json.dumps(d["probes"]))
    sys.exit(1)
PY
    then echo "ok $number - $1"; else echo "not ok $number - $1"; failed=1; fi
}
skip() { # NAME REASON
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}
has() { command -v "$1" > /dev/null; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

targets=
probes=
add_java() {
    cat > "$work/Churn.java" <<'JAVA'
public class Churn {
    static byte[][] kept = new byte[64][];
    public static void main(String[] arguments) throws Exception {
        for (int i = 0; ; i++) {
            kept[i % kept.length] = new byte[65536];
            if (i % 200 == 0)
                Thread.sleep(20);
        }
    }
}
JAVA
    javac -d "$work" "$work/Churn.java" || return
    targets+="  java: {command: [java, -Xmx64m, -Xlog:gc, -cp, $work, Churn]}
"
    probes+="  jvm-pause: {log: {target: java, extract: jvm-gc.pause}, every: 100ms}
  jvm-after: {log: {target: java, extract: jvm-gc.after}, every: 100ms}
  jvm-lines: {log: {target: java, pattern: 'Pause .*ms\$'}, every: 100ms}
"
}
add_etcd() {
    local client peer

    client=http://127.0.0.1:$(free_port)
    peer=http://127.0.0.1:$(free_port)
    targets+="  etcd:
    command: [etcd, --data-dir, $work/etcd, --listen-client-urls, '$client', --advertise-client-urls, '$client', --listen-peer-urls, '$peer',
              --initial-advertise-peer-urls, '$peer', --initial-cluster, 'default=$peer']
    env: {GODEBUG: 'gctrace=1,schedtrace=200,scheddetail=1', GOGC: '2'}
    ready: {http: $client/health}
"
    probes+="  go-pause: {log: {target: etcd, extract: gctrace.pause}, every: 100ms}
  go-live: {log: {target: etcd, extract: gctrace.live}, every: 100ms}
  go-tasks: {log: {target: etcd, extract: schedtrace.tasks}, every: 100ms}
  go-threads: {log: {target: etcd, extract: schedtrace.threads}, every: 100ms}
  go-queue: {log: {target: etcd, extract: schedtrace.runqueue}, every: 100ms}
  go-goroutines: {command: {run: [sh, -c, \"curl -s $client/metrics | sed -n 's/^go_goroutines //p'\"]}, every: 500ms}
"
}
add_prometheus() {
    local address

    address=127.0.0.1:$(free_port)
    printf 'global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs: [{job_name: me, static_configs: [{targets: ["%s"]}]}]\n' "$address" > "$work/prometheus.yml"
    targets+="  prometheus: {command: [prometheus, --config.file=$work/prometheus.yml, --storage.tsdb.path=$work/tsdb, --web.listen-address=$address], ready: {http: 'http://$address/-/ready', timeout: 20s}}
"
    probes+="  prom-up: {prometheus: {url: 'http://$address/', query: 'up{job=\"me\"}'}, every: 200ms}
  prom-scalar: {prometheus: {url: 'http://$address', query: 'scalar(vector(2)) + 0.5'}, every: 200ms}
  prom-none: {prometheus: {url: 'http://$address', query: nothing_of_that_name}, every: 200ms}
  prom-nan: {prometheus: {url: 'http://$address', query: '0 / 0'}, every: 200ms}
  prom-many: {prometheus: {url: 'http://$address', query: 'go_gc_duration_seconds'}, every: 200ms}
  prom-wrong: {prometheus: {url: 'http://$address', query: 'sum('}, every: 200ms}
"
}
add_postgres() {
    local port as=()

    port=$(free_port)
    mkdir "$work/pg"
    if [[ $EUID -eq 0 ]]; then
        chown postgres "$work/pg"
        as=(runuser -u postgres --)
    fi
    "${as[@]}" initdb -D "$work/pg/data" -A trust -U postgres > "$work/initdb.log" 2>&1 || return
    targets+="  postgres: {command: [$(printf '%s, ' "${as[@]}")$(command -v postgres), -D, $work/pg/data, -k, $work/pg, -p, '$port', -h, 127.0.0.1], ready: {tcp: '127.0.0.1:$port'}}
"
    probes+="  pg-number: {postgres: {connection: 'host=127.0.0.1 port=$port user=postgres dbname=postgres', query: 'select count(*) from pg_database'}, every: 200ms}
  pg-uri: {postgres: {connection: 'postgresql://postgres@127.0.0.1:$port/postgres', query: 'select 2.5'}, every: 200ms}
  pg-none: {postgres: {connection: 'host=127.0.0.1 port=$port user=postgres dbname=postgres', query: 'select 1 where false'}, every: 200ms}
  pg-wrong: {postgres: {connection: 'host=127.0.0.1 port=$port user=postgres dbname=postgres', query: 'select nonsense'}, every: 200ms}
  pg-slow: {postgres: {connection: 'host=127.0.0.1 port=$port user=postgres dbname=postgres', query: 'select pg_sleep(60)'}, every: 1s, timeout: 200ms}
"
}

has javac && add_java
has etcd && has curl && add_etcd
has prometheus && add_prometheus
has postgres && has initdb && add_postgres
cat > "$work/book.yaml" <<YAML
perturb: 1
title: A store beside programs that nobody here wrote
targets:
  store: {command: [$BUILD/sample-store, --port, "\${port.store}"], ready: {tcp: "127.0.0.1:\${port.store}"}}
${targets}proxies:
  store: {upstream: "127.0.0.1:\${port.store}"}
load:
  main: {resp: {url: "redis://\${proxies.store.listen}", timeout: 500ms}, rate: 50/s}
probes:
  store: {process: {target: store}}
${probes}steady-state-hypothesis: [{signal: main.goodput, min: 50%}]
method:
  - {fault: latency, proxy: store, latency: 5ms, for: 1s}
expect: {convergence: {band: 30%, hold: 500ms}}
YAML

echo 1..9
number=$((number + 1))
if "$BUILD/perturb" run "$work/book.yaml" --out "$work/out" > "$work/log" 2>&1 || [[ -e $work/out/result.json ]]; then
    echo "ok $number - it runs"
else
    echo "not ok $number - it runs"
    sed 's/^/# /' "$work/log" | tail -n 20
    echo "Bail out! there is nothing to judge"
    exit 1
fi
if [[ $probes == *jvm-pause* ]]; then
    told "java_pauses_each_of_them" '0 < min(v("jvm-pause")) < max(v("jvm-pause")) < 5 and abs(p["jvm-pause"]["samples"] - max(v("jvm-lines"))) <= 2'
    told "java_heap_below_its_limit" '0 < min(v("jvm-after")) <= max(v("jvm-after")) <= 64 << 20'
else
    skip "java_pauses_each_of_them" "no javac"
    skip "java_heap_below_its_limit" "no javac"
fi
if [[ $probes == *go-pause* ]]; then
    told "go_pauses_and_live_heap" '0 < min(v("go-pause")) < 5 and 1 << 20 <= min(v("go-live")) <= max(v("go-live")) < 1 << 30'
    told "go_tasks_as_it_says_itself" \
        '(lambda a, b: 0.7 < a / b < 1.5)(sorted(v("go-tasks"))[len(v("go-tasks")) // 2], sorted(v("go-goroutines"))[len(v("go-goroutines")) // 2]) and min(v("go-threads")) >= 4 and min(v("go-queue")) >= 0'
else
    skip "go_pauses_and_live_heap" "no etcd"
    skip "go_tasks_as_it_says_itself" "no etcd"
fi
if [[ $probes == *prom-up* ]]; then
    told "prometheus_numbers" 'max(v("prom-up")) == 1 and set(v("prom-scalar")) == {2.5}'
    told "prometheus_no_data" \
        '"no series" in p["prom-none"]["last_failure"] and "NaN" in p["prom-nan"]["last_failure"] and "series, not one" in p["prom-many"]["last_failure"] and "parse error" in p["prom-wrong"]["last_failure"]'
else
    skip "prometheus_numbers" "no prometheus"
    skip "prometheus_no_data" "no prometheus"
fi
if [[ $probes == *pg-number* ]]; then
    told "postgres_numbers" 'set(v("pg-number")) == {3} and set(v("pg-uri")) == {2.5}'
    told "postgres_no_data" \
        '"no value" in p["pg-none"]["last_failure"] and "nonsense" in p["pg-wrong"]["last_failure"] and "timeout" in p["pg-slow"]["last_failure"] and p["pg-slow"]["failed"] >= 3'
else
    skip "postgres_numbers" "no postgres"
    skip "postgres_no_data" "no postgres"
fi
[[ $failed -eq 0 ]] && rm -rf "$work"
exit $failed
