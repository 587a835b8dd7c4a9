"""What stands between the site and other web pages, other machines and hostile requests."""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Site = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL = ("127.0.0.1", "localhost", "::1")
COOKIE, FORGERY = "rlhub_token", "x-rlhub-forgery"
SAFE = ("GET", "HEAD", "OPTIONS")
LARGEST_BODY = 256 * 1024
HEADERS = {
    # Plotly sets styles on its elements, so styles may be inline; scripts may only come from the site's own files.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self';"
        " connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Lets through what comes from a page of this site, or from a person's own program.

    - The Host header must name this site: a foreign name that resolves to this machine (DNS rebinding) is turned away.
    - Where there is a token, every request must carry it, as a cookie, as ``Authorization: Bearer``, or once as ``?token=``.
    - A request that changes something must come from this site's own pages: Origin and Sec-Fetch-Site are looked at where a browser sends
      them, and a browser must also send the secret that the site's pages carry. Programs, which send neither, need no secret.
    - A body has a largest size.

    Attributes:
        forgery: the secret that pages carry and send back.
    """

    def __init__(self, site: Site, *, hosts: Iterable[str] = LOCAL, token: str | None = None) -> None:
        """Stand before a site.

        Args:
            site: what is guarded.
            hosts: names, without ports, under which it may be asked; with a token, any name if there are none.
            token: what must be known to see anything.
        """
        self.site = site
        self.hosts = frozenset(host.lower() for host in hosts)
        self.token = token
        self.forgery = secrets.token_urlsafe(24)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or turn it away."""
        if scope["type"] != "http":
            await self.site(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._is_host(headers.get("host", "")):
            await refuse(send, 421, "this site doesn't answer under that name: open it at the address that `rlhub serve` printed")
            return
        if self.token is not None and not await self._knows_token(scope, headers, send):
            return
        if scope["method"] not in SAFE and (reason := self._is_foreign(headers)):
            await refuse(send, 403, reason)
            return
        try:
            size = int(headers.get("content-length", "0"))
        except ValueError:
            size = LARGEST_BODY + 1
        if size > LARGEST_BODY:
            await refuse(send, 413, f"the request is larger than {LARGEST_BODY // 1024} KiB")
            return
        scope.setdefault("state", {})["forgery"] = self.forgery
        await self.site(scope, limited(receive), with_headers(send))

    def _is_host(self, host: str) -> bool:
        return not self.hosts or _name_of(host) in self.hosts

    async def _knows_token(self, scope: Scope, headers: dict[str, str], send: Send) -> bool:
        """Whether the request carries the token; one that has it in its address is sent on with a cookie, so that it doesn't stay there."""
        assert self.token is not None  # noqa: S101  asked before
        asked = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if self._same(asked.get("token", [""])[0]):
            rest = urlencode([(name, value) for name, values in asked.items() if name != "token" for value in values])
            place = scope["path"].replace("\\", "/")
            # Two slashes at the beginning would name another site.
            place = "/" + place.lstrip("/") + (f"?{rest}" if rest else "")
            cookie = f"{COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"
            await answer(send, 303, b"", {"location": _ascii(place), "set-cookie": cookie})
            return False
        try:
            cookies: Any = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            cookies = {}
        held = cookies[COOKIE].value if COOKIE in cookies else headers.get("authorization", "").removeprefix("Bearer ")
        if self._same(held):
            return True
        await refuse(send, 401, "this site needs its token: open the address with ?token=... that `rlhub serve` printed")
        return False

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self.token or "").encode())

    def _is_foreign(self, headers: dict[str, str]) -> str | None:
        """Why a request that changes something is turned away; None where it may pass."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if site not in (None, "same-origin", "none") or (origin is not None and _host_of(origin) != headers.get("host", "").lower()):
            return "another site's page asked for this change, which only this site's own pages may"
        from_browser = origin is not None or site is not None or "cookie" in headers
        if from_browser and not hmac.compare_digest(headers.get(FORGERY, "").encode(), self.forgery.encode()):
            return "the page is older than this server: load it again, then repeat what you did"
        return None


def limited(receive: Receive) -> Receive:
    """A body that ends where it grows too large, whatever length was announced."""
    taken = 0

    async def within() -> MutableMapping[str, Any]:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        return {"type": "http.disconnect"} if taken > LARGEST_BODY else message

    return within


def with_headers(send: Send) -> Send:
    """Every answer with the site's security headers, where it hasn't its own."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            more = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in there]
            message["headers"] = [*message["headers"], *more]
        await send(message)

    return sending


async def refuse(send: Send, status: int, sentence: str) -> None:
    """Say why not."""
    await answer(send, status, f"{sentence}\n".encode(), {"content-type": "text/plain; charset=utf-8"})


async def answer(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    """An answer of the guard's own."""
    told = [(name.encode(), value.encode()) for name, value in (headers | HEADERS | {"content-length": str(len(body))}).items()]
    await send({"type": "http.response.start", "status": status, "headers": told})
    await send({"type": "http.response.body", "body": body})


def _name_of(host: str) -> str:
    """A Host header's name, without port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _ascii(place: str) -> str:
    return quote(place, safe="/?&=%+@:,;~!$'()*-._")
