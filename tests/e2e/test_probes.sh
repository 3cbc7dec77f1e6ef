#!/bin/bash
# Probes on real servers: Redis, nginx, a store behind a proxy, a log that is being written, a Prometheus' answers; the engine's own
# counters; a health score over them; and a guard on a sliding 95th percentile that trips at the third breach in a row.
# beside: others
# time-limit: 150
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)
chmod 755 "$work"

number=0
failed=0
check() { # NAME CONDITION...
    local name=$1

    number=$((number + 1))
    shift
    if "$@"; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$work/log" | tail -n 12
        failed=1
    fi
}

result() { # NAME PYTHON-EXPRESSION over d, its probes p and signals s by name, all values v of a signal
    python3 - "$work/$1/result.json" "$2" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
p = {row["name"]: row for row in d["probes"]}
s = {row["signal"]: row for row in d["signals"]}
def v(name):
    return [x for x in s[name]["series"]["values"] if x is not None]
ok = eval(sys.argv[2])
if not ok:
    print("#", sys.argv[2], "does not hold:", json.dumps(d["probes"]), json.dumps(d.get("health")), {n: v(n)[-5:] for n in s if "series" in s[n]})
sys.exit(0 if ok else 1)
PY
}

cat > "$work/prometheus.py" <<'PY'
import http.server, json, sys, urllib.parse
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = urllib.parse.parse_qs(url.query).get("query", [""])[0]
        known = url.path == "/api/v1/query" and self.headers.get("Authorization") == "Bearer sesame"
        vector = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "42.5"]}] if "+" in query else []}}
        body = json.dumps(vector).encode()
        self.send_response(200 if known or url.path == "/ready" else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
PY
cat > "$work/chatter.sh" <<'SH'
n=0
while :; do
    n=$((n + 1))
    echo "gc $n @1.0s 3%: 1.0+2.0+1.5 ms clock, 0.12+0.21/0.85/0.32+0.2 ms cpu, 4->5->2 MB, 5 MB goal, 8 P"
    echo "lag=$((n % 7)).5 s"
    read -r -t 0.1 <> <(:)
done
SH
cat > "$work/nginx.conf" <<'CONF'
daemon off; master_process off; pid nginx.pid; error_log stderr;
events { worker_connections 64; }
http { access_log off; server { listen 127.0.0.1:NGINXPORT; location / { return 204; } location /sick { return 503; } } }
CONF
nginx_port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
sed -i "s/NGINXPORT/$nginx_port/" "$work/nginx.conf"
echo 1 > "$work/level"

head_of() {
    cat <<YAML
perturb: 1
title: A store that is slow for a while, watched from all sides
service: shop
targets:
  store: {command: [$BUILD/sample-store, --port, "\${port.store}"], ready: {tcp: "127.0.0.1:\${port.store}"}}
proxies:
  store: {upstream: "127.0.0.1:\${port.store}"}
load:
  main: {resp: {url: "redis://\${proxies.store.listen}", timeout: 100ms}, rate: 100/s}
steady-state-hypothesis: [{signal: main.goodput, min: 95%}]
expect: {convergence: {band: 20%, hold: 500ms}}
YAML
}

{
    head_of | sed "/^targets:/a\\
  redis: {command: [redis-server, --port, \"\${port.redis}\", --save, \"\"], ready: {tcp: \"127.0.0.1:\${port.redis}\"}}\\
  nginx: {command: [nginx, -p, $work, -c, $work/nginx.conf], ready: {tcp: \"127.0.0.1:$nginx_port\"}}\\
  prometheus: {command: [python3, $work/prometheus.py, \"\${port.prometheus}\"], ready: {http: \"http://127.0.0.1:\${port.prometheus}/ready\"}}\\
  chatter: {command: [bash, $work/chatter.sh]}"
    cat <<YAML
probes:
  page:     {http: {url: "http://127.0.0.1:$nginx_port/"}, every: 100ms}
  sick:     {http: {url: "http://127.0.0.1:$nginx_port/sick"}, every: 100ms}
  status:   {http: {url: "http://127.0.0.1:$nginx_port/sick", field: status}, every: 100ms}
  sick-up:  {http: {url: "http://127.0.0.1:$nginx_port/sick", field: up}, every: 100ms}
  door:     {tcp: {address: "127.0.0.1:$nginx_port"}, every: 100ms}
  wall:     {tcp: {address: "127.0.0.1:1", field: up}, every: 100ms}
  runs:     {process: {target: redis}, every: 100ms}
  starts:   {process: {target: store, field: restarts}, every: 50ms}
  level:    {file: {path: $work/level}, every: 100ms}
  pause:    {log: {target: chatter, extract: gctrace.pause}, every: 200ms}
  live:     {log: {target: chatter, extract: gctrace.live}, every: 200ms}
  lag:      {log: {target: chatter, pattern: "lag=([0-9.]+) s"}, unit: seconds, every: 200ms}
  lines:    {log: {target: chatter, pattern: "^lag"}, every: 200ms}
  metric:   {prometheus: {url: "http://127.0.0.1:\${port.prometheus}", query: "sum(up) + 1", headers: {Authorization: Bearer sesame}}, every: 200ms}
  nothing:  {prometheus: {url: "http://127.0.0.1:\${port.prometheus}", query: "up", headers: {Authorization: Bearer sesame}}, every: 200ms}
  stranger: {prometheus: {url: "http://127.0.0.1:\${port.prometheus}", query: "up"}, every: 200ms}
  memory:   {redis: {url: "redis://127.0.0.1:\${port.redis}", field: used_memory}, unit: bytes, every: 100ms}
  open:     {proxy: {proxy: store}, every: 50ms}
  bytes:    {proxy: {proxy: store, field: bytes}, every: 50ms}
  held:     {proxy: {proxy: store, field: held}, every: 50ms}
  fired:    {fault: {fault: slow}, every: 50ms}
  health:
    health: {of: [{signal: main.errors, good: 0%, bad: 100%, weight: 3}, {signal: page.p95, good: 1s, bad: 10s}], for: 500ms}
    every: 100ms
  unknown:  {health: {of: [{signal: nothing, good: "1", bad: "0"}]}, every: 100ms}
  dead:     {health: {of: [{signal: nothing, good: "1", bad: "0", without-data: bad}]}, every: 100ms}
method:
  - {fault: latency, name: slow, proxy: store, latency: 500ms, for: 2s}
YAML
} > "$work/all.yaml"

echo 1..22
"$BUILD/perturb" check "$work/all.yaml" > "$work/log" 2>&1
check "the playbook is sound" test $? -eq 0
"$BUILD/perturb" run "$work/all.yaml" --out "$work/all" > "$work/log" 2>&1
status=$?
cp "$work/log" "$work/run.log"
check "it runs to its judgement" test "$status" -eq 0 -o "$status" -eq 2
check "http: a page has a latency, a sick one none, but a status" result all \
    'p["page"]["failed"] == 0 and 0 < min(v("page")) < 1 and p["sick"]["failed"] == p["sick"]["samples"] and "503" in p["sick"]["last_failure"] and set(v("status")) == {503}'
check "http and tcp: up is 0 or 1" result all 'set(v("sick-up")) == {0} and set(v("wall")) == {0} and p["wall"]["failed"] == 0'
check "tcp: a door has a latency" result all 'p["door"]["failed"] == 0 and 0 < min(v("door")) < 1'
check "process: it runs, and was not started anew" result all 'set(v("runs")) == {1} and set(v("starts")) == {0}'
check "file: its number" result all 'set(v("level")) == {1}'
check "log: what an extractor and a pattern read, and every line" result all \
    'abs(min(v("pause")) - 0.0025) < 1e-9 and set(v("live")) == {2 << 20} and p["lag"]["samples"] > 20 and 0.5 <= min(v("lag")) <= max(v("lag")) <= 6.5'
check "log: lines are counted" result all 'max(v("lines")) > 20 and v("lines") == sorted(v("lines"))'
check "prometheus: a number; none is no data; without its header it is refused" result all \
    'set(v("metric")) == {42.5} and p["nothing"]["last_failure"] == "the query yields no series" and "401" in p["stranger"]["last_failure"]'
check "redis: what it tells of itself" result all 'p["memory"]["failed"] == 0 and min(v("memory")) > 100000'
check "proxy: connections and bytes grow, bytes are held under the fault" result all \
    'max(v("open")) >= 1 and v("bytes")[-1] > 1000 and v("bytes") == sorted(v("bytes")) and max(v("held")) > 0'
check "fault: it fired as often as is told at the end, and not before" result all \
    'v("fired")[0] == 0 and max(v("fired")) == d["faults"][0]["fired"] > 0'
check "health: well, then ill, then well; the weights count" result all \
    '(lambda h: h["baseline"] > 0.95 and abs(h["worst"] - 0.25) < 0.05 and h["after"] > h["fault"] and h["service"] == "shop" and h["known"] > 0.9)(d["health"][0])'
check "health: no data is unknown, and bad only where that is asked for" result all \
    '[(h["known"], h["baseline"]) for h in d["health"] if h["name"] in ("unknown", "dead")] == [(0, None), (1, 0)] and "nothing" in p["unknown"]["last_failure"]'

"$BUILD/perturb" report "$work/all" --format markdown > "$work/all.md" 2>> "$work/log"
check "every report shows the scores" test "$(grep -c '^Health  *health of shop: [0-9.]* % before, ' "$work/run.log")" -eq 1 -a \
    "$(grep -c '### Health' "$work/all.md")" -eq 1 -a "$(grep -c 'main.errors' "$work/all/report.html")" -ge 1

# One spike is past the 95th percentile of 2 s of samples only for less than three judgements; a level that stays is not.
{
    head_of
    cat <<YAML
probes:
  level: {file: {path: $work/level}, every: 50ms}
method:
  - {fault: latency, proxy: store, latency: 1ms, for: 12s}
guards: [{signal: level.p95, above: "5", for: 2s, every: 200ms, breaches: 3, then: [release]}]
YAML
} > "$work/slide.yaml"
python3 - "$work" <<'PY' &
import json, os, sys, time
work = sys.argv[1]
def put(value):
    with open(work + "/level.new", "w") as f:
        f.write(value)
    os.rename(work + "/level.new", work + "/level")
deadline = time.monotonic() + 100
while time.monotonic() < deadline:
    try:
        if "fault_armed" in open(work + "/slide/events.jsonl").read():
            break
    except OSError:
        pass
    time.sleep(0.02)
put("100")
time.sleep(0.04)
put("1")
time.sleep(4)
put("100")
PY
driver=$!
"$BUILD/perturb" run "$work/slide.yaml" --out "$work/slide" > "$work/log" 2>&1
wait "$driver"
check "a sliding 95th percentile: not at the spike, at the third breach in a row of what stays" result slide \
    '(lambda g: g["breached"] and g["tripped_s"] - d["faults"][0]["armed_s"] > 3.9 and 0.35 < g["tripped_s"] - g["breached_s"] < 2)(d["guards"][0])'

# Inside a target, over two repetitions and a restart.
# Dumps of Go's tasks, one task the more each time; their form is that of the runtime.
cat > "$work/dump.sh" <<'SH'
echo x >> "$1"
printf 'goroutine 1 [running]:\nmain.main()\n\t/src/main.go:12 +0x1d\n'
grep -n x "$1" | sed 's|^\([0-9]*\):x|\ngoroutine 10\1 [chan receive]:\nmain.worker(0xc00001c0a0)\n\t/src/main.go:20 +0x1d\ncreated by main.main in goroutine 1\n\t/src/main.go:30 +0x85|'
SH
{
    head_of
    cat <<YAML
probes:
  inner:  {fault: {fault: inner}, every: 50ms}
  seen:   {fault: {fault: inner, field: matched}, every: 50ms}
  anew:   {process: {target: store, field: restarts}, every: 50ms}
  runs:   {process: {target: store}, every: 20ms}
captures:
  stacks: {stacks: store, when: [before], samples: 2}
  tasks:  {command: [sh, $work/dump.sh, $work/dumps], when: [before, after]}
method:
  - {fault: latency, name: inner, point: send, target: store, latency: 1ms, for: 500ms, repeat: 2, every: 1s}
  - {fault: restart, target: store, down: 200ms, at: 2500ms, for: 500ms}
YAML
} > "$work/inner.yaml"
"$BUILD/perturb" run "$work/inner.yaml" --out "$work/inner" > "$work/log" 2>&1
check "fault: counted inside a target, repetitions summed" result inner \
    '[f["fired"] > 10 for f in d["faults"][:2]] == [True, True] and max(v("inner")) == sum(f["fired"] for f in d["faults"] if f["name"].startswith("inner")) and max(v("seen")) >= max(v("inner"))'
check "process: a restart is counted, and what lies between seen" result inner 'v("anew")[0] == 0 and v("anew")[-1] == 1 and min(v("runs")) == 0 and v("runs")[-1] == 1'
check "captures: the stacks of a target, each sample" test "$(grep -c '^--- sample [12] of 2, process' "$work/inner/captures/stacks.before")" -eq 2 -a \
    "$(grep -c '^  main+0x' "$work/inner/captures/stacks.before")" -eq 2
check "captures: between two dumps of Go's tasks one has grown" result inner \
    '[c["diff"]["growth"]["after"] - c["diff"]["growth"]["before"] for c in d["captures"] if "diff" in c] == [1]'

sed 's/lag=(\[0-9.\]+) s/lag=(/' "$work/all.yaml" > "$work/wrong.yaml"
"$BUILD/perturb" check "$work/wrong.yaml" > "$work/log" 2>&1
check "a pattern that is none is refused with its place" test $? -eq 65 -a "$(grep -c 'wrong.yaml:[0-9]*:[0-9]*: .*pattern' "$work/log")" -eq 1
[[ $failed -eq 0 ]] && rm -rf "$work"
exit $failed
