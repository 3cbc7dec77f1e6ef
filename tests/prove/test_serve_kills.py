#!/usr/bin/env python3
# The service killed a thousand times at random instants (SERVE_KILLS=n for so many).
# time-limit: 5400
import os, sys

sys.path.insert(0, "tests/support")
import serve_kills

serve_kills.main(int(os.environ.get("SERVE_KILLS", "1000")), 4)
