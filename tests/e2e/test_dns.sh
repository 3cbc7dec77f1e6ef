#!/bin/bash
# A real DNS server and a real client with a lossy UDP proxy between them, through a playbook: which of dig's questions are lost is
# what an oracle of its own says, to the single question. The oracle is Philox4x32-10 and the two loss models, written once more.
# beside: others
# time-limit: 240
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
work=$(mktemp -d)
digs=14
failed=0
number=0

point() { # NAME PROBLEM
    number=$((number + 1))
    if [[ -z $2 ]]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        sed 's/^/# /' <<< "$2"
        failed=1
    fi
}

# Which of the first COUNT questions are lost, as a line of 0 and 1. A try of dig is a session of its own: its first datagram.
oracle() { # MODEL RULE PROXY COUNT
    python3 - "$@" <<'PYTHON'
import sys
M32, M64 = 2**32 - 1, 2**64 - 1
def draw(seed, name, stream, position):
    key = seed ^ name
    c, k = [position & M32, position >> 32, stream & M32, stream >> 32], [key & M32, key >> 32]
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b & M32, (a >> 32) ^ c[3] ^ k[1], a & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c[1] << 32 | c[0]
def mix(a, b):
    return draw(a, b, 0, 0)
def name_hash(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 & M64
    return value
def chance(value, share):
    return value * 1000000 >> 64 < share
model, rule, proxy, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
bad, line = False, ""
for session in range(1, count + 1):
    value = draw(42, name_hash(rule), mix(mix(name_hash(proxy), session), 1), 3)
    if model == "random":
        lost = chance(value, 300000)
    else:
        lost = chance(value, 1000000 if bad else 0)
        if chance(mix(value, 1), 400000 if bad else 250000):
            bad = not bad
    line += "1" if lost else "0"
print(line)
PYTHON
}

cat > "$work/dns.yaml" <<YAML
perturb: 1
title: dig's questions are lost as the model says
seed: "42"
targets:
  dns:
    command: [dnsmasq, --keep-in-foreground, --conf-file=/dev/null, --no-resolv, --no-hosts, --pid-file=, --bind-interfaces,
              --listen-address=127.0.0.1, "--port=\${port.dns}", --address=/shop.test/192.0.2.1]
    ready: {tcp: "127.0.0.1:\${port.dns}"}
  front:
    command: [$BUILD/sample-names, --port, "\${port.front}", --dns, "127.0.0.1:\${port.dns}"]
    ready: {http: "http://127.0.0.1:\${port.front}/healthz"}
proxies:
  random: {protocol: udp, upstream: "127.0.0.1:\${port.dns}"}
  bursts: {protocol: udp, upstream: "localhost:\${port.dns}", idle: 300ms}
load:
  main: {http: {url: "http://127.0.0.1:\${port.front}/healthz", timeout: 2s}, rate: 20/s}
steady-state-hypothesis:
  - {signal: main.goodput, min: 1%}
method:
  - {fault: loss, name: alone, proxy: random, direction: to_upstream, p: 30%, at: 0s, for: 40s}
  - {fault: loss, name: chain, proxy: bursts, direction: to_upstream, model: gemodel, p: 25%, r: 40%, at: 0s, for: 40s}
expect:
  convergence: {max: 30s, band: 50%, hold: 1s}
YAML

"$BUILD/perturb" run "$work/dns.yaml" --format json --out "$work/run" > "$work/log" 2>&1 &
run=$!

# The text of a field of the first event of a kind that has the first text; waits for it.
listen_of() { # PROXY
    sed -n "s/.*\"kind\":\"proxy_opened\".*\"proxy\":\"$1\",\"listen\":\"127.0.0.1:\([0-9]*\)\".*/\1/p" <(tr -d ' ' < "$work/log") | head -n 1
}
deadline=$((SECONDS + 6 * ${PERTURB_TEST_TIMEOUT_MS:-10000} / 1000))
until [[ $(grep -c '"fault_armed"' "$work/log") -ge 2 ]] || ((SECONDS >= deadline)) || ! kill -0 "$run" 2> /dev/null; do
    read -r -t 0.05 <> <(:)
done
point "both faults are armed" "$([[ $(grep -c '"fault_armed"' "$work/log") -ge 2 ]] || tail -n 20 "$work/log")"

# One question at a time, each one try: 1 for each that was lost.
ask() { # PROXY
    local port line=""

    port=$(listen_of "$1")
    for ((i = 0; i < digs; i++)); do
        dig +tries=1 +time=1 +short @127.0.0.1 -p "$port" shop.test > "$work/$1.dig" 2>&1
        if grep -qx '192\.0\.2\.1' "$work/$1.dig"; then line+=0; else line+=1; fi
    done
    echo "$line" > "$work/$1.lost"
}
ask random &
first=$!
ask bursts &
wait "$first" $!
for proxy in random bursts; do
    [[ $proxy == random ]] && rule=alone || rule=chain
    wanted=$(oracle "$proxy" "$rule" "$proxy" "$digs")
    got=$(cat "$work/$proxy.lost")
    point "$proxy: the very questions are lost that the model says" "$([[ $got == "$wanted" && $wanted == *1* && $wanted == *0* ]] || echo "lost $got, wanted $wanted")"
done

# dig asks again by itself: as many times as the questions from here on are lost in a row.
wanted=$(oracle random alone random $((digs + 40)))
wanted=${wanted:digs}
tries=0
asked=0
for ((i = 0; i < 4; i++)); do
    dig +tries=12 +time=1 @127.0.0.1 -p "$(listen_of random)" shop.test > "$work/again.dig" 2>&1
    lost=$(grep -c 'timed out' "$work/again.dig")
    tries=$((tries + lost))
    asked=$((asked + lost + 1))
    grep -q '192\.0\.2\.1' "$work/again.dig" || tries=-1000
done
ones=${wanted:0:asked}
ones=${ones//0/}
point "dig asks again as often as the oracle says" "$([[ $tries -eq ${#ones} && $tries -ge 0 ]] || echo "asked again $tries times, oracle ${#ones} of $asked: $wanted")"

kill -INT "$run"
wait "$run"
point "counts, accounts and verification" "$(python3 - "$work/run" "$digs" "$asked" \
    "$(oracle random alone random $((digs + asked)))" "$(oracle bursts chain bursts "$digs")" 2>&1 <<'PYTHON'
import json, sys
path, digs, asked, random, bursts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
result = json.load(open(path + "/result.json"))
faults = {f["name"]: f for f in result["faults"]}
proxies = {p["proxy"]: p for p in result["datagrams"]}
for name, proxy, lost in (("alone", "random", random), ("chain", "bursts", bursts)):
    if faults[name]["fired"] != lost.count("1"):
        print(f"{name}: fired {faults[name]['fired']}, oracle {lost.count('1')}")
    if faults[name]["matched"] != len(lost):
        print(f"{name}: matched {faults[name]['matched']}, asked {len(lost)}")
    d = proxies[proxy]
    if d["dropped"] != lost.count("1") or d["failed"] or d["no_room"] or d["overrun"]:
        print(f"{proxy}: {d}")
    if d["came"] != d["passed"] + d["dropped"] or d["passed"] != 2 * lost.count("0"):
        print(f"{proxy}: {d} does not add up: {lost.count('0')} answered")
    if d["sessions"] != len(lost):
        print(f"{proxy}: {d['sessions']} sessions for {len(lost)} tries")
if not proxies["bursts"]["expired"]:
    print("no idle session ended")
events = [json.loads(line) for line in open(path + "/events.jsonl")]
acted = {e["fields"]["fault"]: e["fields"] for e in events if e["kind"] == "fault_acted"}
for name, lost in (("alone", random), ("chain", bursts)):
    if int(acted[name]["stream"]) != lost.index("1") + 1 or int(acted[name]["position"]) != 1:
        print(f"{name}: acted first at {acted[name]}, oracle session {lost.index('1') + 1}")
for line in result["verify"]:
    if line["outcome"] != "proven":
        print(line)
PYTHON
)"
echo "1..$number"
((failed)) || rm -rf "$work"
exit "$failed"
