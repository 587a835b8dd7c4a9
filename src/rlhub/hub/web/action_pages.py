"""What can be done to a run: stop it, go on with it, move it to the trash and back; by the same code as the command line."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from rlhub.core.errors import UserError
from rlhub.hub.processes import resume, stop
from rlhub.hub.trash import consequences, delete, deleted, restore
from rlhub.hub.web.rendering import page
from rlhub.hub.web.shelf import Shelf, refreshed, shelf_of

router = APIRouter()
TheShelf = Annotated[Shelf, Depends(shelf_of)]


def _stop(shelf: Shelf, folder: Path) -> None:
    stop(folder)


def _resume(shelf: Shelf, folder: Path) -> None:
    resume(folder, runs=shelf.runs)


def _delete(shelf: Shelf, folder: Path) -> None:
    delete(folder, shelf.runs)


ACTIONS = {"stop": _stop, "resume": _resume, "delete": _delete}


async def act(shelf: Shelf, action: str, key: str) -> dict[str, Any] | None:
    """Do it, and the run's row afterwards; None where it is gone."""
    row = await asyncio.to_thread(shelf.row, key)
    await asyncio.to_thread(ACTIONS[action], shelf, Path(row["folder"]))
    await refreshed(shelf)
    return await asyncio.to_thread(shelf.catalogue.run, key)


def _route(action: str) -> None:
    async def from_a_page(request: Request, shelf: TheShelf, key: str) -> Response:
        try:
            row = await act(shelf, action, key)
        except UserError as error:
            return page(request, "run_state", row=await asyncio.to_thread(shelf.row, key), problem=str(error))
        if row is None:
            return Response(status_code=204, headers={"HX-Redirect": "/runs"})
        return page(request, "run_state", row=row, problem="", headers={"HX-Trigger": "rlhub:changed"})

    async def from_a_program(shelf: TheShelf, key: str) -> dict[str, Any]:
        try:
            return {"key": key, "run": await act(shelf, action, key)}
        except UserError as error:
            raise HTTPException(409, str(error)) from error

    from_a_program.__doc__ = f"{action.capitalize()} a run."
    router.add_api_route(f"/{action}/{{key:path}}", from_a_page, methods=["POST"], include_in_schema=False, response_class=HTMLResponse)
    router.add_api_route(f"/api/{action}/{{key:path}}", from_a_program, methods=["POST"], name=f"{action}_run")


for _action in ACTIONS:
    _route(_action)


@router.get("/deleting/{key:path}", response_class=HTMLResponse, include_in_schema=False)
def asked(request: Request, shelf: TheShelf, key: str) -> HTMLResponse:
    """What deleting a run means, before it is done."""
    row = shelf.row(key)
    return page(request, "run_deleting", row=row, told=consequences(Path(row["folder"]), shelf.runs))


@router.get("/trash", response_class=HTMLResponse, include_in_schema=False)
def trash(request: Request, shelf: TheShelf) -> HTMLResponse:
    """What was deleted, and can be brought back."""
    return page(request, "trash", rows=deleted(shelf.runs), runs=shelf.runs)


@router.post("/restore/{name:path}", response_class=HTMLResponse, include_in_schema=False)
async def brought_back(request: Request, shelf: TheShelf, name: str) -> Response:
    """Bring a run back from the trash."""
    try:
        folder = await asyncio.to_thread(restore, name, shelf.runs)
    except UserError as error:
        raise HTTPException(409, str(error)) from error
    await refreshed(shelf)
    return Response(status_code=204, headers={"HX-Redirect": f"/runs/{folder.absolute().relative_to(shelf.runs)}"})
