#!/bin/bash
# `perturb ps`, `halt`, `resume` and `panic` reach every proxy that serves Toxiproxy's API, `perturb proxy` and `perturb-proxy` alike.
# time-limit: 60
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)
failed=0
number=0

check() { # NAME CONDITION...
    local name=$1

    shift
    number=$((number + 1))
    if "$@"; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        tail -n 20 "$work"/said "$work"/log-* 2> /dev/null | sed 's/^/# /'
        failed=1
    fi
}

start() { # NAME COMMAND...: sets port and pid
    local name=$1

    shift
    LOG_LEVEL=info "$@" > "$work/log-$name" 2>&1 &
    pid=$!
    for _ in $(seq 200); do
        port=$(sed -n 's/.*"port":"\([0-9]*\)".*Starting Toxiproxy HTTP server.*/\1/p' "$work/log-$name")
        [[ -n $port ]] && return
        read -rt 0.05 <> <(:)
    done
}

api() { # METHOD PATH BODY: the answer, head and all
    local said

    exec 3<> "/dev/tcp/127.0.0.1/$port" || return 1
    printf '%s %s HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" "${#3}" "$3" >&3
    said=$(cat <&3)
    exec 3>&-
    printf '%s\n' "$said" > "$work/said"
    printf '%s\n' "$said"
}

says() { # WORDS COMMAND...: within ten seconds
    local words=$1

    shift
    for _ in $(seq 200); do
        "$@" > "$work/said" 2>&1
        grep -qF -- "$words" "$work/said" && return 0
        read -rt 0.05 <> <(:)
    done
    return 1
}

toxic='{"type":"latency","attributes":{"latency":1000}}'
proxy='{"name":"shop\u001b[31m","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","toxics":['$toxic']}'
perturb=$BUILD/perturb

for program in "$perturb proxy" "$BUILD/perturb-proxy"; do
    # shellcheck disable=SC2086
    start "${program##*/}" $program -port 0
    api POST /proxies "$proxy" > /dev/null
    check "$program: ps names it" says "proxy  by $pid  toxics armed" "$perturb" ps
    check "... its API" grep -qF "API at 127.0.0.1:$port" "$work/said"
    check "... its proxy, escape characters tamed" grep -qF "shop?[31m  127.0.0.1:" "$work/said"
    check "... its toxic" grep -qx "    latency_downstream = latency:latency=1s,direction=to_client" "$work/said"
    "$perturb" halt > "$work/said" 2>&1
    check "halt ends well" test $? -eq 0
    check "... and says so" grep -qF "1 proxy released, 0 not yet" "$work/said"
    check "the toxic is gone" grep -qF '"toxics":[]' <(api GET /proxies '')
    check "a new one is refused" grep -qF '503 Service Unavailable' <(api POST /proxies/shop%1b%5b31m/toxics "$toxic")
    check "... with the reason" grep -qF '"error":"halted: no toxic may be added until `perturb resume`","status":503' "$work/said"
    check "... in a populate too" grep -qF '"status":503' <(api POST /populate "[$proxy]")
    check "a proxy without toxics is not" grep -qF '201 Created' <(api POST /proxies '{"name":"b","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}')
    check "ps says so" says "halted: its toxics are removed" "$perturb" ps
    "$perturb" resume > /dev/null
    check "resume allows them again" grep -qF '200 OK' <(api POST /proxies/b/toxics "$toxic")
    check "and starts nothing" grep -qF '"toxics":[]' <(api GET /proxies/shop%1b%5b31m '')
    "$perturb" panic > "$work/said" 2>&1
    check "panic ends them" says "halted: its toxics are removed" "$perturb" ps
    check "... all" grep -qF '"toxics":[]' <(api GET /proxies/b '')
    kill -TERM "$pid"
    wait "$pid"
    check "ps forgets it" test -z "$("$perturb" ps | grep "^proxy")"
    "$perturb" resume > /dev/null
done

"$perturb" halt > /dev/null
echo "[$proxy]" > "$work/config.json"
start config "$perturb" proxy -port 0 -config "$work/config.json"
check "a file's proxies are opened while halted" grep -qF '"enabled":true' <(api GET /proxies '')
check "... without their toxics" grep -qF '"toxics":[]' <(api GET /proxies '')
check "... and it says so" grep -qF "Halted: the toxics of the file are left out" "$work/log-config"
"$perturb" resume > /dev/null
check "resume is heard" says "nothing armed" "$perturb" ps
kill -KILL "$pid"
wait "$pid" 2> /dev/null
check "ps forgets one that was killed" test -z "$("$perturb" ps | grep "^proxy")"
check "... and its notice" test -z "$(ls "$PERTURB_REGISTRY/proxies")"
echo "1..$number"
rm -rf "$work"
exit $failed
