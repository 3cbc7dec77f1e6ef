#!/bin/bash
# The web page in Debian's chromium, in whole: hostile texts everywhere, accessibility by axe-core in light and dark, keyboard, streams that
# drop, what the first load weighs, event to pixel, script a frame. playwright-core and axe-core come from npm into a directory of its own.
# time-limit: 420
set -u
cd "$(dirname "$0")/../.." || exit 1
exec tests/support/page tests/prove/page.cjs playwright-core@1 axe-core@4
