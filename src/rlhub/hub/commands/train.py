"""``rlhub train SYSTEM``: train a model by one signal, or an agent in an environment."""

import dataclasses
import json
import re
import sys
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import arg

from rlhub.core.errors import UserError
from rlhub.core.progress import progress, use_plain_lines
from rlhub.core.system import import_system
from rlhub.hub.options import listing_as_json, near, parse
from rlhub.hub.summary import sentence, summary
from rlhub.hub.systems import SYSTEMS


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The run's folder, and how it is shown.

    Attributes:
        seed: everything random derives from it.
        seeds: how many agents train side by side in this one process, from seeds that count on; for systems that can.
        name: the run's name; by default made from the system, what it trains on, and the seed.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        checkpoint_every: steps between checkpoints; by default as often as costs at most about 5% of the time.
        keep: steps whose model is kept for good.
        track: trackers that mirror its numbers while it trains: tensorboard, trackio, wandb.
        json: print the result as JSON.
        plain: print progress as lines instead of live bars.
    """

    seed: int = 0
    seeds: int = 1
    name: Annotated[str | None, arg(metavar="NAME")] = None
    runs: Annotated[str | None, arg(metavar="FOLDER")] = None
    checkpoint_every: Annotated[int | None, arg(metavar="STEPS")] = None
    keep: Annotated[tuple[int, ...], arg(metavar="[STEP ...]")] = ()
    track: Annotated[tuple[str, ...], arg(metavar="[TRACKER ...]")] = ()
    json: bool = False
    plain: bool = False


def run(arguments: list[str]) -> int:
    """Train the system named first, with the options that follow; without one, list the systems."""
    if not arguments or arguments[0].startswith("-"):
        return _list_systems(arguments)
    name, rest = arguments[0], arguments[1:]
    use_plain_lines("--plain" in rest)
    with progress("loading libraries"):
        system_class = _find(name)
        from rlhub.core.training import train
        from rlhub.hub.curve import learning_curve
    rest = data_as_task(system_class, rest)
    words = " ".join((system_class.__doc__ or name).split("\n\n")[0].split())
    both = dataclasses.make_dataclass("Options", [("system", system_class), ("run", RunOptions)])
    begins = both(system=tuned(system_class, rest), run=RunOptions()) if hasattr(system_class, "tuned") else None
    chosen: Any = parse(both, rest, prog=f"rlhub train {name}", description=words, default=begins)
    options: RunOptions = chosen.run
    if begins is not None and not options.json:
        sys.stdout.write(tuning_told(chosen.system, begins.system))
    finished = train(
        chosen.system,
        seed=options.seed,
        seeds=options.seeds,
        runs=options.runs,
        name=options.name,
        checkpoint_every=options.checkpoint_every,
        keep=options.keep,
        track=options.track,
    )
    told = summary(finished.folder)
    drawn = None if options.json else learning_curve(finished.folder)
    if drawn:
        sys.stdout.write(drawn + "\n")
    sys.stdout.write((json.dumps(told) if options.json else sentence(told)) + "\n")
    return 0


def _find(name: str) -> type:
    for entry in SYSTEMS:
        if entry.name == name:
            return import_system(entry.place)
    if ":" in name:
        return import_system(name)
    known = [entry.name for entry in SYSTEMS]
    raise UserError(
        f"there is no system {name!r}{near(name, known)}: choose one of {', '.join(known)}, or your own as module:Class or file.py:Class"
    )


def data_as_task(system_class: Any, arguments: list[str]) -> list[str]:
    """The arguments with ``--data`` as ``--task``: a file of rows is a task like any other, and who has one looks for that word."""
    names = {field.name for field in dataclasses.fields(system_class)}
    if "task" not in names or "data" in names:
        return arguments
    return [re.sub(r"^--data(?==|$)", "--task", argument) for argument in arguments]


def tuned(system_class: Any, arguments: list[str]) -> Any:
    """The system with the settings it has for the environment that the arguments name, or for its own."""
    named = [place for place, word in enumerate(arguments) if word == "--env" or word.startswith("--env=")]
    after = arguments[named[-1] :] if named else []
    env = None if not after else after[0].partition("=")[2] or (after[1] if len(after) > 1 else None)
    return system_class(**system_class.tuned(env))


def tuning_told(chosen: Any, offered: Any) -> str:
    """Which settings are neither the system's defaults nor the person's, but the environment's."""
    plain = type(chosen)(env=chosen.env)
    names = [field.name for field in dataclasses.fields(chosen)]
    kept = [name for name in names if getattr(plain, name) != getattr(chosen, name) == getattr(offered, name) and name != "env"]
    told = ", ".join(f"{name} {getattr(chosen, name)}" for name in kept)
    return f"settings for {chosen.env}, unlike the defaults: {told}\n" if kept else ""


def _list_systems(arguments: list[str]) -> int:
    if listing_as_json("rlhub train", "system", arguments):
        text = json.dumps([entry._asdict() for entry in SYSTEMS])
    else:
        width = max(len(entry.name) for entry in SYSTEMS) + 2
        lines = [f"  {entry.name:{width}}{entry.what}\n  {'':{width}}{entry.source}" for entry in SYSTEMS]
        text = (
            "usage: rlhub train SYSTEM [options]\n\n"
            + "\n".join(lines)
            + "\n\nA system of your own is a frozen dataclass with a method train(run): `rlhub train path/to/file.py:Class`."
            + f"\n`rlhub train {SYSTEMS[-1].name} --help` shows a system's options."
        )
    sys.stdout.write(text + "\n")
    return 0
