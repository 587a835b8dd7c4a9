"""``rlhub serve``: the hub as a web site on this machine."""

import ipaddress
import os
import secrets
import socket
import sys
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from rlhub.core.errors import UserError
from rlhub.core.folder import runs_folder
from rlhub.hub.commands.study import has_screen
from rlhub.hub.options import parse


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Open the roadmap, the systems, the questions and the runs in a browser; works without a network.

    Attributes:
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        host: the address to listen on. Any but this machine's own (127.0.0.1) needs a token.
        port: the port; 0 for any free one.
        token: what a visitor must know, also from RLHUB_TOKEN; "new" makes one up.
        allow_host: further names under which the site may be asked, where a proxy stands before it.
        open: show it in the browser, where there is a screen.
    """

    runs: Annotated[str | None, arg(metavar="FOLDER")] = None
    host: str = "127.0.0.1"
    port: int = 8642
    token: str | None = None
    allow_host: Annotated[tuple[str, ...], arg(metavar="[NAME ...]")] = ()
    open: bool = False


def run(arguments: list[str]) -> int:
    """Serve until Ctrl-C."""
    options = parse(Serve, arguments, prog="rlhub serve")
    token = options.token or os.environ.get("RLHUB_TOKEN") or None
    token = secrets.token_urlsafe(24) if token == "new" else token  # noqa: S105
    check_address(options.host, token)
    import uvicorn

    from rlhub.hub.web.safety import LOCAL
    from rlhub.hub.web.site import make_site

    listener = listening(options.host, options.port)
    hosts = () if token and not is_local(options.host) else (*LOCAL, *options.allow_host)
    site = make_site(runs_folder(options.runs), hosts=hosts, token=token)
    shown = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http://{shown}:{listener.getsockname()[1]}/" + (f"?token={token}" if token else "")
    sys.stdout.write(f"rlhub is at {address}\nruns: {runs_folder(options.runs).absolute()}; Ctrl-C ends it, trainings go on\n")
    sys.stdout.flush()
    if options.open and has_screen():
        webbrowser.open(address)
    server = uvicorn.Server(
        uvicorn.Config(site, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2, lifespan="on")
    )
    # The server ends in good order on Ctrl-C and kill, and then lets the signal go on.
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0


def check_address(host: str, token: str | None) -> None:
    """Refuse to show runs to a network without a token, and a token that can be guessed.

    Raises:
        UserError: the host is not this machine's own and there is no token, or the token is short or can't stand in an address.
    """
    if token is None and not is_local(host):
        raise UserError(
            f"on {host} others could start programs on this machine: give a --token (`--token new` makes one), or leave --host out"
        )
    if token is not None and (len(token) < 12 or not all(letter.isalnum() or letter in "-_." for letter in token) or not token.isascii()):
        raise UserError("a token has at least 12 letters, digits and - _ . so that it can't be guessed: `--token new` makes one")


def is_local(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UserError: the address is taken, not this machine's, or not an address at all.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Who comes before the site is up waits for it instead of being turned away.
        listener.listen(128)
    except (OSError, OverflowError) as error:
        raise UserError(f"can't listen on {host} port {port}: {error.args[-1]}; choose another --port or --host") from error
    return listener
