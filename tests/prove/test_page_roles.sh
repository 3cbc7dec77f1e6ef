#!/bin/bash
# The web page where tokens are in use, in Debian's chromium: signing in and out by keyboard, what each role is offered, sessions that end,
# accessibility by axe-core in light and dark. playwright-core and axe-core come from npm into a directory of its own.
# time-limit: 420
set -u
cd "$(dirname "$0")/../.." || exit 1
exec tests/support/page tests/prove/page_roles.cjs playwright-core@1 axe-core@4
