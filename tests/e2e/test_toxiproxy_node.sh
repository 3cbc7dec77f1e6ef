#!/bin/bash
# A third party's client drives `perturb proxy`: npm's toxiproxy-node-client, installed into a directory of its own, in the tests of
# toxiproxy_node.cjs; and the calls of Testcontainers' module, flags and ports' form included.
# time-limit: 120
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
export BUILD

for tool in node npm; do
    if ! command -v "$tool" > /dev/null; then
        echo "1..0 # SKIP $tool is not installed"
        exit 0
    fi
done
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
if ! (cd "$work" && npm install --no-audit --no-fund --no-save --silent toxiproxy-node-client@4 > npm.log 2>&1); then
    echo "1..1"
    echo "not ok 1 - npm installs the client"
    sed 's/^/# /' "$work/npm.log"
    exit 1
fi
CLIENT=$work/node_modules/toxiproxy-node-client WORK=$work node --test --test-reporter=tap tests/e2e/toxiproxy_node.cjs
