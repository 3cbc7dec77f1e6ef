#!/bin/bash
# The web page in Debian's chromium: start, watch, halt. The rest of it: tests/prove/test_page.sh.
# beside: others
set -u
cd "$(dirname "$0")/../.." || exit 1
exec tests/support/page tests/e2e/page.cjs playwright-core@1
