#!/bin/bash
# Every shipped playbook on its real servers, in the form that passes and in the form that fails by a large margin: exit status,
# verdict, and three things of each fault (it acted, it was counted, it was released), read from the result document.
# time-limit: 540
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)
parallel=8

# PLAYBOOK VARIABLE STATUS VERDICTS (joined by '|'). tests/prove/test_playbooks.sh brings its own.
cases() {
    if [[ -n ${PERTURB_PLAYBOOK_CASES:-} ]]; then
        cat "$PERTURB_PLAYBOOK_CASES"
        return
    fi
    cat <<'CASES'
quickstart - 0 converged
redis-slow - 0 converged
redis-slow-captured - 0 converged
redis-connection-drops - 0 converged
redis-out-of-memory - 0 absorbed
redis-paused - 0 converged
redis-restarted - 0 converged
redis-clock-jump - 0 absorbed|converged
redis-disk-full - 0 converged
redis-lost-writes - 0 converged
nginx-slow-upstream - 0 absorbed
nginx-upstream-killed - 0 absorbed
dns-loss - 0 absorbed
shop-gateway - 0 converged
shop-knee - 0 converged|recovered_under_fault
shop-knee work=100ms 1 baseline_unfit|converged|recovered_under_fault
shop-gateway shop=--naive 1 not_converged|metastable
quickstart shop=--naive 1 not_converged|metastable
redis-slow shop=--naive 1 not_converged|metastable
redis-slow-captured shop=--naive 1 not_converged|metastable
redis-connection-drops shop=--naive 1 not_converged|metastable
redis-paused shop=--naive 1 not_converged|metastable
redis-out-of-memory shop=--naive 1 not_converged|metastable
redis-restarted shop=--naive 1 converged|not_converged|metastable|censored
redis-clock-jump renewals=2/m 1 not_converged|metastable
redis-disk-full fsync=always 1 not_converged|metastable|censored
redis-lost-writes fsync=no 1 not_converged|metastable|censored
nginx-slow-upstream front=naive 1 converged|recovered_under_fault
nginx-upstream-killed front=naive 1 converged
dns-loss names=--naive 1 converged|recovered_under_fault
CASES
    # An ordinary user has neither memory control groups nor the packet filter.
    [[ $EUID -ne 0 ]] || cat <<'CASES'
redis-oom-killed - 0 recovered_under_fault|converged|absorbed
redis-partitioned - 0 converged
redis-oom-killed shop=--naive 1 not_converged|metastable|censored|converged|recovered_under_fault|converged_to_new_level
redis-partitioned shop=--naive 1 not_converged|metastable
CASES
}

# The playbooks name programs under ./build; a variant build is put in their place by a copy.
run_case() { # INDEX PLAYBOOK VARIABLE
    local file=$work/$2.yaml arguments=()

    sed "s#\./build/#$BUILD/#g" "playbooks/$2.yaml" > "$work/$1.yaml"
    [[ $3 == - ]] || arguments=(--var "$3")
    "$BUILD/perturb" run "$work/$1.yaml" "${arguments[@]}" --out "$work/run-$1" > "$work/$1.log" 2>&1
    echo $? > "$work/$1.status"
}

judge() { # INDEX PLAYBOOK VARIABLE STATUS VERDICTS -> problem or nothing
    python3 - "$work/run-$1/result.json" "$(cat "$work/$1.status")" "$4" "$5" <<'PYTHON'
import json, sys
path, status, wanted, verdicts = sys.argv[1:]
try:
    result = json.load(open(path))
except Exception as error:
    sys.exit(f"no result document: {error}")
verdict = result["verdict"]["verdict"]
problems = []
if verdict not in verdicts.split("|"):
    problems.append(f"verdict {verdict}, wanted {verdicts}")
if status != wanted:
    problems.append(f"status {status}, wanted {wanted}")
if result["verdict"]["status"] != int(status):
    problems.append("the document's status is another than the process's")
for fault in result["faults"]:
    if not fault["fired"] or fault["injected_s"] is None:
        problems.append(f"{fault['name']} never acted")
    if fault["released_s"] is None:
        problems.append(f"{fault['name']} was not released")
events = [json.loads(line) for line in open(path.replace("result.json", "events.jsonl"))]
acted = {e["fields"]["fault"] for e in events if e["kind"] == "fault_acted"}
if acted != {f["name"] for f in result["faults"]}:
    problems.append(f"the event log tells of {acted}")
if [e["seq"] for e in events] != list(range(1, len(events) + 1)):
    problems.append("event numbers have holes")
for line in result["undo"]:
    if line["outcome"] not in ("undone", "moot"):
        problems.append(f"undo: {line}")
for line in result["verify"]:
    if line["outcome"] != "proven":
        problems.append(f"verify: {line}")
print("; ".join(problems))
PYTHON
}

mapfile -t lines < <(cases)
echo "1..${#lines[@]}"
for index in "${!lines[@]}"; do
    read -r playbook variable _ <<< "${lines[$index]}"
    while (($(jobs -rp | wc -l) >= parallel)); do wait -n; done
    run_case "$index" "$playbook" "$variable" &
done
wait
failed=0
for index in "${!lines[@]}"; do
    read -r playbook variable status verdicts <<< "${lines[$index]}"
    problem=$(judge "$index" "$playbook" "$variable" "$status" "$verdicts" 2>&1)
    if [[ -z $problem ]]; then
        echo "ok $((index + 1)) - $playbook $variable"
    else
        echo "not ok $((index + 1)) - $playbook $variable"
        echo "# $problem"
        sed 's/^/# /' "$work/$index.log" | tail -n 45
        failed=1
    fi
done
((failed)) || rm -rf "$work"
exit $failed
