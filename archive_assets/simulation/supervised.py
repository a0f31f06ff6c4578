"""Run a program that ends when we are orphaned: ``supervised.py PID PROGRAM...``.

PID is the process that waits for us. A program of its own that needs the standard
library only, started by its path. It ends as the other does: with its exit code, or by
its signal.
"""

import os
import signal
import subprocess
import sys

__all__ = ["main"]

_POLL_S = 0.25


def main(parent: int, command: list[str]) -> int:
    """Run a command in our process group, which is killed when we are orphaned."""
    process = subprocess.Popen(command)  # noqa: S603 - the caller's own list, no shell
    while True:
        try:
            code = process.wait(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                os.killpg(0, signal.SIGKILL)
            continue
        if code < 0:
            os.kill(os.getpid(), -code)
        return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
