#!/bin/bash
# Guards and evidence, on a real store: a guard trips at so many breaches in a row and never on one spike; it aborts, releases, captures
# or tells somebody; evidence is taken before, during and after, secrets blanked; `perturb guard test` proves each guard in time and
# finds one that could not be.
# beside: others
# time-limit: 150
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)

playbook() { # FAULT-FOR REST...
    cat <<YAML
perturb: 1
title: A store that is slow for a while
lease: 1s
targets:
  store: {command: [$BUILD/sample-store, --port, "\${port.store}"], ready: {tcp: "127.0.0.1:\${port.store}"}}
proxies:
  store: {upstream: "127.0.0.1:\${port.store}"}
load:
  main: {resp: {url: "redis://\${proxies.store.listen}", timeout: 100ms}, rate: 100/s}
probes:
  level: {command: {run: [cat, $work/level]}, every: 100ms}
steady-state-hypothesis: [{signal: main.goodput, min: 95%}]
method:
  - {fault: latency, proxy: store, latency: 500ms, for: $1}
expect: {convergence: {band: 20%, hold: 500ms}}
YAML
    shift
    printf '%s\n' "$@"
}

run() { # NAME EXPECTED-STATUS
    "$BUILD/perturb" run "$work/$1.yaml" --out "$work/$1" > "$work/log" 2>&1
    local status=$?
    [[ $status -eq $2 ]] || { echo "# $1: status $status, expected $2"; return 1; }
}

result() { # NAME PYTHON-EXPRESSION over d
    python3 - "$work/$1/result.json" "$2" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
ok = eval(sys.argv[2])
if not ok:
    print("#", sys.argv[2], "does not hold:", json.dumps(d.get("guards")), json.dumps(d.get("captures")))
sys.exit(0 if ok else 1)
PY
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
        sed 's/^/# /' "$work/log" | tail -n 30
        failed=1
    fi
}

echo 1..16
echo 1 > "$work/level"
printf 'user=me\npassword = hunter2\nAuthorization: Bearer abc; x=y\n{"token": "q\\"z", "n": 1}\n' > "$work/secrets"

playbook 20s 'guards: [{signal: main.errors, above: 50%, for: 500ms, every: 100ms, breaches: 3}]' > "$work/abort.yaml"
check "a guard aborts the run" run abort 3
check "at the third breach in a row" result abort \
    'd["guards"][0]["breached"] and 0.15 < d["guards"][0]["tripped_s"] - d["guards"][0]["breached_s"] < 1.5'
check "its latency is told, and the fault was gone by then" result abort \
    'd["guards"][0]["latency_s"] > 0 and d["faults"][0]["released_s"] <= d["guards"][0]["acted_s"] + 0.001'

playbook 20s 'guards: [{signal: main.errors, above: 50%, for: 500ms, then: [release, capture, notify], captures: [said],' \
    "  notify: [sh, -c, 'echo \$PERTURB_GUARD \$PERTURB_VALUE \$PERTURB_RUN > $work/told']}]" \
    "captures: {said: {command: [cat, $work/secrets]}}" > "$work/release.yaml"
check "a guard releases the faults and the run is judged" run release 0
check "long before their time" result release 'd["faults"][0]["released_s"] - d["faults"][0]["injected_s"] < 5 and d["verdict"]["verdict"] in ("converged", "recovered_under_fault")'
check "it captured, and told somebody" result release \
    '[c["moment"] for c in d["captures"]] == ["guard", "notify"] and all(c["outcome"] == "taken" for c in d["captures"])'
check "who was told heard what" grep -qE '^main.errors [0-9.]+% [0-9-]+-[0-9a-f]{4}$' "$work/told"
printf 'user=me\npassword = [blanked]\nAuthorization: [blanked]\n{"token": [blanked], "n": 1}\n' > "$work/blanked"
check "secrets are blanked, nothing else" cmp "$work/blanked" "$work/release/captures/said.guard"

playbook 500ms 'guards: [{signal: level.p95, above: "5", for: 2s, every: 200ms, breaches: 3}]' \
    'captures: {kernel: {proc: store, when: [before, during, after], at: 100ms}, gone: {url: "http://127.0.0.1:1/", when: [after]}}' > "$work/calm.yaml"
check "a run whose guard holds passes" run calm 0
check "evidence of three moments, and why one is missing" result calm \
    'sorted(c["moment"] for c in d["captures"] if c["name"] == "kernel" and c["outcome"] == "taken") == ["after", "before", "during"] and [c["outcome"] != "taken" and "file" not in c for c in d["captures"] if c["name"] == "gone"] == [True]'
check "it holds what the kernel tells" grep -q '^Threads:' "$work/calm/captures/kernel.during"
check "the margin is told" result calm 'abs(d["guards"][0]["margin"] - 0.8) < 1e-9 and not d["guards"][0]["breached"]'

"$BUILD/perturb" guard test "$work/release.yaml" > "$work/log" 2>&1
check "guard test: it acts in time, the faults only count" test $? -eq 0 -a "$(grep -c '^ok .*main.errors' "$work/log")" -eq 1
playbook 500ms 'guards: [{signal: main.errors, above: 50%, for: 30s}]' > "$work/late.yaml"
"$BUILD/perturb" guard test "$work/late.yaml" > "$work/log" 2>&1
check "guard test: one whose window outlasts the method never acts" test $? -eq 1 -a "$(grep -c 'did not act' "$work/log")" -eq 1

playbook 500ms 'guards: [{signal: level, above: "5", for: 300ms, every: 100ms, breaches: 2}]' 'slo: {latency: 50ms}' \
    'ramp: {from: 50/s, to: 400/s, steps: 4, hold: 3s, when: [before]}' > "$work/climb.yaml"
echo 9 > "$work/level"
check "a guard is judged while a ramp climbs" run climb 3
check "and ends it, before anything was armed" result climb \
    'd["guards"][0]["breached"] and d["ramp"]["knees"][0]["note"].startswith("it was ended at guard: level") and d["faults"][0]["injected_s"] is None'
[[ $failed -eq 0 ]] && rm -rf "$work"
exit $failed
