#!/bin/bash
# What only a whole run shows: a control arm cancels what both arms suffer; a ramp finds a knee that is known from the service's own
# workers, under a fault too, and tells a service that stays down; load that is shed tells metastable from broken; a level that is
# held for a while trips a guard, and one that is only touched does not.
# time-limit: 400
# beside: others
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)

shop() { # FLAGS FALLBACK -> the head of a playbook
    cat <<YAML
perturb: 1
title: A shop and its store
lease: 2s
targets:
  store: {command: [$BUILD/sample-store, --port, "\${port.store}"], ready: {tcp: "127.0.0.1:\${port.store}"}}
  shop:
    command: [$BUILD/sample-shop, --port, "\${port.shop}", --store, "\${proxies.store.listen}", $1]
    ready: {http: "http://127.0.0.1:\${port.shop}/healthz", timeout: 10s}
proxies:
  store: {listen: "127.0.0.1:0", upstream: "127.0.0.1:\${port.store}"}
steady-state-hypothesis: [{signal: main.goodput, min: 95%}]
YAML
}

run() { # NAME EXPECTED-STATUS ARGUMENTS...
    local name=$1 expected=$2

    shift 2
    "$BUILD/perturb" run "$work/$name.yaml" --out "$work/$name" "$@" > "$work/$name.log" 2>&1
    local status=$?
    [[ $status -eq $expected ]] || { echo "# $name: status $status, expected $expected"; return 1; }
}

result() { # NAME PYTHON-EXPRESSION over d
    python3 - "$work/$1/result.json" "$2" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))

def held_since(signal):
    series = next(s["series"] for s in d["signals"] if s["signal"] == signal)
    values = [v for v in series["values"]]
    last_low = max(i for i, v in enumerate(values) if v is not None and v < 85)
    return (last_low + 1) * series["bin_s"]

ok = eval(sys.argv[2])
if not ok:
    print("#", sys.argv[2], "does not hold:", json.dumps({k: d.get(k) for k in ("verdict", "ramp", "metastability", "controls", "guards")}))
sys.exit(0 if ok else 1)
PY
}

number=0
failed=0
check() { # NAME LOG CONDITION...
    local name=$1 log=$2

    number=$((number + 1))
    shift 2
    if "$@"; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$work/$log.log" | tail -n 40
        failed=1
    fi
}

sed "s#\./build/#$BUILD/#g" tests/e2e/playbooks/control.yaml > "$work/one.yaml"
cp "$work/one.yaml" "$work/both.yaml"

# Eight workers of 25 ms are 320 requests a second; a store that answers 75 ms late, within the attempt's time, leaves 80.
{ shop "--timeout, 200ms, --budget, 400ms, --no-breaker, --no-fallback"
  cat <<'YAML'
load: {main: {http: {url: "http://127.0.0.1:${port.shop}/item/1", timeout: 400ms}, rate: 30/s}}
slo: {latency: 250ms, quantile: 95%}
ramp: {from: 30/s, to: 900/s, steps: 5, bisect: 2, repeat: 1, hold: 1s, settle: 300ms, delta: 3%, when: [before, under-fault], water: [main.errors]}
method: [{fault: latency, proxy: store, latency: 75ms, for: 1s}]
expect: {convergence: {band: 20%, hold: 1s, bin: 50ms}, knee: {min: 150/s, under-fault: 150/s}}
YAML
} > "$work/under.yaml"

# Everyone waits, nobody is turned away: after an overload what is served is what nobody waits for any more.
{ shop "--naive"
  cat <<'YAML'
load: {main: {http: {url: "http://127.0.0.1:${port.shop}/item/1", timeout: 200ms}, rate: 50/s}}
slo: {latency: 150ms, quantile: 95%}
ramp: {from: 250/s, to: 2000/s, steps: 3, bisect: 1, repeat: 1, hold: 4s, settle: 300ms, delta: 3%}
method: []
expect: {convergence: {band: 20%, hold: 1s, bin: 50ms}}
YAML
} > "$work/stuck.yaml"

{ shop "--naive"
  cat <<'YAML'
load: {main: {http: {url: "http://127.0.0.1:${port.shop}/item/1", timeout: 500ms}, rate: 300/s}}
slo: {latency: 200ms}
metastability: {shed: 60%, for: 10s}
method: [{fault: latency, proxy: store, latency: 300ms, for: 3s}]
observe: 6s
expect: {convergence: {band: 20%, hold: 2s, bin: 50ms}}
YAML
} > "$work/shed.yaml"

# The level counts its readings: a touch of five readings at 90, then from the fiftieth on for good.
cat > "$work/level.sh" <<'SH'
n=$(($(cat "$0.count" 2>/dev/null || echo 0) + 1))
echo $n > "$0.count"
{ [ $n -ge 20 ] && [ $n -lt 25 ]; } || [ $n -ge 50 ] && echo 90 || echo 10
SH
{ shop "--careful"
  cat <<YAML
load: {main: {http: {url: "http://127.0.0.1:\${port.shop}/item/1", timeout: 400ms}, rate: 50/s}}
probes: {level: {command: {run: [sh, $work/level.sh]}, every: 100ms}}
warmup: 0s
method: [{fault: latency, proxy: store, latency: 1ms, for: 8s}]
expect: {convergence: {band: 40%, hold: 500ms, bin: 10ms}}
guards:
  - {signal: level.min, above: "85", for: 1s, then: notify, notify: [touch, $work/told]}
YAML
} > "$work/level.yaml"

echo 1..16
run one 0 & one=$!
run both 0 --var both=3s & both=$!
run level 0 & level=$!
wait $one; check "the treatment is judged against its twin" one test $? -eq 0
check "what only it suffered is judged in full" one result one \
    'd["verdict"]["verdict"] == "converged" and d["controls"][0]["excused"] <= d["controls"][0]["control_bad"] < 0.2 * d["controls"][0]["bad"]'
check "both arms are in the document" one result one \
    '{(s["signal"], s["arm"], s.get("control")) for s in d["signals"]} >= {("main.goodput", "treatment", "twin"), ("twin.goodput", "control", None)}'
wait $both; check "what both suffer is absorbed" both test $? -eq 0
check "though hundreds of requests failed" both result both \
    'd["verdict"]["verdict"] == "absorbed" and d["controls"][0]["bad"] > 200 and d["controls"][0]["excused"] > 200 and any("control" in n for n in d["data_quality"]["notes"])'
wait $level; check "a run whose guard watches a level" level test $? -eq 0
check "a level held for a second tells somebody" level test -e "$work/told"
check "and not one that is touched" level result level 'd["guards"][0]["tripped_s"] > held_since("level") + 0.8'
run shed 1 & shed=$!
run under 1; check "a knee that falls under a fault breaks its bound" under test $? -eq 0
check "the knees are those of eight workers" under result under \
    '(lambda k: 200 < k["before"]["rate_per_s"] <= 330 and 30 <= k["under fault"]["rate_per_s"] <= 90)({k["when"]: k for k in d["ramp"]["knees"]})'
check "each step tells how high the water stood" under result under 'all("main.errors" in s["water"] for s in d["ramp"]["steps"])'
check "the method's own run is told as it was" under result under 'len(d["faults"]) == 1 and d["faults"][0]["released_s"] - d["faults"][0]["injected_s"] < 3'
run stuck 1; check "an overload that outlasts itself fails" stuck test $? -eq 0
check "and is called metastable" stuck result stuck 'd["verdict"]["verdict"] == "metastable" and d["ramp"]["knees"][0]["stuck"]'
wait $shed; check "a service that stays down fails" shed test $? -eq 0
check "less load brings it back" shed result shed \
    'd["verdict"]["verdict"] == "metastable" and d["metastability"]["phase"] == "metastable" and d["metastability"]["load_shed_needed"] == 0.6 and 0 < d["metastability"]["recovery_s"] < 10 and d["slo"]["costs"][0]["burn"] > 100'
[[ $failed -eq 0 ]] && rm -rf "$work"
exit $failed
