"""Where a run came from: commit, versions, machine, command."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil


def provenance() -> dict[str, Any]:
    """The commit, versions, machine and command of this process, as JSON."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": commit(),
        "versions": versions(),
        "machine": machine(),
        "pid": os.getpid(),
        "pid_started": psutil.Process().create_time(),
        "started": time.time(),
    }


def commit() -> dict[str, Any] | None:
    """The commit of the checkout that this package runs from, and whether files differ from it; None outside a checkout."""
    package = Path(__file__).parents[1]
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    head = _git(package, "rev-parse", "HEAD")
    return {"id": head, "dirty": bool(_git(package, "status", "--porcelain", "--untracked-files=no"))} if head else None


def versions() -> dict[str, str | None]:
    """The versions of python and of the packages whose arithmetic a result depends on."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in ("rlhub", "torch", "transformers", "peft", "gymnasium", "envpool", "mujoco", "numpy", "safetensors"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def machine() -> dict[str, Any]:
    """The processor's model, the cores this process may use, and the memory in bytes."""
    return {"cpu": _cpu_model(), "cores": usable_cores(), "memory": psutil.virtual_memory().total, "system": platform.system()}


def usable_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
