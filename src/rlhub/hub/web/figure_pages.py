"""Pages of the book's figures and theory's experiments: what `rlhub book` and `rlhub theory` computed, or how to have it computed."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse

from rlhub.hub.commands import book, theory
from rlhub.hub.marks import GALLERIES
from rlhub.hub.roadmap import roadmap
from rlhub.hub.web.question_pages import REPORT
from rlhub.hub.web.rendering import page
from rlhub.hub.web.shelf import Shelf, shelf_of

router = APIRouter()
TheShelf = Annotated[Shelf, Depends(shelf_of)]
Command = Literal["book", "theory"]
COMMANDS = {"book": book.GALLERY, "theory": theory.GALLERY}


@router.get("/figures/{command}/{key}", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, shelf: TheShelf, command: Command, key: str) -> HTMLResponse:
    """One figure."""
    told = computed(shelf, command, key)
    typed = f"rlhub book figure {key}" if command == "book" else f"rlhub theory {key}"
    return page(request, "figure", command=command, key=key, told=told, typed=typed, folder=folder_of(shelf, command))


@router.get("/figures/{command}/{key}/page", include_in_schema=False)
def interactive(shelf: TheShelf, command: Command, key: str) -> FileResponse:
    """The figure to point at, as it was written; it runs its scripts as a stranger to this site."""
    path = folder_of(shelf, command) / f"{COMMANDS[command].stem(key)}.html"
    if computed(shelf, command, key) is None or not path.is_file() or path.is_symlink():
        raise HTTPException(404, f"{key} hasn't been computed here")
    return FileResponse(path, media_type="text/html", headers=REPORT)


@router.get("/api/figures/{command}/{key}")
def shown_as_json(shelf: TheShelf, command: Command, key: str) -> dict[str, Any]:
    """What was computed: numbers, seconds, and when."""
    told = computed(shelf, command, key)
    if told is None:
        raise HTTPException(404, f"{key} hasn't been computed here")
    return told


def computed(shelf: Shelf, command: str, key: str) -> dict[str, Any] | None:
    """What a figure's JSON says; None where it hasn't been computed.

    Raises:
        HTTPException: 404, the roadmap has no such figure.
    """
    if key not in known(command):
        raise HTTPException(404, f"the roadmap has no {key!r}: `rlhub {command} list` shows all there are")
    path = folder_of(shelf, command) / f"{COMMANDS[command].stem(key)}.json"
    if not path.is_file() or path.is_symlink():
        return None
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    wanted = {"title": str, "shows": str, "seconds": float, "numbers": dict, "time": float}
    return told if isinstance(told, dict) and all(isinstance(told.get(name), kind) for name, kind in wanted.items()) else None


def known(command: str) -> set[str]:
    """The keys that the roadmap names; only these are ever looked for on the disk."""
    items = [item for phase in roadmap() for item in phase.items]
    return {key for item in items for key in (item.figures if command == "book" else item.theory)}


def folder_of(shelf: Shelf, command: str) -> Path:
    """Where `rlhub book` and `rlhub theory` leave what they compute, beside the runs."""
    return shelf.runs.parent / GALLERIES[command]
