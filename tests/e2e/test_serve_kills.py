#!/usr/bin/env python3
# beside: others
# The service killed at random instants, twelve times; a thousand times in tests/prove.
# time-limit: 180
import sys

sys.path.insert(0, "tests/support")
import serve_kills

serve_kills.main(12, 2)
