"""Any set of runs beside each other: curves with their intervals, and the settings in which they differ."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse

from rlhub.core.errors import UserError
from rlhub.hub.comparison import curves_of, differing, groups, metrics_of
from rlhub.hub.web.rendering import page
from rlhub.hub.web.shelf import Shelf, shelf_of

MOST = 100
router = APIRouter()
TheShelf = Annotated[Shelf, Depends(shelf_of)]
Keys = Annotated[list[str], Query(max_length=MOST)]


@router.get("/compare", response_class=HTMLResponse, include_in_schema=False)
def compared(request: Request, shelf: TheShelf, run: Keys = []) -> HTMLResponse:  # noqa: B006 (read only)
    """The page; its curves are asked for by its script."""
    rows = _rows(shelf, run)
    return page(
        request,
        "compare",
        rows=rows,
        groups=groups(rows) if rows else [],
        differing=differing(rows) if rows else {},
        metrics=metrics_of(rows, shelf.logs),
    )


@router.get("/api/compare")
def compared_as_json(
    shelf: TheShelf,
    run: Keys = [],  # noqa: B006 (read only)
    metric: Annotated[str, Query(max_length=200)] = "",
    smoothing: Annotated[float, Query(ge=0, lt=1)] = 0.0,
    grouped: bool = True,
) -> dict[str, Any]:
    """Curves of one metric, by default the first that all runs have, and the settings that differ."""
    rows = _rows(shelf, run)
    try:
        there = metrics_of(rows, shelf.logs)
        chosen = metric or (there[0] if there else "")
        lines = curves_of(rows, shelf.logs, chosen, smoothing=smoothing, grouped=grouped)
    except UserError as error:
        raise HTTPException(409, str(error)) from error
    return {"metric": chosen, "metrics": there, "differing": differing(rows) if rows else {}, "curves": lines}


def _rows(shelf: Shelf, keys: list[str]) -> list[dict[str, Any]]:
    """The runs' rows, each once."""
    return [shelf.row(key) for key in dict.fromkeys(keys)]
