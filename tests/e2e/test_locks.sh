#!/bin/bash
# A run that watches the locks of its targets: a held lock shows in the profile by call site, a deadlock is saved, told of and broken.
# time-limit: 120
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)

check() { # NUMBER NAME CONDITION...
    local number=$1 name=$2

    shift 2
    if "$@"; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$work/log" | tail -n 30
        failed=1
    fi
}

echo 1..8
failed=0
cat > "$work/locks.yaml" <<YAML
perturb: 1
title: A shop whose locks are held for longer, beside a program that deadlocks
lease: 1s
targets:
  store: {command: [$BUILD/sample-store, --port, "\${port.store}"], ready: {tcp: "127.0.0.1:\${port.store}"}}
  shop:
    command: [$BUILD/sample-shop, --port, "\${port.shop}", --store, "127.0.0.1:\${port.store}", --careful]
    ready: {http: "http://127.0.0.1:\${port.shop}/healthz"}
    locks: {profile: 1}
  stuck:
    command: [$BUILD/tests/fixtures/victim_locks, deadlock, "2"]
    locks: {watch: true, snapshot_after: 300ms, break: edeadlk}
load:
  main: {http: {url: "http://127.0.0.1:\${port.shop}/item/1", timeout: 2s}, rate: 200/s}
steady-state-hypothesis: [{signal: main.goodput, min: 90%}]
method:
  - {fault: lock_hold, target: shop, latency: 2ms, caller: sample-shop, at: 200ms, for: 1s}
expect: {convergence: {band: 50%, hold: 500ms}}
YAML
"$BUILD/perturb" run "$work/locks.yaml" --out "$work/run" > "$work/log" 2>&1
status=$?
check 1 "the run comes to a verdict" test $status -le 2
check 2 "a snapshot is saved" test -s "$work/run/locks-stuck-1.json"
check 3 "the event says what it shows" grep -q '"kind":"lock_stuck".*deadlock: thread' "$work/run/events.jsonl"
check 4 "the program went on with EDEADLK" grep -q 'EDEADLK' "$work/run/logs/stuck.log"
check 5 "the result document has the profile" grep -q '"contended":' "$work/run/result.json"
check 6 "and names call sites of the shop" grep -qE '"site":\s*"[a-z_]+\+0x[0-9a-f]+ \((pool|queue|cache|breaker|http|shop)\.c:[0-9]+\)"' "$work/run/result.json"
"$BUILD/perturb" diagnose "$work/run/locks-stuck-1.json" > "$work/log" 2>&1
check 7 "diagnose names the deadlock" grep -q 'deadlock of 2 threads' "$work/log"
sed -i 's/^    locks: {watch/    backend: seccomp\n    locks: {watch/' "$work/locks.yaml"
"$BUILD/perturb" check "$work/locks.yaml" > "$work/log" 2>&1
check 8 "a supervisor sees no locks" grep -q 'locks are watched by the preload shim' "$work/log"
rm -rf "$work"
exit $failed
