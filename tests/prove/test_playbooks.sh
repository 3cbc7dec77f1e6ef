#!/bin/bash
# The shipped playbooks that tests/e2e/test_playbooks.sh has no time for, judged by it in the same way: the form that passes, the form
# that fails by a large margin.
# time-limit: 1200
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/cases" << 'CASES'
redis-replies-lost - 0 converged
redis-replies-lost shop=--naive 1 not_converged|metastable
redis-thin-link - 0 converged
redis-thin-link shop=--naive 1 not_converged|metastable
redis-refused - 0 converged
redis-refused shop=--naive 1 not_converged|metastable
redis-cut-answers - 0 converged
redis-cut-answers shop=--naive 1 not_converged|metastable
redis-outage-storm - 0 converged
redis-outage-storm shop=--no-fallback 1 converged|recovered_under_fault
redis-killed-thrice - 0 converged
redis-killed-thrice shop=--no-fallback 1 converged|recovered_under_fault
redis-slow-fsync - 0 absorbed|converged
redis-slow-fsync fsync=always 1 not_converged|metastable|converged|recovered_under_fault
nginx-upstream-paused - 0 absorbed|converged|recovered_under_fault
nginx-upstream-paused front=naive 1 converged|not_converged|recovered_under_fault
nginx-upstream-resets - 0 absorbed|converged
nginx-upstream-resets front=naive 1 converged|recovered_under_fault
reconnect-herd - 0 converged
reconnect-herd pause=15s 1 not_converged|censored|converged
dns-slow-answers - 0 absorbed
dns-slow-answers names=--naive 1 converged|recovered_under_fault
CASES
PERTURB_PLAYBOOK_CASES=$work/cases tests/e2e/test_playbooks.sh
