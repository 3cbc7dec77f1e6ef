"""The boxes of a page, typed as a reader would: ```sh blocks are run in their order, and of each the lines of the ```text block that
follows must be seen, in their order. Numbers stand for any number; what a shown line leaves out at its end may be there.
A block behind <!-- slow --> is run only when asked for. ```console blocks are not run."""
import os, re, shutil, subprocess, tempfile

BLOCK = re.compile(r"(<!-- slow -->\n)?^```sh\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.M | re.S)


def plain(line):
    return re.sub(r"\d+(\.\d+)?", "#", " ".join(line.split()))


def missing(shown, seen):
    """The first shown line that is not in what was seen, after the lines before it; None when all are."""
    lines = [plain(line) for line in seen.splitlines()]
    at = 0
    for line in shown.splitlines():
        wanted = plain(line)
        while at < len(lines) and wanted not in lines[at]:
            at += 1
        if at == len(lines):
            return line
        at += 1
    return None


def run_page(root, build, page, slow, limit_s):
    """A TAP point a block. Returns the number of failures."""
    with open(os.path.join(root, page), encoding="utf-8") as file:
        blocks = [b for b in BLOCK.findall(file.read()) if slow or not b[0]]
    work = tempfile.mkdtemp(prefix="page-")
    for name, place in (("build", build), ("playbooks", os.path.join(root, "playbooks"))):
        os.symlink(place, os.path.join(work, name))
    failures = 0
    print(f"1..{len(blocks)}", flush=True)
    for number, (_, commands, shown) in enumerate(blocks, 1):
        try:
            done = subprocess.run(["bash", "-e", "-c", f"exec 2>&1\n{commands}"], cwd=work, stdout=subprocess.PIPE, timeout=limit_s)
            seen, status = done.stdout.decode(errors="replace"), done.returncode
        except subprocess.TimeoutExpired as late:
            seen, status = (late.stdout or b"").decode(errors="replace"), f"none after {limit_s} s"
        absent = missing(shown, seen)
        bad = status != 0 or absent is not None
        failures += bad
        print(f"{'not ' if bad else ''}ok {number} - {page}: {commands.splitlines()[0][:70].replace('#', '')}", flush=True)
        if bad:
            print(f"# status {status}; not seen: {absent!r}")
            for line in seen.splitlines()[-60:]:
                print("#", line)
    shutil.rmtree(work, ignore_errors=True)
    return failures
