# For tests that attach: what of a process leads into the library, by its memory; waiting.
import os, struct, time

SCALE = float(os.environ.get("PERTURB_TEST_TIMEOUT_MS", "10000")) / 10000


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def until(look, seconds):
    deadline = time.monotonic() + seconds * SCALE
    while time.monotonic() < deadline:
        if look():
            return True
        time.sleep(0.01)
    return bool(look())


def slots(pid):
    """How many words of its objects' data lead into libperturb.so."""
    ranges, places, count = [], [], 0
    for line in read(f"/proc/{pid}/maps").splitlines():
        words = line.split(maxsplit=5)
        first, last = (int(part, 16) for part in words[0].split("-"))
        path = words[5] if len(words) > 5 else ""
        if path.endswith("/libperturb.so"):
            ranges.append((first, last))
        elif path.startswith("/") and "x" not in words[1] and words[1].endswith("p") and last - first < 1 << 22:
            places.append((first, last))
    if not ranges:
        return 0
    low, high = min(pair[0] for pair in ranges), max(pair[1] for pair in ranges)
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for first, last in places:
            memory.seek(first)
            held = memory.read(last - first)
            count += sum(low <= word < high for (word,) in struct.iter_unpack("<Q", held[: len(held) // 8 * 8]))
    return count
