#!/bin/bash
# A playbook's target under a supervisor (backend: seccomp): the fault acts, is told of, ends, and nothing of it is left. A fault that
# the backend cannot carry out is refused before anything starts. (A keeper or supervisor that stayed is told by tests/run.)
# time-limit: 120
# beside: others
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)

playbook() { # FAULT
    cat <<YAML
perturb: 1
title: A store whose answers are slow, from outside of it
lease: 1s
targets:
  store: {backend: seccomp, command: [$BUILD/sample-store, --port, "\${port.store}"], ready: {tcp: "127.0.0.1:\${port.store}"}}
load:
  main: {resp: {url: "redis://127.0.0.1:\${port.store}", timeout: 100ms}, rate: 100/s}
steady-state-hypothesis: [{signal: main.goodput, min: 95%}]
method:
  - {$1, target: store, at: 200ms, for: 1s}
expect: {convergence: {band: 20%, hold: 500ms}}
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

echo 1..5
failed=0
playbook "fault: fail, point: send, error: EPIPE, probability: 50%, name: cut" > "$work/cut.yaml"
"$BUILD/perturb" run "$work/cut.yaml" --out "$work/run-1" > "$work/log" 2>&1
status=$?
check 1 "the run passes" test $status -eq 0
check 2 "the supervisor tells of the first effect" grep -q '"source":"seccomp".*"kind":"fault_acted"' "$work/run-1/events.jsonl"
check 3 "what fired is counted" grep -qE 'fired [1-9][0-9]* of' "$work/log"

playbook "fault: alloc_fail, probability: 50%" > "$work/alloc.yaml"
"$BUILD/perturb" run "$work/alloc.yaml" --out "$work/run-2" > "$work/log" 2>&1
status=$?
check 4 "a fault it cannot carry out is refused" test $status -eq 69
check 5 "with the reason" grep -q "'alloc_fail' cannot act by backend seccomp" "$work/log"
rm -rf "$work"
exit $failed
