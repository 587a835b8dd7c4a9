"""``rlhub chat RUN``: talk to a checkpoint, with its base beside it."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from rlhub.core.errors import UserError
from rlhub.core.folder import find_run
from rlhub.core.progress import progress
from rlhub.hub.options import parse

END = ("/end", "/exit", "/quit")


@dataclass(frozen=True, kw_only=True)
class Chat:
    """Talk to a model; for a run, its starting model answers beside it. /new begins anew, /end ends.

    Attributes:
        model: a run's name or folder, RUN@STEP, a folder, hub id or alias.
        base: who answers beside it: by default the model that the run began from; none for nobody.
        ask: say this, print the answers and end; several are said one after another.
        max_new_tokens: longest answer, in tokens.
        temperature: answers are sampled at; 0 takes the likeliest tokens.
        seed: of what is sampled.
        json: with --ask, print the answers as JSON.
    """

    model: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN")]]
    base: str = ""
    ask: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT ...")] = ()
    max_new_tokens: int = 128
    temperature: float = 0.7
    seed: int = 0
    json: bool = False


def run(arguments: list[str]) -> int:
    """Talk until the person ends it, or say what was asked to be said."""
    options = parse(Chat, arguments, prog="rlhub chat")
    if options.json and not options.ask:
        raise UserError("--json prints answers to what --ask says; give --ask")
    names = [options.model, *base_of(options)]
    with progress("loading the models"):
        from rlhub.hub.conversation import Conversation
        from rlhub.language.model import load_policy

        talks = [Conversation(name, load_policy(name, learning_rate=0.0), options.seed) for name in names]
    settings: dict[str, Any] = {"max_new_tokens": options.max_new_tokens, "temperature": options.temperature}
    if options.ask:
        said = [{talk.name: talk.say(text, **settings) for talk in talks} for text in options.ask]
        if options.json:
            sys.stdout.write(json.dumps([{"said": text, "answers": one} for text, one in zip(options.ask, said, strict=True)]) + "\n")
        else:
            for text, answers in zip(options.ask, said, strict=True):
                show(text, answers)
        return 0
    sys.stdout.write("Say something; /new begins anew, /end ends.\n")
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            return 0
        if text in END:
            return 0
        if text == "/new":
            for talk in talks:
                talk.messages.clear()
        elif text:
            show(None, {talk.name: talk.say(text, **settings) for talk in talks})


def base_of(options: Chat) -> list[str]:
    """Who answers beside the model."""
    if options.base:
        return [] if options.base == "none" else [options.base]
    folder = find_run(options.model)
    folder = folder.parent.parent if folder is not None and folder.parent.name == "checkpoints" else folder
    if folder is None:
        return []
    began = json.loads((folder / "config.json").read_text())["fields"].get("model")
    return [began] if isinstance(began, str) else []


def show(said: str | None, answers: dict[str, str]) -> None:
    """Print answers side by side."""
    from rich.columns import Columns
    from rich.console import Console
    from rich.markup import escape
    from rich.panel import Panel

    console = Console(file=sys.stdout)
    if said is not None:
        console.print(f"> {escape(said)}", highlight=False)
    width = max(console.width // len(answers) - 2, 20)
    panels = [Panel(escape(text) or "(nothing)", title=escape(name), title_align="left", width=width) for name, text in answers.items()]
    console.print(Columns(panels, padding=(0, 1)), highlight=False)
