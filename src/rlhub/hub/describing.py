"""What each system is, as JSON that needs no torch to read: its idea, its source, its settings, and what was measured of it.

Only importing a system tells what it is, and that loads torch. So `python -m rlhub.hub.describing` does it once in a process of its own,
for all systems, and what it says is kept in the cache until a source file changes.
"""

import dataclasses
import hashlib
import inspect
import json
import os
import re
import subprocess
import sys
import types
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import rlhub
from rlhub.core.errors import UserError
from rlhub.core.files import write_json
from rlhub.core.system import import_system, mend_for
from rlhub.hub.options import near
from rlhub.hub.systems import SYSTEMS
from rlhub.language.cache import cache_folder

PACKAGE = Path(rlhub.__file__).parent
CHECKOUT = PACKAGE.parents[1]
KINDS = {int: "integer", float: "number", str: "text", bool: "flag"}
LONGEST = 300.0  # seconds; importing every system takes about ten


def describe(name: str) -> dict[str, Any]:
    """What a system is.

    Args:
        name: as `rlhub train` takes it.

    Returns:
        name, what, source and place (from `SYSTEMS`); idea (its class's first paragraph), about (its module's docstring), file and code;
        docs (its page's text, or None); fields in order, each with name, type (as written), kind (integer, number, text, choice, flag),
        many (a list of them), optional (may be None), choices, default, doc; tuned (by environment, what its settings are there);
        measured (`rlhub.hub.measured.measured`); lacking (None, or how to install what it needs, in which case there are no fields).

    Raises:
        UserError: there is no such system, or describing failed.
    """
    known = [entry.name for entry in SYSTEMS]
    if name not in known:
        raise UserError(f"there is no system {name!r}{near(name, known)}: `rlhub systems` lists them")
    return describe_all()[name]


def describe_all() -> dict[str, dict[str, Any]]:
    """Every system's description, by name."""
    return _described(fingerprint(), cache_folder())


def fingerprint() -> str:
    """What a description depends on: rlhub's version, Python's, and every source file's and measured result's size and time."""
    stated = [version("rlhub"), sys.version, sys.executable, str(PACKAGE)]
    files = [*PACKAGE.rglob("*.py"), *CHECKOUT.glob("benchmarks/results/**/*.json"), *CHECKOUT.glob("docs/agents/*.md")]
    for path in sorted(files):
        found = path.stat()
        stated.append(f"{path} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(stated).encode()).hexdigest()[:16]


@lru_cache(maxsize=2)
def _described(key: str, folder: Path) -> dict[str, dict[str, Any]]:
    place = folder / f"systems-{key}.json"
    try:
        told = json.loads(place.read_text())
        if told["key"] == key and list(told["systems"]) == [entry.name for entry in SYSTEMS]:
            return dict(told["systems"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none there yet, or a broken one: made anew below
    systems = _in_a_process()
    if not any(system["lacking"] for system in systems.values()):
        _keep(place, {"key": key, "systems": systems})
    return systems


def _in_a_process() -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "rlhub.hub.describing"]
    paths = os.pathsep.join(part for part in (str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")) if part)
    try:
        done = subprocess.run(  # noqa: S603  our own module
            command, capture_output=True, text=True, timeout=LONGEST, check=True, env=os.environ | {"PYTHONPATH": paths}
        )
        return dict(json.loads(done.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        last = (getattr(error, "stderr", None) or str(error)).strip().rpartition("\n")[2]
        raise UserError(f"the systems couldn't be described ({last}): `{' '.join(command)}` shows why") from error


def _keep(place: Path, told: dict[str, Any]) -> None:
    """Put a description into the cache; without a disk for it, it is made again next time."""
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(beside, told)
        beside.replace(place)
        for older in place.parent.glob("systems-*.json"):
            if older != place:
                older.unlink(missing_ok=True)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def described_now() -> dict[str, dict[str, Any]]:
    """Import every system and say what it is; for a process of its own."""
    from rlhub.hub.measured import measured

    told = {}
    for entry in SYSTEMS:
        known: dict[str, Any] = entry._asdict() | {"measured": measured(entry.name), "docs": _page(entry.name)}
        try:
            told[entry.name] = known | _class_told(import_system(entry.place)) | {"lacking": None}
        except (UserError, ModuleNotFoundError) as error:
            cause = error if isinstance(error, ModuleNotFoundError) else error.__cause__
            lacking = mend_for(getattr(cause, "name", None)) if cause else str(error)
            told[entry.name] = known | {"idea": "", "about": "", "file": None, "code": "", "fields": [], "tuned": {}, "lacking": lacking}
    return told


def _page(name: str) -> str | None:
    path = CHECKOUT / "docs" / "agents" / f"{name}.md"
    return path.read_text() if path.is_file() else None


def _class_told(kind: Any) -> dict[str, Any]:
    module, file = sys.modules[kind.__module__], Path(inspect.getfile(kind))
    tuned = {}
    if hasattr(kind, "tuned"):
        from rlhub.agents.tuned import TUNED

        tuned = {env: kind.tuned(env) for env in TUNED.get(kind.__name__.lower(), {})}
    return {
        "idea": _flat(inspect.getdoc(kind), "\n\n"),
        "about": inspect.getdoc(module) or "",
        "file": str(file.relative_to(PACKAGE.parent)) if file.is_relative_to(PACKAGE.parent) else str(file),
        "code": file.read_text(),
        "fields": fields_of(kind),
        "tuned": tuned,
    }


def fields_of(kind: type) -> list[dict[str, Any]]:
    """A dataclass's fields in order, as JSON; what documents them may stand in a class that it extends."""
    documented: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        documented |= attributes_of(each.__doc__ or "")
    hints = get_type_hints(kind)
    told = []
    for field in dataclasses.fields(kind):
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        absent = default is dataclasses.MISSING
        told.append(
            {"name": field.name}
            | kind_of(hints[field.name])
            | {"default": None if absent else default, "required": absent, "doc": documented.get(field.name, "")}
        )
    return told


def kind_of(hint: Any) -> dict[str, Any]:
    """A field's type as JSON: type (as it is written), kind, many, optional, choices."""
    written = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
    inner = [each for each in get_args(hint) if each is not types.NoneType] if get_origin(hint) in (Union, types.UnionType) else [hint]
    optional, base = len(inner) < len(get_args(hint) or (0,)) and get_origin(hint) in (Union, types.UnionType), inner[0]
    many = get_origin(base) in (tuple, list)
    base = get_args(base)[0] if many else base
    choices = list(get_args(base)) if get_origin(base) is Literal else []
    return {
        "type": written,
        "kind": "choice" if choices else KINDS.get(base, "text"),
        "many": many,
        "optional": optional,
        "choices": choices,
    }


def attributes_of(docstring: str) -> dict[str, str]:
    """What a docstring's `Attributes:` say, by name."""
    _, _, section = inspect.cleandoc(docstring).partition("Attributes:\n")
    section = section.partition("\n\n")[0]
    found: dict[str, str] = {}
    for name, text in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, flags=re.MULTILINE):
        found[name] = " ".join(text.split())
    return found


def _flat(text: str | None, end: str) -> str:
    return " ".join((text or "").partition(end)[0].split())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(described_now()))
