"""Systems as JSON, and back: a system is any frozen dataclass, at any importable place, with a method ``train(run)``."""

import dataclasses
import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rlhub.core.errors import UserError

EXTRAS = dict.fromkeys(("ale_py", "envpool", "gymnasium", "imageio", "minatar", "mujoco"), "agents")
EXTRAS |= dict.fromkeys(("numba", "scipy"), "foundations")
EXTRAS |= dict.fromkeys(("duckdb", "fastapi", "latex2mathml", "markdown_it", "mdit_py_plugins", "pygments", "uvicorn"), "hub")
EXTRAS |= dict.fromkeys(("tensorboard", "trackio", "wandb"), "trackers")
"""The extra that brings a package."""


def describe_system(system: Any) -> dict[str, Any]:
    """A system as JSON: where its class can be imported from, and its fields.

    Raises:
        TypeError: it is not an instance of a dataclass with a ``train`` method.
    """
    kind = type(system)
    if not dataclasses.is_dataclass(kind) or not callable(getattr(system, "train", None)):
        raise TypeError(f"{kind.__name__} is no system: a system is a frozen dataclass with a method train(run)")
    module = sys.modules[kind.__module__]
    source = getattr(module, "__file__", None)
    alone = {"file": str(Path(source).resolve())} if source and "." not in kind.__module__ else {}
    fields = {field.name: getattr(system, field.name) for field in dataclasses.fields(system)}
    return {"system": f"{kind.__module__}:{kind.__qualname__}", "fields": fields} | alone


def load_system(config: dict[str, Any]) -> Any:
    """The system that `describe_system` described.

    Raises:
        UserError: its module, its class or one of its fields is no longer there.
    """
    kind = import_system(config["system"], config.get("file"))
    known = {field.name for field in dataclasses.fields(kind)}
    strangers = [name for name in config["fields"] if name not in known]
    if strangers:
        raise UserError(
            f"{config['system']} no longer has {', '.join(strangers)}: go back to the commit in provenance.json, or start a new run"
        )
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in config["fields"].items()})
    except (TypeError, ValueError) as error:
        raise UserError(f"{config['system']}: {error}") from error


def check_fields(
    system: Any, *, at_least: Mapping[int, str], above: Mapping[int, str] | None = None, at_most: Mapping[int, str] | None = None
) -> None:
    """Refuse fields that no training can use; for a system's ``__post_init__``.

    Args:
        system: an instance of a dataclass; fields annotated with a Literal must hold one of its values, numbers must be finite, and
            widths (tuples of numbers) at least 1.
        at_least: lower bounds, each with the names of the fields that may not lie below it: ``{1: "steps batch"}``.
        above: the same for fields that may not reach the bound either. A field that is None has no bound.
        at_most: upper bounds.

    Raises:
        UserError: which field, its value and what it may be.
    """
    kinds = get_type_hints(type(system))
    for field in dataclasses.fields(system):
        name, value = field.name, getattr(system, field.name)
        if get_origin(kinds[name]) is Literal and value not in get_args(kinds[name]):
            raise UserError(f"{name} is {value!r}; it is one of {', '.join(map(str, get_args(kinds[name])))}")
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name} is {value}; it must be a finite number")
        if isinstance(value, tuple) and any(type(each) is int and each < 1 for each in value):
            raise UserError(f"{name} is {' '.join(map(str, value))}; each must be at least 1")
    for bounds, words in ((at_least, "at least"), (above or {}, "above"), (at_most or {}, "at most")):
        for bound, names in bounds.items():
            for name in names.split():
                value = getattr(system, name)
                if value is None:
                    continue
                if value > bound if words == "at most" else value < bound or (words == "above" and value == bound):
                    raise UserError(f"{name} is {value}; it must be {words} {bound:g}")


def import_system(place: str, file: str | None = None) -> type:
    """The class at ``module:Class`` or ``path/to/file.py:Class``.

    Args:
        place: where the class is.
        file: the module's source file, for modules that are not on the import path (a script that was run directly).

    Raises:
        UserError: there is no such module, file or class, or the class is not a system.
    """
    name, _, qualname = place.rpartition(":")
    if name.endswith(".py"):
        module = _module_of_file(Path(name))
    elif file and (name == "__main__" or not _imports_from(name, file)):
        module = _module_of_file(Path(file))
    else:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UserError(f"there is no module {error.name!r} for the system {place}: {mend_for(error.name)}") from error
    kind = getattr(module, qualname, None)
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind) and hasattr(kind, "train")):
        raise UserError(f"{place} is no system: a system is a frozen dataclass with a method train(run)")
    return kind


def mend_for(module: str | None) -> str:
    """How to get a module that is missing."""
    extra = EXTRAS.get((module or "").partition(".")[0])
    return f"pip install 'rlhub[{extra}]'" if extra else "install it, or put its folder on PYTHONPATH"


def function_in_file(place: str, what: str) -> Callable[..., Any]:
    """The function at ``path/to/file.py:function``, whose file is run anew.

    Args:
        place: where it is.
        what: what it is for ("reward"), for messages.

    Raises:
        UserError: there is no such file or function, or the file can't be run.
    """
    path, _, name = place.rpartition(":")
    if not Path(path).is_file():
        raise UserError(f"the {what} {place!r} can't be loaded: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"rlhub_{what.replace(' ', '_')}_{Path(path).stem}", path)
    assert spec is not None and spec.loader is not None  # noqa: S101  a .py file always has a loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a person's file raises
        raise UserError(f"the {what} {place!r} can't be loaded: running {path} raised {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"the {what} {place!r} can't be loaded: {path} defines no function {name!r}")
    return function


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"{path}, which held the system, is not there: put it back, or start a new run")
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) and Path(str(known.__file__)).resolve() == path.resolve():
        return known
    name = path.stem if importlib.util.find_spec(path.stem) is None else f"{path.stem}_of_file"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _imports_from(name: str, file: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and (spec.origin == file or not Path(file).is_file())
