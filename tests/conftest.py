"""Every test runs with the shape annotations of the package checked at run time (jaxtyping and beartype)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from jaxtyping import install_import_hook

install_import_hook("rlhub", "beartype.beartype")
hypothesis.settings.register_profile("rlhub", deadline=None, derandomize=True)  # the same examples everywhere, and no clock decides
hypothesis.settings.load_profile("rlhub")


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a small file system of its own, where the machine lets us have one; ``size=40k`` is an option of tmpfs."""
    disk = tmp_path / "disk"
    mounted = []

    def mount(options):
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "rlhub-test", disk], capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let us mount a small disk")
        mounted.append(disk)
        return disk

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture(scope="session")
def rlhub():
    """Runs a command line in a process of its own, which may be killed; see zygote.py for the options and the answer."""
    with subprocess.Popen(
        [sys.executable, Path(__file__).with_name("zygote.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as zygote:

        def run(*arguments, **options):
            zygote.stdin.write(json.dumps({"arguments": [str(argument) for argument in arguments], **options}) + "\n")
            zygote.stdin.flush()
            return json.loads(zygote.stdout.readline())

        yield run
        zygote.stdin.close()
