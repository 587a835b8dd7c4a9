"""The roadmap: where one stands, item by item."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from rlhub.hub.web.rendering import page
from rlhub.hub.web.shelf import Shelf, shelf_of

router = APIRouter()
TheShelf = Annotated[Shelf, Depends(shelf_of)]


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, shelf: TheShelf) -> HTMLResponse:
    """The first page."""
    return page(request, "roadmap", told=shelf.standing(), root=f"{shelf.runs}/")


@router.get("/api/roadmap")
def shown_as_json(shelf: TheShelf) -> dict[str, Any]:
    """The roadmap, as `rlhub roadmap --json` tells it."""
    return shelf.standing()
