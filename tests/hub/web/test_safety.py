"""The guard before the site, asked as browsers, other sites and hostile programs would ask."""

import asyncio
import re

import httpx
import pytest
from hub.folders import made_run

from rlhub.hub.web.safety import FORGERY, LARGEST_BODY, Guard
from rlhub.hub.web.site import make_site

HOME = "http://127.0.0.1:8642"


async def echo(scope, receive, send):
    """A site that changes something at each POST and says what it got."""
    body = b""
    while scope["method"] == "POST":
        message = await receive()
        if message["type"] == "http.disconnect":
            body = b"cut"
            break
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"done " + body})


def ask(site, method, path, **options):
    async def asking():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=site, raise_app_exceptions=False), base_url=HOME) as client:
            return await client.request(method, path, **options)

    return asyncio.run(asking())


@pytest.mark.parametrize("host", ["127.0.0.1:8642", "localhost", "LOCALHOST:1", "[::1]:8642"])
def test_the_sites_own_names_are_answered(host):
    assert ask(Guard(echo), "GET", "/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1", "0.0.0.0"]
)
def test_a_foreign_name_that_leads_here_is_turned_away(host):
    answer = ask(Guard(echo), "GET", "/", headers={"host": host})
    assert answer.status_code == 421
    assert "rlhub serve" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": HOME},  # a page of this address, but without the secret that the site's pages have
        {"origin": HOME, FORGERY: "guessed"},
        {"cookie": "rlhub_token=x"},
    ],
)
def test_a_change_that_another_site_asks_for_is_refused(headers):
    assert ask(Guard(echo), "POST", "/", headers=headers).status_code == 403
    assert ask(Guard(echo), "GET", "/", headers=headers).status_code == 200


def test_a_change_from_the_sites_own_page_or_from_a_program_passes():
    guard = Guard(echo)
    own = {"origin": HOME, "sec-fetch-site": "same-origin", FORGERY: guard.forgery}
    assert ask(guard, "POST", "/", headers=own, content=b"x").text == "done x"
    assert ask(guard, "POST", "/", content=b"y").text == "done y"


def test_nothing_is_seen_without_the_token():
    guard = Guard(echo, token="a-long-enough-token")
    assert ask(guard, "GET", "/").status_code == 401
    assert ask(guard, "GET", "/", headers={"cookie": "rlhub_token=wrong"}).status_code == 401
    assert ask(guard, "GET", "/", headers={"cookie": "rlhub_token=a-long-enough-token"}).status_code == 200
    assert ask(guard, "GET", "/", headers={"authorization": "Bearer a-long-enough-token"}).status_code == 200
    assert ask(guard, "GET", "/", headers={"cookie": "=;;; \x7f"}).status_code == 401
    assert ask(guard, "GET", "/?token=").status_code == 401


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address():
    guard = Guard(echo, token="a-long-enough-token")
    answer = ask(guard, "GET", "/runs?token=a-long-enough-token&text=a%20b")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/runs?text=a+b"
    assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
    assert ask(guard, "GET", f"{HOME}//evil.example?token=a-long-enough-token").headers["location"] == "/evil.example"


def test_a_body_ends_where_it_grows_too_large():
    guard = Guard(echo)
    assert ask(guard, "POST", "/", content=b"x" * (LARGEST_BODY + 1)).status_code == 413
    assert ask(guard, "POST", "/", headers={"content-length": "many"}, content=b"x").status_code == 413

    async def pieces():
        for _ in range(2 + LARGEST_BODY // 65536):
            yield b"x" * 65536

    assert ask(guard, "POST", "/", content=pieces()).text == "done cut"


@pytest.fixture
def site(tmp_path):
    runs = tmp_path / "runs"
    made_run(runs / "one", fields={"env": "<script>alert(1)</script>", "note": '"><img src=x onerror=alert(2)>'}, reason="<b>bold</b>")
    (tmp_path / "secret.txt").write_text("the secret")
    site = make_site(runs)
    site.site.state.shelf.catalogue.refresh()
    return site


@pytest.mark.parametrize(
    "path",
    [
        "/runs/../secret.txt",
        "/runs/..%2fsecret.txt",
        "/runs/%2e%2e/%2e%2e/secret.txt",
        "/runs//etc/passwd",
        "/runs/%2fetc%2fpasswd",
        "/runs/one/../../secret.txt",
        "/runs/one%00",
        "/api/runs/..%5csecret.txt",
        "/api/curves/..%2f..%2fetc%2fpasswd",
        "/api/events/..%2fsecret.txt",
        "/static/../site.py",
        "/static/..%2fsite.py",
        "/static/%2e%2e/site.py",
        "/static//etc/passwd",
        "/compare?run=../secret.txt",
    ],
)
def test_no_path_leads_out_of_the_runs_folder(site, path):
    answer = ask(site, "GET", path)
    assert answer.status_code in (404, 405)
    assert "the secret" not in answer.text
    assert "root:" not in answer.text


def test_what_a_folder_says_is_never_a_pages_markup(site):
    for path in ("/runs", "/runs/one", "/compare?run=one"):
        text = ask(site, "GET", path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "<b>bold" not in text
    assert "&lt;script&gt;alert(1)" in ask(site, "GET", "/runs/one").text


def test_pages_run_no_scripts_but_the_sites_own(site):
    answer = ask(site, "GET", "/runs")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", answer.text))
    assert not re.search(r"\son\w+=", answer.text)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", answer.text)
