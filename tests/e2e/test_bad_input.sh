#!/bin/bash
# Bad input and a hostile world: each gives one clear located message, the documented status, and leaves nothing behind: no
# process, no control group, no registration, no fault.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
perturb=$BUILD/perturb
work=$(mktemp -d "${TMPDIR:-/tmp}/bad-XXXXXX") || exit 1
export PERTURB_REGISTRY=$work/registry XDG_STATE_HOME=$work/state BAD_INPUT_MARK=$work NO_COLOR=1
mkdir -m 700 "$PERTURB_REGISTRY" "$XDG_STATE_HOME"
cd "$work" || exit 1

points=0 failures=0
declare -a plain=()
# Root may read and write everything, unless it gives that up.
[[ $EUID -eq 0 ]] && plain=(setpriv --bounding-set "-dac_override,-dac_read_search" --)

# A playbook that passes; the cases break one line of it each.
cat > good.yaml << END
perturb: 1
title: A store behind a proxy
warmup: 0s
vars: {rate: 200/s}
targets:
  store:
    command: [$BUILD/sample-store, --port, "\${port.store}"]
    ready: {tcp: "127.0.0.1:\${port.store}", timeout: 1s}
proxies:
  wire: {upstream: "127.0.0.1:\${port.store}"}
load:
  main: {resp: {url: "redis://\${proxies.wire.listen}"}, rate: "\${vars.rate}"}
steady-state-hypothesis:
  - {signal: main.goodput, min: 20%}
method:
  - {fault: latency, proxy: wire, latency: 5ms, for: 200ms}
expect:
  convergence: {band: 90%, hold: 200ms, bin: 5ms}
observe: 1s
END

variant() { # NAME SED-SCRIPT
    sed "$2" good.yaml > "$1.yaml"
    cmp -s good.yaml "$1.yaml" && echo "# the variant $1 is no variant"
}

# Living processes that this script started, itself and its helpers excepted.
ours() {
    local file pid

    for file in $(grep -lzFx -- "BAD_INPUT_MARK=$work" /proc/[0-9]*/environ 2> /dev/null); do
        pid=${file//[^0-9]/}
        [[ $(readlink "/proc/$pid/exe" 2> /dev/null) == "$BUILD"/* && $pid != "${listener:-}" ]] && echo "$pid"
    done
}

left_behind() {
    local deadline=$((SECONDS + 5)) pids run

    while pids=$(ours) && [[ -n $pids && $SECONDS -lt $deadline ]]; do read -r -t 0.05 <> <(:); done
    [[ -n $pids ]] && echo "processes $pids"
    [[ -n $(ls -A "$PERTURB_REGISTRY/runs" 2> /dev/null) ]] && echo "a registration"
    [[ -n $(ls -A "$PERTURB_REGISTRY/pages" 2> /dev/null) ]] && echo "a control page"
    run=$(sed -n 's/^run \([^,]*\),.*/\1/p' out)
    [[ -n $run && -n $(find /sys/fs/cgroup -maxdepth 4 -name "perturb-$run" 2> /dev/null) ]] && echo "its control group"
    return 0
}

# judge NAME STATUS WANTED-STATUS MESSAGE-FILE WANTED: one line that matches, and nothing left.
judge() {
    local name=$1 status=$2 wanted_status=$3 file=$4 wanted=$5 lines left

    points=$((points + 1))
    lines=$(wc -l < err)
    left=$(left_behind)
    if [[ $status -eq $wanted_status && -z $left ]] && grep -qE -- "$wanted" "$file" && [[ $lines -eq $([[ $file == err ]] && echo 1 || echo 0) ]]; then
        echo "ok $points - $name"
        return
    fi
    failures=$((failures + 1))
    echo "not ok $points - $name"
    echo "# status $status, expected $wanted_status; $lines lines on stderr; left: ${left:-nothing}; expected: $wanted"
    sed 's/^/# | /' err
    tail -n 40 "$file" | sed 's/^/# : /'
}

# refuses NAME STATUS REGEX COMMAND...: the message is the only line on stderr.
refuses() {
    local name=$1 status=$2 wanted=$3

    shift 3
    rm -rf dir
    "$@" > out 2> err < /dev/null
    judge "$name" $? "$status" err "$wanted"
}

broken() { # NAME STATUS REGEX SED-SCRIPT: a variant of the playbook, run
    variant broken "$4"
    refuses "$1" "$2" "$3" "$perturb" run broken.yaml --out dir
}

echo "1..38"

# ---- the file ----
broken "an unknown fault" 65 "^perturb: broken.yaml:16:13: unknown fault 'latencie'; did you mean latency" 's/fault: latency/fault: latencie/'
broken "a value out of range" 65 '^perturb: broken.yaml:16:44: latency: 700s is above the maximum of 10m' 's/latency: 5ms/latency: 700s/'
broken "a value that is no duration" 65 "^perturb: broken.yaml:16:44: latency: .*'soon'" 's/latency: 5ms/latency: soon/'
broken "an unknown parameter" 65 '^perturb: broken.yaml:16:[0-9]*: .*latncy.*latency' 's/latency: 5ms/latncy: 5ms/'
broken "an unknown key" 65 "^perturb: broken.yaml:3:1: .*'titel'; did you mean title" 's/^title: /title: x\ntitel: /'
broken "malformed YAML" 65 '^perturb: broken.yaml:1[0-9]:[0-9]*: not YAML' 's/- {signal: main/- {signal: [main/'
broken "a key given twice" 65 "^perturb: broken.yaml:3:1: key 'title' is given twice" 's/^title: .*/&\ntitle: again/'
broken "an unknown variable" 65 '^perturb: broken.yaml:[0-9]*:[0-9]*: unknown variable ..vars.rat.' 's/vars.rate}/vars.rat}/'
broken "an unknown variable in a command" 65 '^perturb: broken.yaml:7:[0-9]*: unknown variable ..prt.store.' 's/--port, "${port/--port, "${prt/'
broken "an unset environment variable" 65 '^perturb: broken.yaml:[0-9]*:[0-9]*: .*BAD_INPUT_UNSET' 's/200\/s/"${env.BAD_INPUT_UNSET}"/'
broken "another schema version" 65 '^perturb: broken.yaml:1:10: .*version 2.*version 1' 's/^perturb: 1/perturb: 2/'
broken "a proxy that is not there" 65 "^perturb: broken.yaml:16:[0-9]*: .*'wirre'.*wire" 's/proxy: wire/proxy: wirre/'
broken "a proxy without an upstream" 65 '^perturb: broken.yaml:10:[0-9]*: .*upstream' 's/{upstream: .*/{listen: "127.0.0.1:0"}/'
broken "a signal of no load" 65 "^perturb: broken.yaml:14:[0-9]*: .*'?other" 's/signal: main/signal: other/'
broken "an empty file" 65 '^perturb: broken.yaml' 'd'
printf '{"perturb": 1, "title": "x",, "load": {}}\n' > broken.json
refuses "malformed JSON" 65 '^perturb: broken.json:1:2[89]: not JSON' "$perturb" run broken.json
printf '{"perturb": 1,\n "title": "x", "title": "y"}\n' > broken.json
refuses "a key given twice in JSON" 65 "^perturb: broken.json:2:[0-9]*: key 'title' is given twice" "$perturb" run broken.json
refuses "check tells the same" 65 "^perturb: broken.json:2:[0-9]*: key 'title' is given twice" "$perturb" check broken.json
refuses "a file that is not there" 65 '^perturb: absent.yaml: .*No such file' "$perturb" run absent.yaml
refuses "a directory instead of a file" 65 '^perturb: state: .*Is a directory' "$perturb" run state
cp good.yaml closed.yaml && chmod 000 closed.yaml
refuses "an unreadable file" 65 '^perturb: closed.yaml: .*Permission denied' "${plain[@]}" "$perturb" run closed.yaml

# ---- the command line ----
refuses "a seed that is no number" 64 "^perturb: --seed: .*'garbage'" "$perturb" run good.yaml --seed garbage
refuses "a negative seed" 64 "^perturb: --seed: .*'-1'" "$perturb" run good.yaml --seed -1
refuses "an unknown option" 64 '^perturb: --frob' "$perturb" run good.yaml --frob
refuses "no playbook" 64 '^perturb: run: name a playbook' "$perturb" run
refuses "an override of no variable" 65 "^perturb: .*nonesuch" "$perturb" run good.yaml --var nonesuch=1

# ---- the world ----
broken "a missing program" 69 "^perturb: broken.yaml:[67]:[0-9]*: target 'store': the program .*/sample-stoer' is not found" 's/sample-store,/sample-stoer,/'
broken "a target that ends at its start" 69 "^perturb: broken.yaml:[67]:[0-9]*: target 'store' ended with status 1 before it was ready" \
    's|command: .*|command: [sh, -c, "exit 1"]|'
broken "a target that is never ready" 69 "^perturb: broken.yaml:[67]:[0-9]*: target 'store' was not ready within 1 s" \
    's|command: .*|command: [sleep, "60"]|'
broken "a process that is not there" 69 "^perturb: broken.yaml:[67]:[0-9]*: target 'store' selects no process" 's/command: .*/pid: 4194303/'
broken "a control group without a process" 69 "^perturb: broken.yaml:[67]:[0-9]*: target 'store' selects no process" \
    's|command: .*|cgroup: /sys/fs/cgroup/nonesuch|'
"$BUILD/sample-store" --port 0 > port &
listener=$!
until port=$(sed -n 's/.*127.0.0.1:\([0-9]*\)$/\1/p' port) && [[ -n $port ]]; do read -r -t 0.02 <> <(:); done
broken "a busy port of a proxy" 69 "^perturb: broken.yaml:10:[0-9]*: proxy 'wire' cannot listen on 127.0.0.1:$port: Address already in use" \
    "s/{upstream:/{listen: \"127.0.0.1:$port\", upstream:/"
broken "a busy port of a target" 69 "^perturb: broken.yaml:[67]:[0-9]*: target 'store' ended with status .*in use" \
    "s/--port, .*\]/--port, \"$port\"]/;s/ready: .*/ready: {http: \"http:\/\/127.0.0.1:\${port.store}\/\", timeout: 1s}/"
kill "$listener"
wait "$listener" 2> /dev/null
variant upstream "s/{upstream: .*/{upstream: \"127.0.0.1:$port\"}/"
rm -rf dir
"$perturb" run upstream.yaml --out dir > out 2> err
status=$?
judge "an upstream that does not listen fails the steady state and is named" $status 2 dir/result.json \
    "\"why\":[^\"]*\".*proxy 'wire' \(upstream.yaml:10:[0-9]*\) could not connect to its upstream 127.0.0.1:$port"
mkdir -m 555 readonly
refuses "a run directory that cannot be made" 69 '^perturb: readonly/dir: .*Permission denied' "${plain[@]}" "$perturb" run good.yaml --out readonly/dir
refuses "a run directory that is a file" 69 '^perturb: good.yaml: .*Not a directory' "$perturb" run good.yaml --out good.yaml
chmod 500 "$PERTURB_REGISTRY/runs"
refuses "a registry that cannot be written" 69 "^perturb: $PERTURB_REGISTRY/runs/.*: the run cannot be registered: Permission denied" \
    "${plain[@]}" "$perturb" run good.yaml --out dir
chmod 700 "$PERTURB_REGISTRY/runs"
chmod 755 "$PERTURB_REGISTRY"
refuses "a registry that is open to others" 69 "^perturb: registry: the registry directory $PERTURB_REGISTRY is refused" "$perturb" run good.yaml --out dir
chmod 700 "$PERTURB_REGISTRY"

cd / && if [[ $failures -eq 0 ]]; then rm -rf "$work"; else echo "# kept: $work"; fi
[[ $failures -eq 0 ]]
