"""A study as a post for a blog: Markdown with pictures in a folder of its own. Nothing here loads torch."""

import json
import shutil
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from rlhub.core.errors import UserError
from rlhub.core.files import writing
from rlhub.core.style import write_images
from rlhub.hub.questions import figure, question
from rlhub.studies.report.markdown import markdown

TEXT = "index.md"
SCALE = 2.0
"""Pixels per unit of a figure's size: sharp on the screens that blogs are read on."""


def post(study: Path, to: Path) -> dict[str, Any]:
    """Write a finished study as Markdown with its figures as PNG.

    The folder appears whole or not at all. What `post` wrote there before is replaced; anything else is left alone.

    Args:
        study: the study's folder.
        to: the folder to write.

    Returns:
        The folder, the text's path, how many pictures there are and the bytes of all.

    Raises:
        UserError: the study is not finished, the folder holds something else, it can't be written, or kaleido or a browser is missing.
    """
    answer = question(study)
    if answer.page is None:
        raise UserError(f"{study.name} has no report to post yet: {answer.about.reason or 'wait until it is finished'}")
    page = answer.page
    keys = [drawn["key"] for drawn in page["figures"]]
    check_free(to, {TEXT, "figures", *(f"figures/{key}.png" for key in keys)})
    beside = to.with_name(f".{to.name}.partial")
    with writing("the post", to.parent):
        shutil.rmtree(beside, ignore_errors=True)
        (beside / "figures").mkdir(parents=True)
        try:
            drawn = {beside / "figures" / f"{key}.png": go.Figure(json.loads(figure(study, key)), skip_invalid=True) for key in keys}
            write_images(drawn, scale=SCALE)
            (beside / TEXT).write_text(markdown(page, pictures=True), encoding="utf-8")
            if to.exists():
                shutil.rmtree(to)
            beside.replace(to)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    return {"study": study.name, "folder": str(to), "text": str(to / TEXT), "pictures": len(keys), "bytes": size}


def check_free(to: Path, ours: set[str]) -> None:
    """Refuse a folder that holds anything but an earlier post of this study."""
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise UserError(f"{to} is there already and is no folder: choose another one with --to")
    there = {path.relative_to(to).as_posix() for path in to.rglob("*")} if to.exists() else set()
    strangers = sorted(there - ours)
    if strangers or (there and TEXT not in there):
        what = strangers[0] if strangers else sorted(there)[0]
        raise UserError(f"{to} holds something else ({what}), and nothing is overwritten: choose another folder with --to")
