"""``rlhub post STUDY --to FOLDER``: a study as Markdown with pictures, ready for a blog."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rlhub.core.files import in_words
from rlhub.core.folder import runs_folder
from rlhub.hub.options import parse


@dataclass(frozen=True, kw_only=True)
class Post:
    """A finished study as Markdown with pictures of its figures, in a folder, ready for a blog.

    Attributes:
        study: the study's name, as `rlhub questions` lists it.
        to: the folder to write; one that holds something else than an earlier post is left alone.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print JSON.
    """

    study: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="STUDY")]]
    to: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    runs: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    json: bool = False


def run(arguments: list[str]) -> int:
    """Write the post."""
    options = parse(Post, arguments, prog="rlhub post")
    from rlhub.hub.post import post
    from rlhub.hub.questions import find_question

    told = post(find_question(options.study, runs_folder(options.runs)), Path(options.to))
    text = f"{told['text']} and {told['pictures']} pictures, {in_words(told['bytes'])} together"
    sys.stdout.write((json.dumps(told) if options.json else text) + "\n")
    return 0
