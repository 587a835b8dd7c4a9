"""Commands that compute exhibits, draw them and print the numbers that matter: what `rlhub book` and `rlhub theory` share."""

import inspect
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, make_dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.files import write_json, writing
from rlhub.core.progress import clock, progress, use_plain_lines
from rlhub.core.style import check_images, write_html, write_images
from rlhub.foundations.exhibit import Exhibit, check_runs, check_seed, exhibits
from rlhub.hub.options import near, parse

SHEET = "all"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is done with what was computed.

    Attributes:
        to: the folder for the figures; by default ./book or ./theory.
        page_only: write the interactive pages without pictures, which need kaleido and a browser.
        json: print the numbers as JSON.
        plain: print progress as lines instead of live bars.
    """

    to: str | None = None
    page_only: bool = False
    json: bool = False
    plain: bool = False


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """A command over a package's exhibits.

    Attributes:
        command: its name.
        package: whose modules list them.
        item: the word before an exhibit's key, empty for none.
        about: what they are, for the help.
    """

    command: str
    package: str
    item: str
    about: str

    def run(self, arguments: Sequence[str]) -> int:
        """Carry out `list`, `all`, or the exhibit that is named."""
        if not arguments or arguments[0] in ("-h", "--help"):
            form = f"{self.item} KEY" if self.item else "NAME"
            text = f"usage: rlhub {self.command} list | {form} [options] | all\n\n{self.about}\n\n`rlhub {self.command} list` shows them."
            sys.stdout.write(text + "\n")
            return 0
        there = exhibits(self.package)
        word, rest = arguments[0], list(arguments[1:])
        if word == "list":
            return self.listed(there, rest)
        if word == "all":
            return self.all(there, rest)
        if self.item:
            if word != self.item or not rest or rest[0].startswith("-"):
                raise UserError(
                    f"`rlhub {self.command}` takes list, all, or {self.item} and its key, as in `{self.command} {self.item} 2.2`"
                )
            word, rest = rest[0], rest[1:]
            if word in ("example", "exercise") and rest:
                word, rest = f"{word} {rest[0]}", rest[1:]
        if word not in there:
            raise UserError(
                f"there is no {self.item or 'experiment'} {word!r}{near(word, list(there))}: `rlhub {self.command} list` shows them"
            )
        return self.one(there[word], rest)

    def listed(self, there: dict[str, Exhibit], arguments: Sequence[str]) -> int:
        """Say which there are and what each shows."""
        options = parse(_Listing, arguments, prog=f"rlhub {self.command} list")
        if options.json:
            rows = [{"key": one.key, "title": one.title, "shows": one.shows, "runs": one.runs} for one in there.values()]
            text = json.dumps(rows)
        else:
            text = "\n".join(f"{one.key:>14}  {one.title}\n{'':16}{one.shows}" for one in there.values())
        sys.stdout.write(text + "\n")
        return 0

    def one(self, exhibit: Exhibit, arguments: Sequence[str]) -> int:
        """Compute one exhibit, draw it and print its numbers."""
        options = parse(
            options_of(exhibit),
            arguments,
            prog=" ".join(["rlhub", self.command, *self.item.split(), exhibit.key]),
            description=exhibit.shows,
        )
        use_plain_lines(options.plain)
        check_runs(getattr(options, "runs", 1))
        check_seed(getattr(options, "seed", 0))
        self.ready(options)
        told = self.made(exhibit, {name: getattr(options, name) for name in asked_by(exhibit)}, options)
        self.drawn(told, options)
        sys.stdout.write((json.dumps(without_figure(told)) if options.json else sentences(told)) + "\n")
        return 0

    def all(self, there: dict[str, Exhibit], arguments: Sequence[str]) -> int:
        """Every exhibit at its own number of runs, and one sheet with all of them."""
        options = parse(Shown, arguments, prog=f"rlhub {self.command} all")
        use_plain_lines(options.plain)
        self.ready(options)
        told = []
        with progress(self.command, len(there)) as task:
            for exhibit in there.values():
                task.activity = exhibit.key
                told.append(self.made(exhibit, {}, options))
                task.advance()
            task.activity = "drawing"
            self.drawn_all(told, options)
        total = sum(one["seconds"] for one in told)
        if options.json:
            sys.stdout.write(json.dumps({"seconds": total, "exhibits": [without_figure(one) for one in told]}) + "\n")
        else:
            lines = [f"{one['key']:>14}  {one['seconds']:7.1f} s  {one['title']}" for one in told]
            sys.stdout.write("\n".join([*lines, f"{'together':>14}  {total:7.1f} s; {self.folder(options) / 'index.html'}"]) + "\n")
        return 0

    def made(self, exhibit: Exhibit, asked: dict[str, Any], options: Any) -> dict[str, Any]:
        """An exhibit's figure, numbers, and how long it took."""
        with progress(f"{self.item} {exhibit.key}".strip()):
            began = time.perf_counter()
            results = exhibit.compute(**asked)
            seconds = time.perf_counter() - began
        stem = self.folder(options) / self.stem(exhibit.key)
        return {
            "key": exhibit.key,
            "group": group_of(exhibit),
            "title": exhibit.title,
            "shows": exhibit.shows,
            "asked": asked,
            "whole": asked.get("runs", exhibit.runs) >= exhibit.runs,
            "seconds": seconds,
            "numbers": exhibit.numbers(results),
            "page": str(stem.with_name(stem.name + ".html")),
            "picture": None if options.page_only else str(stem.with_name(stem.name + ".png")),
            "figure": exhibit.draw(results),
        }

    def drawn(self, told: dict[str, Any], options: Any) -> None:
        """Write an exhibit's page and picture."""
        self.written([told], options, shared=False)

    def drawn_all(self, told: list[dict[str, Any]], options: Any) -> None:
        """Write all of them, and one page that shows them side by side."""
        with self.writing(options):
            # What an older version left there may not read these pages.
            (self.folder(options) / "plotly.min.js").unlink(missing_ok=True)
        self.written(told, options, shared=True)
        with self.writing(options):
            (self.folder(options) / "index.html").write_text(sheet(self.about, told), encoding="utf-8")

    def written(self, told: list[dict[str, Any]], options: Any, *, shared: bool) -> None:
        """Write figures; pictures all at once, as each start of the browser takes seconds."""
        with self.writing(options):
            for one in told:
                write_html(one["figure"], Path(one["page"]), shared=shared)
                # By this the roadmap's marks know what was computed.
                kept = without_figure(one) | {"command": self.command, "time": time.time()}
                write_json(Path(one["page"]).with_suffix(".json"), kept)
            write_images({Path(one["picture"]): one["figure"] for one in told if one["picture"]})

    def ready(self, options: Any) -> None:
        """See that figures can be drawn and written before they take minutes to compute."""
        if not options.page_only:
            check_images()
        with self.writing(options):
            self.folder(options).mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder(options)):
                pass

    def writing(self, options: Any) -> AbstractContextManager[None]:
        """Say in one sentence why figures can't be written."""
        return writing("the figures", self.folder(options), option="--to")

    def stem(self, key: str) -> str:
        """How an exhibit's files are called, before their endings."""
        return f"{self.item or self.command}-{key.replace(' ', '-')}"

    def folder(self, options: Any) -> Path:
        """Where figures go."""
        return Path(options.to or self.command)


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """How the list is printed.

    Attributes:
        json: as JSON.
    """

    json: bool = False


def asked_by(exhibit: Exhibit) -> dict[str, inspect.Parameter]:
    """The options of an exhibit: its computation's keyword arguments."""
    return dict(inspect.signature(exhibit.compute).parameters)


def options_of(exhibit: Exhibit) -> type[Any]:
    """An exhibit's options and those of the command, as a dataclass for the command line."""
    asked = [(name, one.annotation, field(default=one.default)) for name, one in asked_by(exhibit).items()]
    shown = [(one.name, one.type, field(default=one.default)) for one in fields(Shown)]
    return make_dataclass("Options", [*asked, *shown], kw_only=True, frozen=True)


def sentences(told: dict[str, Any]) -> str:
    """What came out, for a person."""
    width = max((len(name) for name in told["numbers"]), default=0)
    lines = [f"  {name:{width}}  {value:.6g}" for name, value in told["numbers"].items()]
    places = " and ".join(place for place in (told["picture"], told["page"]) if place)
    return "\n".join([told["title"], *lines, f"{told['shows']}", f"computed in {clock(told['seconds'])}; see {places}"])


def without_figure(told: dict[str, Any]) -> dict[str, Any]:
    """The same without what JSON doesn't hold."""
    return {name: value for name, value in told.items() if name != "figure"}


def group_of(exhibit: Exhibit) -> str:
    """What an exhibit stands under on the sheet: its file's subject, without what follows a colon or comma; a chapter keeps its number."""
    file = import_module(exhibit.compute.__module__)
    subject = (file.__doc__ or "").partition("\n")[0].rstrip(".")
    chapter, colon, rest = subject.partition(": ")
    return f"{chapter}: {rest.partition(',')[0]}" if colon and chapter.startswith("Chapter") else chapter


def sheet(about: str, told: list[dict[str, Any]]) -> str:
    """A page with every exhibit's picture, each a link to its own page, under a heading for each chapter or subject."""
    from jinja2 import Environment, PackageLoader

    template = Environment(loader=PackageLoader("rlhub.hub", "templates"), autoescape=True).get_template("gallery.html.jinja")
    groups: dict[str, dict[str, Any]] = {}
    for one in told:
        row = without_figure(one) | {name: Path(one[name]).name for name in ("page", "picture") if one[name]}
        # Two files of one chapter stand together, under what the first of them is about.
        short = one["group"].partition(":")[0]
        groups.setdefault(short, {"title": one["group"], "short": short, "told": []})["told"].append(row)
    return template.render(
        clock=clock, about=about, groups=list(groups.values()), seconds=sum(one["seconds"] for one in told), count=len(told)
    )
