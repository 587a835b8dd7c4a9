"""Function calls in a process of their own, which ends when one takes too long."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Result = TypeVar("Result")
SERVE = "import sys; from rlhub.core.apart import serve; serve(int(sys.argv[1]), float(sys.argv[2]))"


class Ended(Exception):  # noqa: N818  nothing went wrong here
    """The process ended before the function returned."""


class Apart:
    """A process that calls functions for this one.

    It is started by the first call, and again by the next one after it ended. It limits itself: the system ends it once a call has used up
    its processor time, even within arithmetic that Python can't interrupt, and whatever has become of this process. It isn't forked, which
    threads forbid, nor made by `multiprocessing`, which would run a script that has no guard around its main part once more.
    """

    def __init__(self, seconds: float) -> None:
        """Calls get so many seconds of processor time each."""
        self._seconds = seconds
        self._started: tuple[Connection, subprocess.Popen[bytes]] | None = None

    def __call__(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function there that can be imported and doesn't raise.

        Raises:
            Ended: it took too long, or took the process down.
        """
        connection, process = self._started = self._started or self._start()
        try:
            connection.send((function, arguments))
            result: Result = connection.recv()
        except BaseException as error:  # whoever interrupts a call leaves an answer behind, which the next one would take for its own
            connection.close()
            process.kill()
            process.wait()
            self._started = None
            if isinstance(error, EOFError | OSError):
                raise Ended from error
            raise
        return result

    def _start(self) -> tuple[Connection, subprocess.Popen[bytes]]:
        ours, its = socket.socketpair()
        with its:
            command = [sys.executable, "-W", "ignore", "-c", SERVE, str(its.fileno()), str(self._seconds)]
            process = subprocess.Popen(command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603  itself
        return Connection(ours.detach()), process


def serve(descriptor: int, seconds: float) -> None:
    """Call what is asked for over a socket until the other side closes it."""
    connection = Connection(descriptor)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other side, which gets it too, decides
    with suppress(EOFError, OSError):
        while True:
            function, arguments = connection.recv()
            signal.setitimer(signal.ITIMER_PROF, seconds)
            result = function(*arguments)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send(result)
