#!/usr/bin/env python3
"""Every command and every unit test under our own shim, with the 1st, 2nd, ... n-th allocation and call failing: each failure is
clean (what that means: tests/support/torture.py). Every call of a point where that comes to 600 runs or fewer and the time is there;
else the 1st, 2nd, 4th, 8th ... and as many of the others as the time allows, which the figures tell. PERTURB_TORTURE=WORD,...: only what has one of them
in its name. PERTURB_TORTURE_S=SECONDS: another time for the whole."""
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
    sys.exit(torture.play(subjects, 600, int(os.environ.get("PERTURB_TORTURE_S", "4800"))))
