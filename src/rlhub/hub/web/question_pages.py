"""Pages of core questions: the studies that were made, their reports with figures to point at, and posts of them."""

import asyncio
import dataclasses
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from rlhub.core.errors import UserError
from rlhub.hub import questions as studies
from rlhub.hub.post import post
from rlhub.hub.web.rendering import page
from rlhub.hub.web.shelf import Shelf, shelf_of

# A report is a page of its own with its scripts inside: it may run these, but as a stranger to this site.
REPORT = {
    "content-security-policy": (
        "sandbox allow-scripts allow-popups allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
        " img-src data: blob:; font-src data:"
    )
}
router = APIRouter()
TheShelf = Annotated[Shelf, Depends(shelf_of)]


@router.get("/questions", response_class=HTMLResponse, include_in_schema=False)
def listed(request: Request, shelf: TheShelf) -> HTMLResponse:
    """All studies."""
    return page(request, "questions", questions=studies.questions(shelf.runs))


@router.get("/api/questions")
def listed_as_json(shelf: TheShelf) -> list[dict[str, Any]]:
    """All studies, as `rlhub questions --json` tells them."""
    return [dataclasses.asdict(each) for each in studies.questions(shelf.runs)]


@router.get("/questions/{name}", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, shelf: TheShelf, name: str) -> HTMLResponse:
    """One study."""
    answer = _answer(shelf, name)
    return page(request, "question", about=answer.about, page=answer.page, runs=answer.runs)


@router.get("/api/questions/{name}")
def shown_as_json(shelf: TheShelf, name: str) -> dict[str, Any]:
    """One study, as `rlhub questions STUDY --json` tells it."""
    answer = _answer(shelf, name)
    return dataclasses.asdict(answer) | {"folder": str(answer.folder)}


@router.get("/api/questions/{name}/figures/{key}")
def figure(shelf: TheShelf, name: str, key: str) -> Response:
    """One figure as Plotly's JSON."""
    return _data(studies.figure, _folder(shelf, name), key)


@router.get("/api/questions/{name}/circuits/{key}")
def circuit(shelf: TheShelf, name: str, key: str) -> Response:
    """A run's circuit beside the base's."""
    return _data(studies.circuit, _folder(shelf, name), key)


@router.get("/questions/{name}/report", include_in_schema=False)
def report(shelf: TheShelf, name: str) -> FileResponse:
    """The report as the page that can be sent to others."""
    folder = _folder(shelf, name)
    path = folder / "report.html"
    if not path.is_file():
        raise HTTPException(404, f"the study {name} has no report yet")
    try:
        studies.inside(folder, path)
    except UserError as error:
        raise HTTPException(404, str(error)) from error
    return FileResponse(path, media_type="text/html", headers=REPORT)


@router.get("/questions/{name}/post.zip", include_in_schema=False)
async def posted(shelf: TheShelf, name: str) -> Response:
    """A post of the study: Markdown and its pictures, packed."""
    folder = await asyncio.to_thread(_folder, shelf, name)
    try:
        packed = await asyncio.to_thread(_packed, folder)
    except UserError as error:
        raise HTTPException(409, str(error)) from error
    return Response(packed, media_type="application/zip", headers={"content-disposition": f'attachment; filename="{folder.name}-post.zip"'})


def _packed(study: Path) -> bytes:
    held = io.BytesIO()
    with tempfile.TemporaryDirectory() as temporary:
        to = Path(temporary) / study.name
        post(study, to)
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(to.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(to.parent))
    return held.getvalue()


def _folder(shelf: Shelf, name: str) -> Path:
    """A study's folder; names of no study lead nowhere."""
    try:
        return studies.find_question(name, shelf.runs)
    except UserError as error:
        raise HTTPException(404, str(error)) from error


def _answer(shelf: Shelf, name: str) -> Any:
    try:
        return studies.question(_folder(shelf, name))
    except UserError as error:
        raise HTTPException(409, str(error)) from error


def _data(read: Any, folder: Path, key: str) -> Response:
    try:
        return Response(read(folder, key), media_type="application/json", headers={"cache-control": "no-store"})
    except UserError as error:
        raise HTTPException(404, str(error)) from error
