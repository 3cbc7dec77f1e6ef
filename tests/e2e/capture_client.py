"""Connects anew every few milliseconds and asks PING: `capture_client.py PORT LOG`. A line each: when it began by the monotonic
clock, how long it took in milliseconds, whom it was connected to as the system tells it, and what came of it."""
import socket
import sys
import time

PORT, LOG = int(sys.argv[1]), open(sys.argv[2], "a", buffering=1)
print("ready", file=LOG)
while True:
    for host, family in ("127.0.0.1", socket.AF_INET), ("::ffff:127.0.0.1", socket.AF_INET6), ("127.0.0.9", socket.AF_INET):
        begin, peer = time.monotonic_ns(), "-"
        try:
            with socket.socket(family) as client:
                client.setblocking(False)
                client.connect_ex((host, PORT))
                client.settimeout(3)
                client.sendall(b"PING\r\n")
                peer = client.getpeername()[0]
                result = client.recv(100).decode().strip()
        except OSError as error:
            result = str(error)
        print(begin, "%.1f" % ((time.monotonic_ns() - begin) / 1e6), peer == host, result.replace(" ", "_") or "end", file=LOG)
        time.sleep(0.005)
