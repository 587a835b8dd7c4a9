"""Pages of runs: the list, one run with its curves, and the curves as they grow."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from rlhub.core.errors import UserError
from rlhub.core.files import read_json
from rlhub.hub.catalogue import DAMAGED, Wanted
from rlhub.hub.curves import curve
from rlhub.hub.metric_log import MetricLog
from rlhub.hub.web.rendering import page
from rlhub.hub.web.shelf import Shelf, shelf_of

PAGE = 50
MOST_POINTS = 60
"""Of one metric in one message of a live curve; more are thinned."""
TICK, HEARTBEAT = 0.4, 15.0
ERROR_LINES = 40

router = APIRouter()
TheShelf = Annotated[Shelf, Depends(shelf_of)]
Text = Annotated[str, Query(max_length=200)]
Place = Annotated[int, Query(ge=0, le=1_000_000_000_000)]


def wanted(
    text: Text = "",
    system: Text = "",
    status: Text = "",
    task: Text = "",
    sort: Text = "started",
    order: Literal["ascending", "descending"] = "descending",
    offset: Place = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = PAGE,
) -> Wanted:
    """Which runs are asked for."""
    return Wanted(text=text, system=system, status=status, task=task, sort=sort, order=order, offset=offset, limit=limit)


Asked = Annotated[Wanted, Depends(wanted)]


@router.get("/runs", response_class=HTMLResponse, include_in_schema=False)
def listed(request: Request, shelf: TheShelf, asked: Asked) -> HTMLResponse:
    """All runs; to htmx only the table."""
    found = _found(shelf, asked)
    template = "runs_table" if request.headers.get("hx-request") and not request.headers.get("hx-boosted") else "runs"
    return page(
        request, template, found=found, asked=asked, choices=shelf.catalogue.choices(), metrics=shelf.catalogue.metrics(), runs=shelf.runs
    )


@router.get("/api/runs")
def listed_as_json(shelf: TheShelf, asked: Asked) -> dict[str, Any]:
    """The runs that match, as `rlhub runs --json` tells them."""
    found = _found(shelf, asked)
    return {"total": found.total, "runs": found.rows}


@router.get("/runs/{key:path}", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, shelf: TheShelf, key: str) -> HTMLResponse:
    """One run."""
    row = shelf.row(key)
    return page(request, "run", row=row, problem="", **told(row), others=_kin(shelf, row))


@router.get("/state/{key:path}", response_class=HTMLResponse, include_in_schema=False)
def state(request: Request, shelf: TheShelf, key: str) -> HTMLResponse:
    """How a run stands, for the part of its page that changes."""
    return page(request, "run_state", row=shelf.row(key), problem="")


@router.get("/api/runs/{key:path}")
def shown_as_json(shelf: TheShelf, key: str) -> dict[str, Any]:
    """One run, as `rlhub runs RUN --json` tells it."""
    row = shelf.row(key)
    return row | told(row)


@router.get("/api/curves/{key:path}")
def curves(
    shelf: TheShelf,
    key: str,
    smoothing: Annotated[float, Query(ge=0, lt=1)] = 0.0,
    width: Annotated[int, Query(ge=10, le=4000)] = 600,
) -> dict[str, Any]:
    """All metrics of a run, thinned to so many columns of pixels, and the place from which `/api/events` goes on."""
    log = _log(shelf, key)
    told = []
    counts = {}
    for name in log.names():
        counts[name] = log.count(name)
        steps, values = log.values(name)
        told.append({"name": name, "seeds": curve(steps, values, width=width, smoothing=smoothing)})
    return {"generation": log.generation, "counts": counts, "metrics": told}


@router.get("/api/events/{key:path}", response_class=StreamingResponse)
async def events(
    request: Request, shelf: TheShelf, key: str, counts: Annotated[str, Query(max_length=20_000)] = "{}", generation: Place = 0
) -> StreamingResponse:
    """A run's new points and its state, as server-sent events, until it has ended.

    Args:
        request: the browser's.
        shelf: the runs.
        key: the run.
        counts: how many values of each metric are there already, as `/api/curves` said, as JSON.
        generation: which reading of the file they belong to, as it said.
    """
    await asyncio.to_thread(shelf.row, key)
    try:
        asked = json.loads(counts)
        known = {str(name): int(count) for name, count in asked.items()}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise HTTPException(422, "counts is no JSON object of whole numbers") from None
    stream = _events(request, shelf, key, known, generation)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"})


async def _events(request: Request, shelf: Shelf, key: str, known: dict[str, int], generation: int) -> AsyncIterator[str]:
    last_state, quiet = "", 0.0
    while not shelf.closed and not await request.is_disconnected():
        row = await asyncio.to_thread(shelf.catalogue.run, key)
        if row is None:
            yield _event("gone", {})
            return
        log = await asyncio.to_thread(shelf.logs.of, Path(row["folder"]))
        if log.generation != generation or any(log.count(name) < count for name, count in known.items()):
            # A resumed run cut off what came after its checkpoint: the page asks for its curves anew.
            yield _event("anew", {})
            return
        points = await asyncio.to_thread(_new_points, log, known)
        state = {name: row[name] for name in ("status", "step", "steps", "reason")}
        if points:
            yield _event("points", points)
        if json.dumps(state) != last_state:
            last_state = json.dumps(state)
            yield _event("state", state)
        if row["status"] not in ("running", "new"):
            yield _event("ended", state)
            return
        quiet = 0.0 if points else quiet + TICK
        if quiet >= HEARTBEAT:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(TICK)


def _new_points(log: MetricLog, known: dict[str, int]) -> list[dict[str, Any]]:
    """What every metric has beyond what is known, which is counted on."""
    told = []
    for name in log.names():
        since = min(known.get(name, 0), log.count(name))
        steps, values = log.values(name, since=since)
        known[name] = since + len(steps)
        if len(steps):
            told.append({"name": name, "seeds": curve(steps, values, width=MOST_POINTS)})
    return told


def _event(kind: str, value: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n"


def _found(shelf: Shelf, asked: Wanted) -> Any:
    try:
        return shelf.catalogue.find(asked)
    except UserError as error:
        raise HTTPException(422, str(error)) from error


def _log(shelf: Shelf, key: str) -> MetricLog:
    folder = shelf.folder(key)
    try:
        return shelf.logs.of(folder)
    except UserError as error:
        raise HTTPException(409, str(error)) from error


def told(row: dict[str, Any]) -> dict[str, Any]:
    """What the folder of a run says beyond its row: executions and what went wrong; for a damaged one nothing."""
    folder = Path(row["folder"])
    told: dict[str, Any] = {"executions": [], "error": None}
    if row["status"] == DAMAGED:
        return told
    try:
        told["executions"] = read_json(folder / "provenance.json")["executions"]
    except (UserError, KeyError, TypeError):
        return told
    log = folder / "error.log"
    if row["status"] == "failed" and log.is_file() and not log.is_symlink():
        told["error"] = "\n".join(log.read_text(errors="replace").splitlines()[-ERROR_LINES:])
    return told


def _kin(shelf: Shelf, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs beside a run: those of the same system and task, newest first."""
    if row["status"] == DAMAGED:
        return []
    found = shelf.catalogue.find(Wanted(system=row["system"] or "", task=row["task"] or "", limit=9))
    return [other for other in found.rows if other["key"] != row["key"]][:8]
