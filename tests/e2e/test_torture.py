#!/usr/bin/env python3
"""A slice of tests/prove/test_torture.py: the commands and the quickest unit tests, with the first calls of each point failing one by
one, then one a doubling."""
# time-limit: 240
# beside: others
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import torture  # noqa: E402
import torture_subjects  # noqa: E402

QUICK = {"test_event", "test_plan", "test_playbook", "test_shim_page", "test_store_files", "test_toxiproxy_toxic",
         "test_wire_change", "test_wire_handoff"}
SLOW = {"exec to an address",  # whose executor, never told to quit, stays for its lease
        "serve, told to end", "proxy, told to end", "serve token add", "serve openapi", "load", "watch", "outlets", "attach", "detach",
        "init", "mark", "arm", "compare", "trend", "findings"}

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
with tempfile.TemporaryDirectory() as folder:
    subjects = [subject for subject in torture_subjects.commands(torture_subjects.store_run(folder)) if subject.name not in SLOW]
    sys.exit(torture.play(subjects + torture_subjects.unit_tests(QUICK), 14, 60, torture.CHIEF))
