"""What the site answers, without a browser: pages and JSON, live events, damaged folders, and whatever a fuzzer thinks of."""

import json
import re
import threading
import time
import urllib.error
import urllib.request

import psutil
import pytest
import schemathesis
from hub.folders import made_run
from hub.web.serving import served
from hypothesis import HealthCheck, Phase, given, settings
from waiting import until

from rlhub.hub.web.site import make_site


def get(address):
    with urllib.request.urlopen(address, timeout=120) as answer:
        return answer.read().decode()


def post(address, value):
    body = json.dumps(value).encode()
    request = urllib.request.Request(address, data=body, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def filled(site, runs):
    """A run that goes on, one that has ended, and folders that are damaged."""
    process = psutil.Process()
    alive = {"pid": process.pid, "pid_started": process.create_time(), "status": "running"}
    made_run(runs / "going", metrics=[{"step": step, "loss": 1.0 / step} for step in range(1, 6)], **alive)
    made_run(runs / "done", metrics=[{"step": step, "loss": [1.0 / step, None]} for step in range(1, 6)])
    for name, file, content in (
        ("no-json", "config.json", b"{"),
        ("no-object", "provenance.json", b"[1]"),
        ("bytes", "metrics.jsonl", bytes(range(256)) * 20),
        ("strange", "config.json", b'{"system": null, "fields": 3, "seed": {}}'),
        ("huge", "config.json", b'{"system": "a:B", "fields": {"env": ' + b"[" * 500 + b"]" * 500 + b'}, "seed": 1e400}'),
    ):
        made_run(runs / name)
        (runs / name / file).write_bytes(content)
    until(lambda: json.loads(get(f"{site}/api/runs"))["total"] >= 7)
    return site


def test_pages_show_damaged_folders_as_damaged_and_the_others_as_they_are(filled):
    table = get(f"{filled}/runs")
    assert table.count('class="status damaged"') >= 3
    for name in ("going", "done", "no-json", "no-object", "bytes", "strange", "huge"):
        assert f">{name}</a>" in table
        assert name in get(f"{filled}/runs/{name}")
        assert json.loads(get(f"{filled}/api/runs/{name}"))["key"] == name
        json.loads(get(f"{filled}/api/curves/{name}"))
    assert json.loads(get(f"{filled}/api/compare?run=done&run=bytes&run=no-json"))["metric"] == "loss"


def test_json_tells_the_runs_that_the_command_tells(filled, rlhub, runs):
    told = rlhub("runs", "--json", "--runs", runs, "--find", "done")
    row = json.loads(told["out"])[0]
    same = json.loads(get(f"{filled}/api/runs?text=done"))["runs"][0]
    for name in ("name", "status", "step", "steps", "seed", "metrics", "bytes", "task"):
        assert row[name] == same[name]


def test_curves_hold_every_seed_and_no_nan(filled):
    told = json.loads(get(f"{filled}/api/curves/done"))
    assert told["metrics"] == [
        {
            "name": "loss",
            "seeds": [
                {"steps": [1, 2, 3, 4, 5], "values": [1, 0.5, 0.3333333, 0.25, 0.2]},
                {"steps": [1, 2, 3, 4, 5], "values": [None] * 5},
            ],
        }
    ]


def listening(site, key):
    """The events of a run, as they come."""
    told = json.loads(get(f"{site}/api/curves/{key}"))
    counts = urllib.request.quote(json.dumps(told["counts"]))
    found = []

    def listen():
        with urllib.request.urlopen(f"{site}/api/events/{key}?generation={told['generation']}&counts={counts}", timeout=60) as stream:
            kind = None
            for line in stream:
                if line.startswith(b"event: "):
                    kind = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    found.append((kind, json.loads(line[6:]), time.time()))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    until(lambda: found)
    return found, thread


def test_new_points_come_by_themselves_and_only_once_until_the_run_ends(filled, runs):
    events, thread = listening(filled, "going")
    assert events[0][:2] == ("state", {"status": "running", "step": 5, "steps": 100, "reason": None})
    sent = time.time()
    with (runs / "going" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 6, "loss": 0.125, "kl": 3}) + "\n")
    _, points, came = until(lambda: next((event for event in events if event[0] == "points"), None))
    assert points == [
        {"name": "loss", "seeds": [{"steps": [6], "values": [0.125]}]},
        {"name": "kl", "seeds": [{"steps": [6], "values": [3]}]},
    ]
    assert came - sent < 10  # a second on a machine that does nothing else: benchmarks/hub.py measures it
    record = json.loads((runs / "going" / "provenance.json").read_text())
    record["executions"][-1]["status"] = "finished"
    (runs / "going" / "provenance.json").write_text(json.dumps(record))
    thread.join(30)
    assert events[-1][0] == "ended"
    assert sum(event[0] == "points" for event in events) == 1


def test_a_run_that_was_cut_back_is_asked_for_anew(filled, runs):
    process = psutil.Process()
    made_run(
        runs / "cut",
        metrics=[{"step": step, "loss": 1.0} for step in range(1, 50)],
        status="running",
        pid=process.pid,
        pid_started=process.create_time(),
    )
    until(lambda: "cut" in get(f"{filled}/api/runs"))
    events, thread = listening(filled, "cut")
    (runs / "cut" / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0}) + "\n")
    thread.join(30)
    assert events[-1][0] == "anew"
    assert len(json.loads(get(f"{filled}/api/curves/cut"))["metrics"][0]["seeds"][0]["steps"]) == 1


def test_a_figure_is_shown_once_it_was_computed(filled, rlhub, runs):
    assert "rlhub book figure 3.5" in get(f"{filled}/figures/book/3.5")
    rlhub("book", "figure", "3.5", "--page-only", "--to", runs.parent / "book")
    shown = get(f"{filled}/figures/book/3.5")
    assert "Computed" in shown
    assert 'src="/figures/book/3.5/page"' in shown
    told = json.loads(get(f"{filled}/api/figures/book/3.5"))
    assert told["numbers"]
    with urllib.request.urlopen(f"{filled}/figures/book/3.5/page", timeout=60) as answer:
        assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts")
        assert b"plotly" in answer.read()
    for place in ("book/9.99", "book/..%2f..%2fruns", "theory/3.5", "novel/3.5"):
        with pytest.raises(urllib.error.HTTPError, match=r"404|422"):
            get(f"{filled}/figures/{place}")


def test_figures_offer_no_way_to_a_server_elsewhere(filled):
    assert "showSendToCloud: false" in get(f"{filled}/static/drawing.js")
    for name in ("charts", "figures", "circuit"):
        assert "displaylogo" not in get(f"{filled}/static/{name}.js")


def test_starting_by_json_says_what_is_wrong(filled):
    assert post(f"{filled}/api/start/nothing", {})[0] == 404
    status, told = post(f"{filled}/api/start/ppo", {"steps": "many", "seed": "x", "colour": 1})
    assert status == 422
    assert "steps takes a whole number, not 'many'" in told["error"]
    assert "seed takes a whole number, not 'x'" in told["error"]
    assert "no option colour" in told["error"]


def test_what_the_command_line_refuses_is_told_in_its_words_and_leaves_nothing(filled, runs):
    before = {path.name for path in runs.iterdir()} - {".logs"}
    status, told = post(f"{filled}/api/start/ppo", {"env": "NoSuchGame-v0", "steps": 100})
    assert status == 409
    assert "NoSuchGame-v0" in told["error"]
    assert {path.name for path in runs.iterdir() if not path.name.startswith(".")} <= before


def test_training_does_not_notice_the_end_of_the_site(tmp_path):
    runs = tmp_path / "runs"
    process, address = served(runs)
    try:
        status, told = post(f"{address}/api/start/dqn", {"steps": 100_000_000, "name": "goes-on"})
        assert status == 201, told
    finally:
        process.kill()
        process.wait()
    metrics = runs / "goes-on" / "metrics.jsonl"
    size = until(lambda: metrics.exists() and metrics.stat().st_size, 60)
    until(lambda: metrics.stat().st_size > size, 60)
    record = json.loads((runs / "goes-on" / "provenance.json").read_text())["executions"][-1]
    trainer = psutil.Process(record["pid"])
    assert trainer.is_running()
    trainer.terminate()
    trainer.wait(60)


def test_fifty_viewers_see_a_page_at_once(filled):
    answers = []
    viewers = [threading.Thread(target=lambda: answers.append(get(f"{filled}/runs"))) for _ in range(50)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join(120)
    assert len(answers) == 50
    assert all("<h1>Runs</h1>" in answer for answer in answers)


def test_nothing_that_a_fuzzer_sends_is_an_error_of_the_server(runs):
    """Schemathesis, over the site's own description; starting and changing runs is left to the other tests."""
    site = make_site(runs)
    site.site.state.shelf.catalogue.refresh()
    schema = schemathesis.openapi.from_asgi("/openapi.json", site.site).exclude(path_regex="^/api/(events|start|stop|resume|delete)")
    seen = set()

    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], database=None)
        @given(case=operation.as_strategy())
        def fuzz(case):
            answer = case.call(headers={"host": "127.0.0.1"})
            assert answer.status_code < 500, f"{case.path}: {answer.text[:300]}"

        fuzz()
        seen.add(operation.path)
    assert len(seen) >= 8


def test_requests_that_no_browser_would_send_are_no_error_of_the_server(filled):
    """Odd methods, headers, and paths, sent as they are."""
    import http.client

    host = filled.removeprefix("http://")
    for method, path, headers, body in (
        ("POST", "/runs", {}, b""),
        ("PUT", "/api/runs", {}, b"{}"),
        ("POST", "/api/start/ppo", {"content-type": "application/json"}, b"[1, 2"),
        ("POST", "/api/start/ppo", {"content-type": "application/json"}, b"[" * 10_000),
        ("POST", "/api/start/ppo", {}, b"\xff\xfe"),
        ("POST", "/start/ppo", {}, b"\xff" * 100),
        ("POST", "/start/ppo", {}, b"a=1&" * 1000),
        ("POST", "/command/ppo", {}, b"steps=%00&env=%ff"),
        ("POST", "/stop/none", {}, b""),
        ("POST", "/delete/%2e%2e", {}, b""),
        ("POST", "/restore/..%2f..%2fetc", {}, b""),
        ("GET", "/api/events/done?counts=[[[", {}, b""),
        ("GET", "/api/events/done?counts=" + "%7B%22a%22:1e999%7D", {}, b""),
        ("GET", "/runs?offset=99999999999999999999", {}, b""),
        ("GET", "/runs?order=sideways", {}, b""),
        ("GET", "/compare?" + "&".join(["run=x"] * 300), {}, b""),
        ("GET", "/questions/..%2f..", {}, b""),
        ("GET", "/" + "a" * 20_000, {}, b""),
    ):
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        # The form's preview says what is wrong with the fields, which is no fault.
        lowest = 200 if path.startswith("/command") else 400
        assert lowest <= answer.status < 500, f"{method} {path[:60]}: {answer.status}"


def test_static_files_belong_to_the_package(filled):
    page = get(f"{filled}/runs/done")
    for place in re.findall(r'(?:src|href)="(/(?:static/[^"]+|plotly\.js))"', page):
        with urllib.request.urlopen(filled + place, timeout=60) as answer:
            assert len(answer.read()) > 100
