"""Pages of systems: what each is, its lines, what was measured of it, and a form that starts it."""

import asyncio
import shlex
import threading
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Body, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from rlhub.core.errors import UserError
from rlhub.hub.catalogue import Wanted
from rlhub.hub.checking import check, settings, value_of, words
from rlhub.hub.describing import CHECKOUT, describe, describe_all
from rlhub.hub.processes import start
from rlhub.hub.systems import SYSTEMS
from rlhub.hub.web.rendering import page
from rlhub.hub.web.shelf import Shelf, refreshed, shelf_of
from rlhub.hub.web.writing import markdown, python

OF_THE_RUN = {"seed": "integer", "seeds": "integer", "name": "text"}
router = APIRouter()
TheShelf = Annotated[Shelf, Depends(shelf_of)]


@router.get("/systems", response_class=HTMLResponse, include_in_schema=False)
def listed(request: Request, shelf: TheShelf) -> HTMLResponse:
    """All systems, by wing."""
    counts = dict(shelf.catalogue.choices()["system"])
    wings: dict[str, list[dict[str, Any]]] = {}
    for entry in SYSTEMS:
        wing, name = entry.place.split(".")[1], entry.place.rpartition(":")[2]
        wings.setdefault(wing, []).append(entry._asdict() | {"runs": counts.get(name, 0)})
    return page(request, "systems", wings=wings)


@router.get("/api/systems")
def listed_as_json() -> list[dict[str, Any]]:
    """All systems, as `rlhub systems --json` tells them."""
    return [entry._asdict() for entry in SYSTEMS]


@router.get("/systems/{name}", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, shelf: TheShelf, name: str) -> HTMLResponse:
    """One system."""
    if not ready():
        return page(request, "waiting", what=name)
    told = known(name)
    found = shelf.catalogue.find(Wanted(system=told["place"].rpartition(":")[2], limit=12))
    return page(
        request,
        "system",
        told=told,
        about=markdown(told["about"] or told["what"]),
        docs=markdown(told["docs"], picture=f"/systems/{name}/curve.png" if picture(name).is_file() else "") if told["docs"] else "",
        code=python(told["code"]) if told["code"] else "",
        found=found,
    )


@router.get("/systems/{name}/curve.png", include_in_schema=False)
def curve(name: str) -> FileResponse:
    """The picture on a system's page, where the package runs from a checkout."""
    known(name)
    if not picture(name).is_file():
        raise HTTPException(404, "its picture is in the repository")
    return FileResponse(picture(name))


@router.get("/api/systems/{name}")
def shown_as_json(name: str) -> dict[str, Any]:
    """One system, as `rlhub systems NAME --json` tells it."""
    return known(name)


@router.get("/start/{name}", response_class=HTMLResponse, include_in_schema=False)
def form(request: Request, name: str) -> HTMLResponse:
    """The form that starts a run; what is in the address is filled in."""
    given = dict(request.query_params)
    return _form(request, name, given, {})


@router.post("/command/{name}", response_class=HTMLResponse, include_in_schema=False)
async def command(request: Request, name: str) -> HTMLResponse:
    """What the form says as a command, or what is wrong with it."""
    given = _fields(await request.body())
    told, errors = known(name), _errors(name, given)
    return page(request, "start_command", told=told, command=_command(name, given) if not errors else "", errors=errors)


@router.post("/start/{name}", response_class=HTMLResponse, include_in_schema=False)
async def started(request: Request, shelf: TheShelf, name: str) -> Response:
    """Start what the form says, by the command line; back to the form with what is wrong."""
    given = _fields(await request.body())
    known(name)
    errors = _errors(name, given)
    if not errors:
        try:
            key = await _start(shelf, name, given)
        except UserError as error:
            errors = {"": str(error)}
        else:
            return Response(status_code=204, headers={"HX-Redirect": f"/runs/{key}"})
    return _form(request, name, given, errors, status=422)


@router.post("/api/start/{name}", status_code=201)
async def started_as_json(shelf: TheShelf, name: str, options: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """Start a run: a system's fields by name, and seed, seeds and name of the run.

    Returns:
        The run's key.
    """
    known(name)
    errors = _errors(name, options)
    if errors:
        raise HTTPException(422, "; ".join(errors.values()))
    try:
        return {"key": await _start(shelf, name, options)}
    except UserError as error:
        raise HTTPException(409, str(error)) from error


def known(name: str) -> dict[str, Any]:
    """A system's description.

    Raises:
        HTTPException: 404, there is none.
    """
    if name not in {entry.name for entry in SYSTEMS}:
        raise HTTPException(404, f"there is no system {name!r}")
    return describe(name)


def picture(name: str) -> Any:
    """Where the picture of a system's learning lies in a checkout."""
    return CHECKOUT / "docs" / "agents" / "curves" / f"{name}.png"


_READY = threading.Event()


def warm() -> None:
    """Have the descriptions read, which takes some seconds the first time, before someone asks for them."""
    try:
        describe_all()
    finally:
        _READY.set()


def ready() -> bool:
    """Whether a page can be shown at once; a moment is waited for it."""
    return _READY.wait(1.0)


async def _start(shelf: Shelf, name: str, given: Mapping[str, Any]) -> str:
    """Start a run, and its key once its folder is there."""
    told = known(name)
    by_name = {field["name"]: field for field in told["fields"]}
    begins = settings(told, _env(told, given))
    options = {key: value_of(by_name[key], value) for key, value in given.items() if key in by_name and value != ""}
    options = {key: value for key, value in options.items() if key == "env" or value != begins[key]}
    run = {key: value_of(_run_field(key), given[key]) for key in OF_THE_RUN if given.get(key) not in (None, "")}
    begun = await asyncio.to_thread(start, name, options, runs=shelf.runs, **run)
    await refreshed(shelf)
    return str(begun.folder.absolute().relative_to(shelf.runs))


def _form(request: Request, name: str, given: Mapping[str, Any], errors: dict[str, str], *, status: int = 200) -> HTMLResponse:
    if not ready():
        return page(request, "waiting", what=name)
    told = known(name)
    begins = settings(told, _env(told, given))
    plain = settings(told, None)
    unlike = {key: value for key, value in begins.items() if key != "env" and value != plain[key]}
    template = "start_form" if request.headers.get("hx-request") else "start"
    asked = _command(name, given) if not errors else ""
    return page(request, template, status=status, told=told, given=given, errors=errors, begins=begins, unlike=unlike, command=asked)


def _errors(name: str, given: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the fields, by name."""
    errors = {}
    for key in OF_THE_RUN:
        try:
            if given.get(key) not in (None, ""):
                value_of(_run_field(key), given[key])
        except ValueError as error:
            errors[key] = f"{key} {error}"
    try:
        return errors | check(name, {key: value for key, value in given.items() if key not in OF_THE_RUN and value != ""})
    except UserError as error:
        return errors | {"": str(error)}


def _run_field(key: str) -> dict[str, Any]:
    return {"name": key, "kind": OF_THE_RUN[key], "many": False, "optional": False, "choices": []}


def _env(told: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """The environment that the form names, or the system's own."""
    own = next((field["default"] for field in told["fields"] if field["name"] == "env"), None)
    return str(given.get("env") or own or "") or None


def _command(name: str, given: Mapping[str, Any]) -> str:
    of_the_run = [f"--{key}={given[key]}" for key in OF_THE_RUN if given.get(key) not in (None, "")]
    try:
        fields = words(name, {key: value for key, value in given.items() if key not in OF_THE_RUN and value != ""})
    except (UserError, ValueError, KeyError):
        return ""
    return shlex.join(["rlhub", "train", name, *fields, *of_the_run])


def _fields(body: bytes) -> dict[str, str]:
    """A form's fields; what is no form has none."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=300))
    except ValueError as error:
        raise HTTPException(400, "the request holds no form") from error
