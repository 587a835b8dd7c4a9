"""What all pages stand on: the runs folder, its catalogue, and the logs of the runs that are looked at."""

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request

from rlhub.hub.catalogue import Catalogue
from rlhub.hub.metric_log import MetricLogs

EVERY = 2.0
_log = logging.getLogger("rlhub")


class Shelf:
    """The runs that a site shows.

    Attributes:
        runs: the folder that they lie in.
        catalogue: all of them, as a table.
        logs: their metrics.
    """

    def __init__(self, runs: Path) -> None:
        """Nothing is read before `watch` or `refresh`."""
        self.runs = runs.absolute()
        self.catalogue = Catalogue(self.runs)
        self.logs = MetricLogs()
        self._stop = threading.Event()

    def row(self, key: str) -> dict[str, Any]:
        """A run by its key. Only keys that the catalogue knows lead to a folder, so no path that a person makes up can.

        Raises:
            HTTPException: 404, there is none.
        """
        row = self.catalogue.run(key)
        if row is None:
            raise HTTPException(404, f"there is no run {key!r} in {self.runs}")
        return row

    def folder(self, key: str) -> Path:
        """A run's folder."""
        return Path(self.row(key)["folder"])

    def watch(self) -> None:
        """Keep the catalogue up to date until `close`; for a thread of its own."""
        while not self._stop.is_set():
            try:
                self.catalogue.refresh()
            except Exception:
                # Whatever a folder does to its reader, the site goes on showing the others.
                _log.exception("the runs folder could not be read")
            self._stop.wait(EVERY)

    def close(self) -> None:
        """End `watch`."""
        self._stop.set()

    @property
    def closed(self) -> bool:
        """Whether the site is going down."""
        return self._stop.is_set()


def shelf_of(request: Request) -> Shelf:
    """The shelf of the site that is asked."""
    shelf: Shelf = request.app.state.shelf
    return shelf


async def refreshed(shelf: Shelf) -> None:
    """See what an action has just changed."""
    await asyncio.to_thread(shelf.catalogue.refresh)
