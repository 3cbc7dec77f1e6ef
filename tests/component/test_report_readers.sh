#!/bin/bash
# The reports for other tools are read by readers that are not ours: the JUnit files by an XML parser, the journals as JSON with the keys
# that the Chaos Toolkit writes, the annotations line by line.
# beside: others
set -u
cd "$(dirname "$0")/../.." || exit 1
echo 1..3
python3 - <<'PY'
import glob, json, re, sys
import xml.etree.ElementTree as tree

def point(number, name, complaints):
    print(f"{'not ' if complaints else ''}ok {number} - {name}")
    for line in complaints:
        print("#", line)
    return bool(complaints)

def junit(path):
    suite = tree.parse(path).getroot().find("testsuite")
    cases = suite.findall("testcase")
    for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        if sum(case.find(tag) is not None for case in cases) != int(suite.get(key)):
            yield f"{path}: {key} is not the number of <{tag}>"
    if len(cases) != int(suite.get("tests")) or not cases:
        yield f"{path}: tests is not the number of cases"
    status = json.load(open(path.replace(".junit.xml", ".json")))["verdict"]["status"]
    broken = int(suite.get("failures")) + int(suite.get("errors"))
    if (status == 0) != (broken == 0):
        yield f"{path}: status {status}, {broken} broken"

def journal(path):
    d = json.load(open(path))
    for key in ("chaoslib-version", "platform", "node", "experiment", "start", "end", "duration", "status", "deviated", "steady_states", "run", "rollbacks"):
        if key not in d:
            yield f"{path}: no {key}"
    if d["status"] not in ("completed", "failed", "aborted", "interrupted"):
        yield f"{path}: status {d['status']}"
    for record in d["run"]:
        if record["status"] not in ("succeeded", "failed") or "activity" not in record:
            yield f"{path}: a record of run"

def github(path):
    for line in open(path, encoding="utf-8"):
        if not re.fullmatch(r"::(notice|warning|error) file=[^:,\n]*,line=1,title=[^:,\n]*::[^\r\n]*\n", line):
            yield f"{path}: {line!r}"

bad = False
for number, (name, ending, check) in enumerate((("JUnit XML is well formed and its counts agree", ".junit.xml", junit),
                                                ("journals have the keys of journals", ".journal.json", journal),
                                                ("annotations are one line each", ".github.txt", github)), 1):
    paths = glob.glob(f"tests/golden/report/*{ending}")
    bad |= point(number, name, [c for p in paths for c in check(p)] or ([] if paths else ["no files"]))
sys.exit(bad)
PY
