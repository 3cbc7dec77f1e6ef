#!/bin/bash
# Rollback commands always run once the faults are gone: after a run that went its way, and by the guardian after the run engine
# was killed. A rollback that fails leaves the undo unproven: status 4. A fault that never acted is no pass: status 2.
# beside: others
# time-limit: 120
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)

playbook() { # MARK COMMAND FAULT-LINE
    cat <<YAML
perturb: 1
title: A store that is paused for a moment
lease: 1s
targets:
  store: {command: [$BUILD/sample-store, --port, "\${port.store}"], ready: {tcp: "127.0.0.1:\${port.store}"}}
load:
  main: {resp: {url: "redis://127.0.0.1:\${port.store}", timeout: 200ms}, rate: 200/s}
steady-state-hypothesis: [{signal: main.goodput, min: 95%}]
method:
  - {fault: pause, target: store, at: 200ms, for: 500ms}
$3
expect: {convergence: {band: 20%, hold: 500ms}}
rollback:
  - {command: [$2, $work/$1]}
YAML
}

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

echo 1..6
failed=0
playbook normal touch "" > "$work/normal.yaml"
"$BUILD/perturb" run "$work/normal.yaml" --out "$work/run-1" > "$work/log" 2>&1
status=$?
check 1 "the run passes" test $status -eq 0
check 2 "its rollback ran" test -e "$work/normal"

playbook killed touch "" > "$work/killed.yaml"
"$BUILD/perturb" run "$work/killed.yaml" --out "$work/run-2" > "$work/log" 2>&1 &
guardian=$!
for _ in $(seq 400); do
    grep -q '"kind":"fault_acted"' "$work/run-2/events.jsonl" 2> /dev/null && break
    read -rt 0.05 <> <(:)
done
runner=$(pgrep -P $guardian -x perturb-runner)
kill -KILL "$runner"
wait $guardian
status=$?
check 3 "a killed engine is an abort" test $status -eq 3
check 4 "the guardian ran the rollback" test -e "$work/killed"

playbook "no/such/place" touch "" > "$work/failing.yaml"
"$BUILD/perturb" run "$work/failing.yaml" --out "$work/run-3" > "$work/log" 2>&1
status=$?
check 5 "a rollback that fails is an undo not proven" test $status -eq 4

playbook idle touch '  - {fault: fail, point: fsync, target: store, at: 200ms, for: 500ms}' > "$work/idle.yaml"
"$BUILD/perturb" run "$work/idle.yaml" --out "$work/run-4" > "$work/log" 2>&1
status=$?
check 6 "a fault that never acted is not decided" test "$status" -eq 2
((failed)) || rm -rf "$work"
exit $failed
