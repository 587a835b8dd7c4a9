"""The site: its pages and its files, put together behind the guard."""

import gzip
import importlib.util
import logging
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException

from rlhub.core.errors import UserError
from rlhub.hub.web import action_pages, compare_pages, figure_pages, question_pages, roadmap_pages, run_pages, system_pages
from rlhub.hub.web.rendering import STATIC, page
from rlhub.hub.web.safety import LOCAL, Guard
from rlhub.hub.web.shelf import Shelf

_log = logging.getLogger("rlhub")
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}


def make_site(runs: Path, *, hosts: Iterable[str] = LOCAL, token: str | None = None) -> Guard:
    """The site over a folder of runs, as an ASGI application.

    Args:
        runs: where runs live; needn't be there yet.
        hosts: names under which it may be asked.
        token: what must be known to see anything.
    """
    shelf = Shelf(runs)

    @asynccontextmanager
    async def lifespan(site: FastAPI) -> AsyncIterator[None]:
        watcher = threading.Thread(target=shelf.watch, name="catalogue", daemon=True)
        watcher.start()
        threading.Thread(target=_warm, name="descriptions", daemon=True).start()
        yield
        shelf.close()

    site = FastAPI(title="rlhub", lifespan=lifespan, docs_url=None, redoc_url=None)
    site.state.shelf = shelf
    site.mount("/static", StaticFiles(directory=STATIC), name="static")
    site.add_api_route("/plotly.js", plotly, include_in_schema=False)
    for part in (roadmap_pages, figure_pages, question_pages, run_pages, compare_pages, system_pages, action_pages):
        site.include_router(part.router)
    site.add_exception_handler(AnyHTTPException, failed)
    site.add_exception_handler(RequestValidationError, misunderstood)
    return Guard(site, hosts=hosts, token=token)


def _warm() -> None:
    """What takes some seconds once, before someone waits for it."""
    _plotly()
    try:
        system_pages.warm()
    except UserError as error:
        _log.warning("%s", error)


def plotly(request: Request) -> Response:
    """Plotly's own script, which its Python package carries."""
    plain, packed = _plotly()
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(packed, media_type="text/javascript", headers=FOREVER | {"content-encoding": "gzip", "vary": "accept-encoding"})
    return Response(plain.read_bytes(), media_type="text/javascript", headers=FOREVER)


@cache
def _plotly() -> tuple[Path, bytes]:
    """Where it is, and the same packed; found without loading the package."""
    found = importlib.util.find_spec("plotly")
    assert found is not None and found.origin is not None  # noqa: S101  the package depends on it
    path = Path(found.origin).parent / "package_data" / "plotly.min.js"
    return path, gzip.compress(path.read_bytes(), 6)


async def misunderstood(request: Request, error: Any) -> Response:
    """What a request has wrong, field by field; what it sent is not sent back, as it may not even be text."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  it is registered for these
    told = "; ".join(f"{'.'.join(map(str, one['loc'][1:])) or one['loc'][0]}: {one['msg']}" for one in error.errors())
    return await failed(request, HTTPException(422, told))


async def failed(request: Request, error: Any) -> Response:
    """What went wrong: a page for a person, JSON for a program."""
    assert isinstance(error, AnyHTTPException | HTTPException)  # noqa: S101  it is registered for these
    if request.url.path.startswith("/api/") or request.method not in ("GET", "HEAD"):
        return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)
    return page(
        request, "error", status=error.status_code, what=str(error.detail), code=error.status_code, headers=dict(error.headers or {})
    )
