#!/usr/bin/env python3
# As tests/e2e/test_attach_load.py, with 100 kills of attach and detach of each program.
# time-limit: 1200
import os, sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), folder) for folder in ("../e2e", "../support")]
import test_attach_load

test_attach_load.KILLS = 100
sys.exit(test_attach_load.main())
