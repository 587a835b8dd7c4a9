"""The roadmap: what to read and build, in which order, why, and by which numbers one knows to have got there; roadmap.toml holds it."""

import tomllib
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rlhub.core.errors import UserError
from rlhub.hub.commands.study import STUDIES
from rlhub.hub.options import near
from rlhub.hub.systems import SYSTEMS

FILE = Path(__file__).with_name("roadmap.toml")
NEEDS = {
    "evaluation": ("system", "statistic"),
    "metric": ("system", "metric"),
    "study": ("study",),
    "figures": ("figures",),
    "theory": ("theory",),
}
"""What each measure of a mark has to say."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A number that says that something was reached.

    Attributes:
        text: for a person.
        measure: where the number is: what `rlhub evaluate` left in a run's folder, a metric of training, a study's report, or figures of
            the book or experiments of theory that were computed.
        system: whose runs count.
        env: the environment that counts, as Gymnasium names it; without one, any.
        task: the task that counts, without its options; without one, any.
        statistic: of an evaluation: mean, iqm, mean_less_std, or any other number in its line (accuracy, f1).
        episodes: an evaluation of fewer doesn't count.
        metric: of training; of several seeds their mean.
        last: the mean of so many of its last logged values counts.
        at_least: the number that has to be reached.
        study: whose report has to be there.
        figures: of the book, all of which have to be computed.
        theory: the same for experiments.
    """

    text: str
    measure: Literal["evaluation", "metric", "study", "figures", "theory"]
    system: str = ""
    env: str = ""
    task: str = ""
    statistic: str = ""
    episodes: int = 1
    metric: str = ""
    last: int = 1
    at_least: float | None = None
    study: str = ""
    figures: tuple[str, ...] = ()
    theory: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something to read or to do.

    Attributes:
        key: its name in addresses.
        kind: book, course, paper, talk, company, or work to do.
        title: of the paper or book.
        authors: who wrote it.
        year: when.
        link: where it can be read.
        why: why it is on the road, and what to learn from it.
        systems: what `rlhub train` has of it.
        figures: of the book, by `rlhub book`'s keys.
        theory: experiments, by `rlhub theory`'s keys.
        studies: core questions that it leads to.
        next: what isn't built yet.
        marks: by which one knows to have got there.
    """

    key: str
    kind: Literal["book", "course", "paper", "talk", "company", "work"]
    title: str
    why: str
    authors: str = ""
    year: int = 0
    link: str = ""
    systems: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    theory: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    next: str = ""
    marks: tuple[Mark, ...] = field(default=(), metadata={"of": Mark})

    @property
    def built(self) -> bool:
        """Whether anything of it is here."""
        return bool(self.systems or self.figures or self.theory or self.studies)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of the road.

    Attributes:
        key: its name in addresses.
        title: what it is called.
        what: what one can do at its end.
        items: in the order to take them.
    """

    key: str
    title: str
    what: str
    items: tuple[Item, ...] = field(default=(), metadata={"of": Item})


@cache
def roadmap() -> tuple[Phase, ...]:
    """The phases of the roadmap that comes with this package."""
    return read_roadmap(FILE)


def read_roadmap(path: Path) -> tuple[Phase, ...]:
    """The phases of a roadmap file.

    Raises:
        UserError: it can't be read, a field is misspelt, missing or of another type, or names a system or a study that there is not.
    """
    try:
        told = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"can't read the roadmap {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"the roadmap {path} is not TOML: {error}") from error
    strangers = [name for name in told if name != "phases"]
    if strangers or not isinstance(told.get("phases"), list):
        raise UserError(
            f"the roadmap {path} holds [[phases]]" + (f" and nothing else, not {strangers[0]!r}" if strangers else ", here none")
        )
    phases = tuple(_read(Phase, each, f"{path}: phase {_named(each, place)}") for place, each in enumerate(told["phases"], 1))
    items = [item for phase in phases for item in phase.items]
    for what, keys in (("phases", [phase.key for phase in phases]), ("items", [item.key for item in items])):
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise UserError(f"{path}: two {what} have the key {twice[0]!r}: give one of them another")
    for item in items:
        _check_item(item, f"{path}: item {item.key!r}")
    return phases


def _read(kind: type, told: Any, where: str) -> Any:
    """A dataclass from a table, its nested ones too."""
    if not isinstance(told, dict):
        raise UserError(f"{where} is {told!r}, which is no table of fields")
    known = {each.name: each for each in fields(kind)}
    for name in told:
        if name not in known:
            raise UserError(f"{where} has no field {name!r}{near(name, list(known))}: its fields are {', '.join(known)}")
    lacking = [name for name, each in known.items() if each.default is MISSING and name not in told]
    if lacking:
        raise UserError(f"{where} lacks {' and '.join(lacking)}")
    hints = get_type_hints(kind)
    values = {}
    for name, value in told.items():
        inner = known[name].metadata.get("of")
        if inner is None:
            values[name] = _value(value, hints[name], f"{where}: {name}")
            continue
        if not isinstance(value, list):
            raise UserError(f"{where}: {name} is a list of tables, [[...{name}]]")
        what = inner.__name__.lower()
        values[name] = tuple(_read(inner, each, f"{where}, {what} {_named(each, place)}") for place, each in enumerate(value, 1))
    return kind(**values)


def _value(value: Any, hint: Any, where: str) -> Any:
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            known = list(get_args(hint))
            raise UserError(f"{where} can't be {value!r}{near(str(value), known)}: it is one of {', '.join(known)}")
        return value
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise UserError(f"{where} is a list of texts, not {value!r}")
        return tuple(value)
    kinds = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kinds) or isinstance(value, bool):
        names = {str: "a text", int: "a whole number", float: "a number"}
        raise UserError(f"{where} is {names[kinds[0]]}, not {value!r}")
    return value.strip() if isinstance(value, str) else value


def _named(told: Any, place: int) -> str:
    name = told.get("key", told.get("text")) if isinstance(told, dict) else None
    return repr(name) if isinstance(name, str) else str(place)


def _check_item(item: Item, where: str) -> None:
    _check_known("system", item.systems, [entry.name for entry in SYSTEMS], where)
    _check_known("study", item.studies, list(STUDIES), where)
    if item.link and (not item.link.startswith(("https://", "http://")) or " " in item.link):
        raise UserError(f"{where}: link is one address that begins with https:// or http://, not {item.link!r}")
    if not item.built and not item.next:
        raise UserError(f"{where} has no system, figure, experiment or study: say in `next` what isn't built yet")
    for mark in item.marks:
        place = f"{where}, mark {mark.text!r}"
        _check_known("system", (mark.system,) if mark.system else (), [entry.name for entry in SYSTEMS], place)
        _check_known("study", (mark.study,) if mark.study else (), list(STUDIES), place)
        lacking = [name for name in NEEDS[mark.measure] if not getattr(mark, name)]
        if mark.measure in ("evaluation", "metric") and mark.at_least is None:
            lacking.append("at_least")
        if lacking:
            raise UserError(f"{place} lacks {' and '.join(lacking)}, which its measure {mark.measure!r} needs")
        if mark.last < 1 or mark.episodes < 1:
            raise UserError(f"{place}: last and episodes are at least 1")


def _check_known(what: str, names: tuple[str, ...], known: list[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise UserError(f"{where} names the {what} {name!r}, which there is not{near(name, known)}")
