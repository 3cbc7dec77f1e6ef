#!/usr/bin/env python3
"""Every command and every unit test under our own shim, with the 1st, 2nd, ... n-th allocation and call failing: each failure is
clean (what that means: tests/support/torture.py). All of the first 150 calls of a point, then 12 a doubling, for at most 60 s a point.
PERTURB_TORTURE=WORD,...: only what has one of them in its name."""
# time-limit: 7200
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import torture  # noqa: E402
import torture_subjects  # noqa: E402

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
with tempfile.TemporaryDirectory() as folder:
    subjects = torture_subjects.commands(torture_subjects.store_run(folder)) + torture_subjects.unit_tests() + [torture_subjects.whole_run()]
    sys.exit(torture.play(subjects, 150, 12, 600, 60))
