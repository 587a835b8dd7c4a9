"""The site in a process of its own."""

import os
import re
import subprocess
import sys


def served(runs, *options):
    """`rlhub serve` on a free port: the process, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rlhub.hub.cli", "serve", "--port", "0", "--runs", str(runs), *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    line = process.stdout.readline()
    return process, re.search(r"(http://\S+)/", line)[1]
