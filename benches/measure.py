"""Runs a command and writes what it cost: `measure.py REPORT COMMAND…`.

REPORT gets JSON: `wall` and `cpu` in seconds, `peak` resident size in bytes. The exit code is the command's.
"""

import json
import os
import subprocess
import sys
import time


def main():
    report, *command = sys.argv[1:]
    started = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    unit = 1 if sys.platform == "darwin" else 1024
    cost = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * unit}
    with open(report, "w", encoding="utf-8") as file:
        json.dump(cost, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
