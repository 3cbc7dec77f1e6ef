#!/bin/bash
# Experiments of the Chaos Toolkit against a real server: they pass, deviate, are refused, are interrupted; rollbacks run by the strategy;
# the journal has the format's keys; the measuring beside them finds an outage whose length this script knows; --delegate hands a file to
# whatever `chaos` is in the PATH.
# time-limit: 150
# beside: others
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(cd "${BUILD:-build}" && pwd)
work=$(mktemp -d)
cd "$work" || exit 1

cat > server.py <<'PY'
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body, kind):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        down = os.path.exists("down")
        if self.path.startswith("/items"):
            self.answer(200, json.dumps({"items": [{"id": 1, "state": "up"}, {"id": 2, "state": "down" if down else "up"}], "token": self.headers.get("X-Token")}), "application/json")
        else:
            self.answer(503 if down else 200, "no\n" if down else "yes\n", "text/plain; charset=utf-8")
    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        open("posted", "a").write(text + "\n")
        self.answer(200, text, "application/json")
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
mkfifo port
python3 server.py > port 2> server.log &
server=$!
read -r port < port
trap 'kill $server; wait $server 2> /dev/null' EXIT

write() { # NAME: the standard experiment; METHOD on standard input
    cat > "$1.yaml" <<YAML
title: The service answers while it is hit
description: written for this test
tags: [test]
configuration:
  base: {type: env, key: TEST_BASE, default: "http://127.0.0.1:$port"}
  ids: [1, 2]
secrets: {api: {token: {type: env, key: TEST_TOKEN, default: s3cret}}}
steady-state-hypothesis:
  title: it is up
  probes:
    - {type: probe, name: answers, tolerance: 200, provider: {type: http, url: "\${base}/", timeout: 3}}
    - type: probe
      name: all-items-up
      tolerance: {type: jsonpath, path: "$.items[*].state", expect: [up, up], target: body}
      provider: {type: http, url: "\${base}/items", headers: {X-Token: "\${token}"}, timeout: [1, 3]}
    - {type: probe, name: counts, tolerance: {type: range, range: [1, 3], target: stdout}, provider: {type: process, path: echo, arguments: "2"}}
$(cat)
YAML
}
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
        sed 's/^/# /' log | tail -n 30
        failed=1
    fi
}
run() { # EXPECTED-STATUS FILE OPTION...
    local expected=$1 status

    shift
    "$BUILD/perturb" run "$@" > log 2>&1
    status=$?
    [[ $status -eq $expected ]] || { echo "# status $status, expected $expected"; return 1; }
}
journal() { # PYTHON-EXPRESSION over d
    python3 -c 'import json, sys; d = json.load(open("journal.json")); sys.exit(0 if eval(sys.argv[1]) else 1)' "$1" || { head -c 3000 journal.json | sed 's/^/# /'; return 1; }
}

echo 1..19
write calm <<'YAML'
method:
  - {type: action, name: post, provider: {type: http, url: "${base}/post", method: POST, headers: {Content-Type: application/json}, arguments: {ids: "${ids}"}}, pauses: {after: 0.1}}
  - {ref: answers}
  - {type: action, name: beside, background: true, provider: {type: process, path: sh, arguments: [-c, "touch beside"]}}
rollbacks:
  - {type: action, name: tidy, provider: {type: process, path: touch, arguments: [tidied]}}
YAML
check "an experiment passes" run 0 calm.yaml
check "its journal is the format's" journal \
    'd["status"] == "completed" and d["deviated"] is False and d["steady_states"]["before"]["steady_state_met"] and d["steady_states"]["after"]["steady_state_met"] and sorted(r["activity"]["name"] for r in d["run"]) == ["answers", "beside", "post"] and d["rollbacks"][0]["status"] == "succeeded"'
check "a list became a list, not a text" grep -qx '{"ids":\[1,2\]}' posted
check "the background activity and the rollback ran" test -e beside -a -e tidied
check "no secret is written down" bash -c '! grep -q s3cret journal.json log || grep -q "\"token\":.*s3cret" journal.json'

write down <<'YAML'
method: [{type: action, name: take-down, provider: {type: process, path: touch, arguments: [down]}}]
rollbacks: [{type: action, name: bring-up, provider: {type: process, path: rm, arguments: [down]}}]
YAML
check "one that deviates says so" run 1 down.yaml
check "it stopped at the first probe that was not met, and rolled back" journal \
    'd["deviated"] and [p["tolerance_met"] for p in d["steady_states"]["after"]["probes"]] == [False] and len(d["rollbacks"]) == 1'
check "the rollback was real" test ! -e down
check "never means never" run 1 down.yaml --rollbacks never
check "one that does not start steady does nothing" run 2 down.yaml --rollbacks never
check "its journal reads completed, not deviated, without a run: the format's own trap" journal \
    'd["status"] == "completed" and d["deviated"] is False and d["run"] == [] and d["steady_states"]["before"]["steady_state_met"] is False'
rm -f down

write long <<'YAML'
method:
  - {type: action, name: take-down, provider: {type: process, path: touch, arguments: [down]}}
  - {type: action, name: wait, provider: {type: process, path: sleep, arguments: ["600"]}}
rollbacks: [{type: action, name: bring-up, provider: {type: process, path: rm, arguments: [down]}}]
YAML
"$BUILD/perturb" run long.yaml > log 2>&1 &
pid=$!
for _ in $(seq 400); do
    grep -q 'wait' log && break
    read -rt 0.05 <> <(:)
done
kill -INT $pid
wait $pid
check "interrupted: status 3, and the fault is taken back all the same" test $? -eq 3 -a ! -e down
check "the journal says interrupted" journal 'd["status"] == "interrupted"'

write failing <<'YAML'
method: []
rollbacks: [{type: action, name: cannot, provider: {type: process, path: "false"}}]
YAML
check "a rollback that fails leaves the undo unproven: status 4" run 4 failing.yaml

write python <<'YAML'
method: [{type: action, name: stop-instances, provider: {type: python, module: chaosaws.ec2.actions, func: stop_instances}}]
YAML
check "python is refused before anything is done, with its place" run 65 python.yaml
check "check says the same" bash -c '"$1/perturb" check python.yaml 2>&1 | grep -q "python.yaml:[0-9]*:[0-9]*: .stop-instances. calls python (chaosaws.ec2.actions)"' _ "$BUILD"

write outage <<'YAML'
method:
  - {type: action, name: take-down, provider: {type: process, path: touch, arguments: [down]}, pauses: {after: 2}}
rollbacks:
  - {type: action, name: bring-up, provider: {type: process, path: sh, arguments: [-c, "sleep 1; rm down"]}}
YAML
run 1 outage.yaml --load "http://127.0.0.1:$port/" --rate 100/s || true
# Down for 3 s and some; the band is found again within a bin or two of the end of the rollback.
check "measured beside it: back at the rollback's end, 3 s of outage" journal \
    'd["extensions"][0]["verdict"] in ("converged", "recovered_under_fault") and abs(d["extensions"][0]["from_release_s"]) < 0.6 and 2.4 < d["extensions"][0]["loss_s"] < 4.2'

mkdir bin
cat > bin/chaos <<'SH'
#!/bin/sh
echo "$@" > delegated
while [ $# -gt 1 ]; do [ "$1" = --journal-path ] && journal=$2; shift; done
begun=$(date -u +%Y-%m-%dT%H:%M:%S.%6N+00:00)
python3 -c pass
now=$(date -u +%Y-%m-%dT%H:%M:%S.%6N+00:00)
printf '{"status": "completed", "deviated": true, "steady_states": {"before": {"steady_state_met": true}}, "run": [{"activity": {"type": "action"}, "start": "%s", "end": "%s"}], "rollbacks": []}' "$begun" "$now" > "$journal"
SH
chmod +x bin/chaos
PATH=$work/bin:$PATH run 1 python.yaml --delegate --journal theirs.json --load "http://127.0.0.1:$port/" --rate 100/s
check "--delegate hands the file over and reads the journal" grep -qx 'run --journal-path theirs.json python.yaml' delegated
check "and what was measured beside it stands in that journal" python3 -c 'import json
d = json.load(open("theirs.json"))
assert d["status"] == "completed" and d["run"] and d["extensions"][-1]["name"] == "perturb" and d["extensions"][-1]["verdict"] == "absorbed", d'
cd / && [[ $failed -eq 0 ]] && rm -rf "$work"
exit $failed
