"""What all pages stand on: the runs folder, its catalogue, and the logs of the runs that are looked at."""

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request

from rlhub.hub.catalogue import Catalogue
from rlhub.hub.marks import GALLERIES, evidence, standing
from rlhub.hub.metric_log import MetricLogs

EVERY, OFTEN = 2.0, 30.0
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
        self._standing: dict[str, Any] | None = None

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

    def standing(self) -> dict[str, Any]:
        """The roadmap and how its marks stand, as it was when the runs last changed: asking thousands of runs takes too long for a page."""
        if self._standing is None:
            self._standing = self._asked()
        return self._standing

    def _asked(self) -> dict[str, Any]:
        galleries = {name: self.runs.parent / place for name, place in GALLERIES.items()}
        return standing(evidence(self.runs, rows=self.catalogue.every(), galleries=galleries))

    def watch(self) -> None:
        """Keep the catalogue up to date until `close`; for a thread of its own."""
        began = 0.0
        while not self._stop.is_set():
            try:
                if self.catalogue.refresh() or time.monotonic() - began > OFTEN:
                    began = time.monotonic()
                    self._standing = self._asked()
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
