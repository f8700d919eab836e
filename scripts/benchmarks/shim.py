"""Runs one command and writes what it took: `python -I -S shim.py ANSWER COMMAND...`.

A process of its own, and a small one: a child's peak memory counts from that of the process that starts it.
It outlives SIGTERM, which its command is sent with it, to say when that has ended.
"""

import json
import os
import signal
import sys
import time

answer, argv = sys.argv[1], sys.argv[2:]
start = time.perf_counter()
try:
    child = os.posix_spawnp(argv[0], argv, os.environ)
except OSError as problem:
    sys.exit(f"{argv[0]}: {problem.strerror}")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
_, status, used = os.wait4(child, 0)
took = {
    "wall": time.perf_counter() - start,
    "cpu": used.ru_utime + used.ru_stime,
    "peak": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    "code": os.waitstatus_to_exitcode(status),
}
with open(answer, "w") as file:  # noqa: PTH123 - pathlib would be half of its start
    json.dump(took, file)
