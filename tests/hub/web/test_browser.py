"""The site as a person uses it, in a real browser: start a run, see its curve move, stop it, resume it, compare it."""

import json
import re
import shutil
import zipfile

import pytest
from axe_playwright_python.sync_playwright import Axe
from hub.folders import made_run
from playwright.sync_api import expect

from rlhub.core.records import trainer
from rlhub.hub.processes import stop

SLOW = 120_000


@pytest.fixture(scope="module")
def two(runs):
    """Two finished runs with a metric; whatever a test begins beside them ends with the last test."""
    for seed in range(2):
        metrics = [{"step": step, "episode_return": step * (seed + 1.0), "loss": 1 / step} for step in range(1, 101)]
        made_run(
            runs / f"old-{seed}", seed=seed, fields={"env": "Acrobot-v1", "steps": 100, "learning_rate": 0.1 * (1 + seed)}, metrics=metrics
        )
    yield runs
    for told in runs.glob("[!.]*/provenance.json"):
        if trainer(told.parent):
            stop(told.parent)


def points(page, metric):
    return page.evaluate(
        "name => document.querySelector(`[data-metric=${name}]`)?.data?.[0].x.length ?? 0",
        metric,
    )


def test_a_run_is_started_watched_stopped_resumed_and_compared(page, two):
    page.goto("/")
    expect(page.get_by_role("heading", name="The road")).to_be_visible()
    page.get_by_role("link", name="ppo", exact=True).first.click()
    page.get_by_role("link", name="Start a run").click()

    # A value that makes no sense is told beside its field, and nothing starts.
    page.get_by_label("steps", exact=True).fill("many")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert").first).to_contain_text("steps takes a whole number, not 'many'")
    assert {path.name for path in two.iterdir() if not path.name.startswith(".")} == {"old-0", "old-1"}

    page.get_by_label("steps", exact=True).fill("50000000")
    page.get_by_label("name", exact=True).fill("from-the-web")
    expect(page.locator("#command")).to_contain_text("rlhub train ppo --steps=50000000 --name=from-the-web")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/from-the-web", timeout=SLOW)

    # Its curve moves by itself.
    page.wait_for_function("() => document.querySelector('[data-metric=loss]')?.data?.[0].x.length > 2", timeout=SLOW)
    before = points(page, "loss")
    page.wait_for_function(f"() => document.querySelector('[data-metric=loss]').data[0].x.length > {before}", timeout=SLOW)

    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state .status")).to_have_text("interrupted", timeout=SLOW)
    told = json.loads((two / "from-the-web" / "provenance.json").read_text())
    assert told["executions"][-1]["status"] == "interrupted"

    # A state that was on its way arrives while the button's own request is.
    def late(route):
        page.evaluate("htmx.ajax('GET', '/state/from-the-web', { target: '#state', swap: 'outerHTML' })")
        route.continue_()

    page.route("**/resume/*", late)
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state .status")).to_have_text("running", timeout=SLOW)
    executions = json.loads((two / "from-the-web" / "provenance.json").read_text())["executions"]
    assert len(executions) == 2
    # It went on from its beginning, as there was no checkpoint yet: wait for what it logs anew.
    metrics = two / "from-the-web" / "metrics.jsonl"
    for _ in range(600):
        if metrics.read_text().count("\n") > 2:
            break
        page.wait_for_timeout(100)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#state .status")).to_have_text("interrupted", timeout=SLOW)

    page.goto("/runs")
    page.get_by_label("Compare from-the-web").check()
    page.get_by_label("Compare old-0").check()
    page.get_by_role("button", name="Compare the ticked").click()
    page.wait_for_function("() => document.getElementById('comparison')?.data?.length == 2", timeout=SLOW)
    expect(page.get_by_role("rowheader", name="env", exact=True)).to_be_visible()

    # Deleting asks first, and is undone from the trash.
    page.goto("/runs/from-the-web")
    page.get_by_role("button", name="Delete…").click()
    expect(page.get_by_role("alertdialog")).to_contain_text("stay on the disk")
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Move to the trash").click()
    page.wait_for_url("**/runs")
    assert not (two / "from-the-web").exists()
    page.goto("/trash")
    page.get_by_role("button", name="Bring back").click()
    page.wait_for_url("**/runs/from-the-web")
    assert (two / "from-the-web" / "config.json").is_file()


@pytest.fixture(scope="module")
def study(reported, runs):
    """A finished study among the runs."""
    shutil.copytree(reported / "mine", runs / "mine")


def test_a_report_is_read_its_circuit_pruned_and_a_post_of_it_taken(page, study, tmp_path):
    page.goto("/questions")
    page.get_by_role("rowheader").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Claims of the literature")).to_be_visible()

    circuit = page.locator(".circuit").first
    circuit.scroll_into_view_if_needed()
    slider = circuit.get_by_role("slider")
    expect(slider).to_be_visible(timeout=SLOW)
    expect(circuit).to_contain_text("faithfulness")
    before = circuit.inner_text()
    slider.focus()
    page.keyboard.press("Home")
    expect(circuit).not_to_have_text(before)
    drawn = "circuit => circuit.querySelector('.js-plotly-plot').data.map(trace => trace.name)"
    found = set()
    for name in ("before", "after", "difference"):
        circuit.get_by_label(name, exact=True).check()
        page.wait_for_timeout(300)
        found.add(str(circuit.evaluate(drawn)))
    assert len(found) > 1

    with page.expect_navigation():
        page.get_by_role("link", name="The report as one page").click()
    expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=SLOW)
    # The report runs its own scripts, but as a stranger: it can't ask this site for anything.
    assert page.evaluate("() => window.origin") == "null"

    page.go_back()
    with page.expect_download(timeout=SLOW) as taken:
        page.get_by_role("link", name="A post of it").click()
    taken.value.save_as(tmp_path / "post.zip")
    with zipfile.ZipFile(tmp_path / "post.zip") as archive:
        names = archive.namelist()
        text = archive.read("mine/index.md").decode()
    assert sum(name.endswith(".png") for name in names) > 5
    assert all(f"({name.removeprefix('mine/')})" in text for name in names if name.endswith(".png"))


def test_the_list_is_searched_as_one_types(page, two):
    page.goto("/runs")
    expect(page.get_by_role("link", name="old-1")).to_be_visible()
    page.get_by_label("Search").press_sequentially("old-0")
    expect(page.get_by_role("link", name="old-1")).to_have_count(0)
    expect(page.get_by_role("link", name="old-0")).to_be_visible()
    assert "text=old-0" in page.url
    page.get_by_label("Search").fill("no such run")
    expect(page.get_by_text("No run matches")).to_be_visible()


def test_curves_are_smoothed_and_seeds_parted(page, two):
    page.goto("/compare?run=old-0&run=old-1")
    page.wait_for_function("() => document.getElementById('comparison')?.data?.length == 2")
    assert page.evaluate("document.getElementById('comparison').data.map(line => line.name)") == [
        "PPO, learning_rate 0.1",
        "PPO, learning_rate 0.2",
    ]
    first = page.evaluate("document.getElementById('comparison').data[0].y.at(-1)")
    page.get_by_label("Smoothing").fill("0.9")
    page.wait_for_function(f"() => document.getElementById('comparison').data[0].y.at(-1) != {first}")


def test_a_page_is_used_with_the_keyboard_alone(page, two):
    page.goto("/runs")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Compare old-1":
            break
    page.keyboard.press("Space")
    expect(page.get_by_label("Compare old-1")).to_be_checked()


def test_the_theme_is_chosen_and_kept(page, two):
    page.goto("/runs/old-0")
    page.wait_for_function("() => document.querySelector('[data-metric=loss]')?.data")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.goto("/systems")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


PLACES = (
    "/",
    "/systems",
    "/systems/ppo",
    "/start/ppo",
    "/questions",
    "/questions/mine",
    "/figures/book/6.4",
    "/runs",
    "/runs/old-0",
    "/compare?run=old-0&run=old-1",
    "/trash",
    "/runs/none",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", PLACES)
def test_pages_have_no_serious_fault_of_accessibility_and_fit_a_telephone(browser, site, two, study, place, scheme):
    context = browser.new_context(base_url=site, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(place)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    found = Axe().run(page).response["violations"]
    context.close()
    serious = [f"{one['id']}: {node['html'][:120]}" for one in found if one["impact"] in ("serious", "critical") for node in one["nodes"]]
    assert serious == []


def test_no_page_asks_for_anything_elsewhere(browser, site, two, study):
    context = browser.new_context(base_url=site)
    page = context.new_page()
    asked = set()
    page.on("request", lambda request: asked.add(request.url))
    for place in PLACES:
        page.goto(place)
        page.wait_for_load_state("networkidle")
    context.close()
    assert [url for url in asked if not re.match(rf"{re.escape(site)}/|data:|blob:", url)] == []
