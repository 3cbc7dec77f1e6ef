#!/bin/bash
# `wire: {precise: true}` of a playbook reaches the wire executor of the run, whose own word stands in the result document.
# beside: others
# time-limit: 60
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)
failed=0

playbook() { # PRECISE
    cat <<YAML
perturb: 1
title: A store that answers a little later
targets:
  store: {command: [$BUILD/sample-store, --port, "\${port.store}"], ready: {tcp: "127.0.0.1:\${port.store}"}}
proxies:
  store: {upstream: "127.0.0.1:\${port.store}"}
wire: {precise: $1}
load:
  main: {resp: {url: "redis://\${proxies.store.listen}", timeout: 200ms}, rate: 200/s}
steady-state-hypothesis: [{signal: main.goodput, min: 95%}]
method:
  - {fault: latency, proxy: store, latency: 2ms, at: 200ms, for: 500ms}
expect: {convergence: {band: 20%, hold: 500ms}}
YAML
}

echo 1..4
number=0
for precise in true false; do
    playbook $precise > "$work/$precise.yaml"
    "$BUILD/perturb" run "$work/$precise.yaml" --out "$work/run-$precise" > "$work/log" 2>&1
    status=$?
    number=$((number + 1))
    if [[ $status -eq 0 ]]; then
        echo "ok $number - a run with precise: $precise passes"
    else
        echo "not ok $number - a run with precise: $precise passes"
        sed 's/^/# /' "$work/log" | tail -n 20
        failed=1
    fi
    expected=$([[ $precise == true ]] && echo 150 || echo 0)
    number=$((number + 1))
    if tr -d ' \n\t' < "$work/run-$precise/result.json" | grep -qF "\"spin_us\":$expected}"; then
        echo "ok $number - the wire spins for $expected us"
    else
        echo "not ok $number - the wire spins for $expected us"
        grep -o '"wire":[^}]*}' "$work/run-$precise/result.json" | sed 's/^/# /'
        failed=1
    fi
done
rm -rf "$work"
exit $failed
