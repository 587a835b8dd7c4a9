"""The site in a process of its own, and a real browser before it."""

import shutil
import urllib.request

import pytest
from hub.web.serving import served


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("site") / "runs"


@pytest.fixture(scope="module")
def site(runs):
    process, address = served(runs)
    # Systems are described once, which loads every library that any of them needs.
    with urllib.request.urlopen(f"{address}/api/systems/ppo", timeout=280) as answer:
        assert answer.status == 200
    yield address
    process.terminate()
    assert process.wait(20) == 0


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium; `.ci/run` installs it."""
    place = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if place is None:
        pytest.skip("there is no Chromium on this machine (on Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=place, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, site):
    """A page that must not complain."""
    context = browser.new_context(base_url=site, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    # Chromium calls an answer of 4xx an error, also one that a test asks for.
    assert [complaint for complaint in complaints if "status of 4" not in complaint] == []
