#!/bin/bash
# perturb load against real servers. The oracle of what was asked is the server's own book: nginx's access log, PostgreSQL's rows.
# beside: others
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath "${BUILD:-build}")
work=$(mktemp -d -p /tmp) # where another user can get to: the server does not run as root
failed=0
number=0
pids=()

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

finish() {
    [[ -f $work/db/data/postmaster.pid ]] && as_server "$bin/pg_ctl" stop -m immediate -w -D "$work/db/data" > /dev/null 2>&1
    for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null; done
    wait
    rm -rf "$work"
}
trap finish EXIT

deadline=$(($(date +%s) + ${PERTURB_TEST_TIMEOUT_MS:-30000} / 1000))
wait_for() { # COMMAND...
    until "$@" > /dev/null 2>&1; do
        if [[ $(date +%s) -gt $deadline ]]; then
            echo "Bail out! never became true: $*"
            exit 1
        fi
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A load's result in $json, its status in $status.
load() { json=$("$BUILD/perturb" load "$@" --format json 2> "$work/errors"); status=$?; }
of() { python3 -c 'import json, sys; v = json.loads(sys.argv[1])
for k in sys.argv[2].split("."): v = v.get(k, 0)
print(v)' "$json" "$1"; }
expect() { # TEXT ACTUAL EXPECTED: a line when they differ
    [[ $2 == "$3" ]] || echo "$1: $2, expected $3; $json $(cat "$work/errors")"
}

echo 1..9

# ---- nginx: TLS, HTTP/2 by ALPN and by prior knowledge, HTTP/1.1 only ------------------------------------------------------------
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2> /dev/null
tls=$(free_port) plain=$(free_port) old=$(free_port)
cat > "$work/nginx.conf" << CONF
worker_processes 1; daemon off; pid $work/nginx.pid; error_log $work/error.log;
events { worker_connections 512; }
http {
  log_format book '\$server_port \$server_protocol \$request_method \$uri \$http_x_colour'; access_log $work/access.log book;
  client_body_temp_path $work/b; proxy_temp_path $work/p; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
  ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem; keepalive_requests 100000;
  server { listen 127.0.0.1:$tls ssl http2; location / { return 200 'hello'; } }
  server { listen 127.0.0.1:$plain http2; location / { return 200 'hello'; } }
  server { listen 127.0.0.1:$old ssl; location / { return 200 'hello'; } }
}
CONF
nginx -c "$work/nginx.conf" -p "$work" 2> /dev/null &
pids+=($!)
wait_for curl -sk "https://127.0.0.1:$old/"
: > "$work/access.log"

load "https://localhost:$old/a" --rate 20 --duration 1s --timeout 10s --ca "$work/cert.pem" --expect hello --header 'X-Colour: blue'
point "HTTPS with a trusted certificate" "$(expect failed "$(of failed)" 0
    expect "the server's book" "$(grep -c "^$old HTTP/1.1 GET /a blue$" "$work/access.log")" "$(of planned)")"

load "https://localhost:$old/" --rate 5 --duration 1s --timeout 10s
point "a certificate nobody trusts is a failed connection" "$(expect connect_failed "$(of outcomes.connect_failed)" "$(of planned)"
    [[ $status -ne 0 ]] || echo "it ended with 0")"

load "https://127.0.0.1:$tls/h2" --rate 100 --duration 1s --timeout 10s --http 2 --insecure
point "HTTP/2 by ALPN, on few connections" "$(expect failed "$(of failed)" 0
    expect "the server's book" "$(grep -c "^$tls HTTP/2.0 GET /h2" "$work/access.log")" "$(of planned)"
    [[ $(of connects) -le 3 ]] || echo "$(of connects) connections")"

load "http://127.0.0.1:$plain/h2c" --rate 100 --duration 1s --timeout 10s --http 2 --method POST --body abc
point "HTTP/2 by prior knowledge" "$(expect failed "$(of failed)" 0
    expect "the server's book" "$(grep -c "^$plain HTTP/2.0 POST /h2c" "$work/access.log")" "$(of planned)")"

load "https://127.0.0.1:$old/" --rate 20 --duration 1s --timeout 10s --http 2 --insecure
point "an answer by another version is a wrong reply" "$(expect wrong_reply "$(of outcomes.wrong_reply)" "$(of planned)")"

# ---- PostgreSQL ---------------------------------------------------------------------------------------------------------------------
bin=$(pg_config --bindir 2> /dev/null)
postgres=$(free_port)
as_server() { if [[ $(id -u) -eq 0 ]]; then (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups "$@"); else "$@"; fi; }
mkdir "$work/db"
[[ $(id -u) -eq 0 ]] && chmod 711 "$work" && chown postgres "$work/db"
as_server "$bin/initdb" -D "$work/db/data" -A trust -U tester > "$work/initdb" 2>&1 || { echo "Bail out! initdb: $(cat "$work/initdb")"; exit 1; }
as_server "$bin/pg_ctl" start -W -D "$work/db/data" -l "$work/db/log" -o "-k '' -h 127.0.0.1 -p $postgres" > /dev/null
url="postgres://tester@127.0.0.1:$postgres/postgres"
ask() { "$bin/psql" -XtA "$url" -c "$1"; }
wait_for ask 'SELECT 1'
ask 'CREATE TABLE book (line int)' > /dev/null

load "$url" --rate 100 --duration 1s --timeout 10s --query 'INSERT INTO book VALUES (7) RETURNING line' --value 7
point "each query is one row in the server's book" "$(expect failed "$(of failed)" 0; expect rows "$(ask 'SELECT count(*) FROM book')" "$(of planned)")"

load "$url" --rate 50 --duration 1s --timeout 10s --query "SELECT '77'" --value 7
point "another value is a wrong reply" "$(expect wrong_reply "$(of outcomes.wrong_reply)" "$(of planned)")"

load "$url" --rate 50 --duration 1s --timeout 10s --query "SELECT nothing"
point "an error is a wrong reply, and the connection goes on" "$(expect wrong_reply "$(of outcomes.wrong_reply)" "$(of planned)"
    [[ $(of connects) -lt $(of planned) ]] || echo "$(of connects) connections")"

as_server "$bin/pg_ctl" stop -m fast -w -D "$work/db/data" > /dev/null
load "$url" --rate 50 --duration 1s
point "a refusal is one" "$(expect refused "$(of outcomes.refused)" "$(of planned)")"
exit $failed
