#!/usr/bin/env python3
"""The page of a run of ten minutes, with all that a report can show and every plot full: at most 1 MiB, and painted within a second of its
navigation in headless Chromium (median of five, by the browser's own clock). Without chromium the second point is left out, and said so.

time-limit: 300
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
perturb = os.path.join(os.environ.get("BUILD", os.path.join(top, "build")), "perturb")
work = tempfile.mkdtemp()
PLOT_BINS = 1200  # what the run writes of a series at most


def document():
    """tests/golden/report/full.json, stretched to ten minutes and to 12 signals."""
    with open(os.path.join(top, "tests/golden/report/full.json"), encoding="utf-8") as file:
        result = json.load(file)
    result["signals"] *= 3
    for number, signal in enumerate(result["signals"]):
        values, series = signal["series"]["values"], signal["series"]
        signal["signal"] = f"{signal['signal']}.{number}"
        series["values"] = [round(values[i * len(values) // PLOT_BINS] * (1 + 1e-4 * (i * 7919 % 97)), 9) for i in range(PLOT_BINS)]
        series["bin_s"] = 600 / PLOT_BINS
    return result


class Browser:
    """Chromium over its pipe: JSON ended by NUL on descriptors 3 and 4."""

    def __init__(self, program):
        to_it, self.out = os.pipe()
        self.inp, from_it = os.pipe()
        kept = [os.dup(to_it), os.dup(from_it)]

        def place():
            spare = [os.dup(kept[0]), os.dup(kept[1])]
            os.dup2(spare[0], 3)
            os.dup2(spare[1], 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={work}/profile"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=place, close_fds=False, start_new_session=True)
        for fd in (to_it, from_it, *kept):
            os.close(fd)
        self.number, self.rest = 0, b""

    def call(self, method, session=None, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                block = os.read(self.inp, 65536)
                if not block:
                    raise RuntimeError("chromium has gone")
                self.rest += block
            text, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(text)
            if answer.get("id") == self.number:
                return answer.get("result", {})

    def first_paint_s(self, url):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.navigate", session, url=url)
        give_up = time.monotonic() + 30
        painted = None
        while painted is None and time.monotonic() < give_up:
            painted = self.call("Runtime.evaluate", session, returnByValue=True,
                                expression="(performance.getEntriesByName('first-contentful-paint')[0] || {}).startTime").get("result", {}).get("value")
        self.call("Target.closeTarget", targetId=target)
        return (painted if painted is not None else 1e6) / 1e3

    def end(self):
        try:
            self.call("Browser.close")
        except (RuntimeError, OSError):
            pass
        self.process.wait(timeout=30)


print("1..2", flush=True)
os.mkdir(f"{work}/run")
with open(f"{work}/run/result.json", "w", encoding="utf-8") as out:
    json.dump(document(), out)
subprocess.run([perturb, "report", f"{work}/run", "--format", "html", "--output", f"{work}/page.html"], check=True)
size = os.path.getsize(f"{work}/page.html")
print(f"{'ok' if size <= 1 << 20 else 'not ok'} 1 - the page is at most 1 MiB\n# {size} bytes, {len(document()['signals'])} signals of {PLOT_BINS} bins")
chromium = shutil.which("chromium")
good = True
if not chromium:
    print("ok 2 - first paint within 1 s # SKIP no chromium")
else:
    browser = Browser(chromium)
    browser.first_paint_s(f"file://{work}/page.html")  # starts what it starts once
    times = [browser.first_paint_s(f"file://{work}/page.html") for _ in range(5)]
    browser.end()
    good = statistics.median(times) < 1
    print(f"{'ok' if good else 'not ok'} 2 - first paint within 1 s\n# {', '.join(f'{one * 1e3:.0f}' for one in times)} ms, load {os.getloadavg()[0]:.1f}")
shutil.rmtree(work, ignore_errors=True)
sys.exit(0 if good and size <= 1 << 20 else 1)
