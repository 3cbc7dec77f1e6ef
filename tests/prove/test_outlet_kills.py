#!/usr/bin/env python3
# The process that tells a run is killed 500 times at random instants: nothing is lost, the order is kept, what comes twice has one id.
# time-limit: 600
import os, random, shutil, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from outlet_kills import ordeal

KILLS = 500


def main():
    work = tempfile.mkdtemp()
    seed = random.SystemRandom().randrange(1 << 32)
    os.mkdir(work + "/state", 0o700)
    print("1..1", flush=True)
    hits, wrong = ordeal(os.path.realpath(os.environ.get("BUILD", "build")) + "/perturb", work, {**os.environ, "XDG_STATE_HOME": work + "/state"}, KILLS, seed)
    print(f"# seed {seed}, {hits} kills {wrong}")
    print(("not ok" if wrong or hits < KILLS else "ok") + " 1 - a killed teller loses nothing")
    shutil.rmtree(work)
    return 1 if wrong or hits < KILLS else 0


sys.exit(main())
