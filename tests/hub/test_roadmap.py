"""The roadmap as data: what it names exists, what is misspelt is one sentence, and a mark counts only by numbers on the disk."""

import json
import time

import pytest

from rlhub.core.errors import UserError
from rlhub.foundations.exhibit import exhibits
from rlhub.hub.cli import main
from rlhub.hub.marks import evidence, reached, standing
from rlhub.hub.roadmap import Item, Mark, Phase, read_roadmap, roadmap
from rlhub.hub.systems import SYSTEMS

GOOD = """
[[phases]]
key = "one"
title = "One"
what = "Learn."
[[phases.items]]
key = "ppo"
kind = "paper"
title = "PPO"
why = "To know it."
link = "https://arxiv.org/abs/1707.06347"
systems = ["ppo"]
[[phases.items.marks]]
text = "lands"
measure = "evaluation"
system = "ppo"
env = "LunarLander-v3"
statistic = "mean"
at_least = 200
"""


def test_everything_that_the_roadmap_names_is_there():
    items = [item for phase in roadmap() for item in phase.items]
    marks = [mark for item in items for mark in item.marks]
    figures, theory = set(exhibits("rlhub.foundations.figures")), set(exhibits("rlhub.foundations.theory"))
    assert {key for each in [*items, *marks] for key in each.figures} <= figures
    assert {key for each in [*items, *marks] for key in each.theory} <= theory
    assert {entry.name for entry in SYSTEMS} == {name for item in items for name in item.systems}  # every system is on the road
    assert all(item.why.endswith(".") and len(item.why) > 60 for item in items)
    assert all(item.link for item in items if item.kind != "work")
    assert all(not mark.system or mark.system in item.systems for item in items for mark in item.marks)


@pytest.mark.parametrize(
    ("was", "becomes", "sentence"),
    [
        ('title = "PPO"', 'titel = "PPO"', "has no field 'titel' (did you mean title?)"),
        ('title = "PPO"', "", "item 'ppo' lacks title"),
        ('systems = ["ppo"]', 'systems = ["pppo"]', "item 'ppo' names the system 'pppo', which there is not (did you mean ppo?)"),
        ('system = "ppo"', 'system = "gppo"', "mark 'lands' names the system 'gppo'"),
        ('systems = ["ppo"]', 'systems = "ppo"', "systems is a list of texts, not 'ppo'"),
        ('systems = ["ppo"]', 'studies = ["recal"]', "names the study 'recal', which there is not (did you mean recall?)"),
        ('systems = ["ppo"]', "", "say in `next` what isn't built yet"),
        ('"evaluation"', '"evaluations"', "measure can't be 'evaluations' (did you mean evaluation?)"),
        ('statistic = "mean"', "", "lacks statistic, which its measure 'evaluation' needs"),
        ("at_least = 200", "", "lacks at_least"),
        ("at_least = 200", 'at_least = "200"', "at_least is a number, not '200'"),
        ("at_least = 200", "at_least = 200\nepisodes = true", "episodes is a whole number, not True"),
        ("at_least = 200", "at_least = 200\nepisodes = 0", "at least 1"),
        ("https://arxiv.org/abs/1707.06347", "arxiv 1707", "link is one address"),
        ('kind = "paper"', 'kind = "papr"', "kind can't be 'papr' (did you mean paper?)"),
        ("[[phases]]", "[[phase]]", "[[phases]]"),
        ('what = "Learn."', 'what = "Learn.', "is not TOML"),
        ("[[phases.items.marks]]", "[phases.items.marks]", "marks is a list of tables"),
    ],
)
def test_what_is_misspelt_is_one_sentence(was, becomes, sentence, tmp_path):
    path = tmp_path / "roadmap.toml"
    path.write_text(GOOD)
    assert read_roadmap(path)[0].items[0].marks[0].at_least == 200.0
    assert was in GOOD
    path.write_text(GOOD.replace(was, becomes))
    with pytest.raises(UserError) as told:
        read_roadmap(path)
    assert sentence in str(told.value) and "\n" not in str(told.value) and str(path) in str(told.value)


def test_two_items_of_one_key_and_a_missing_file_are_said(tmp_path):
    path = tmp_path / "roadmap.toml"
    path.write_text(GOOD + GOOD.replace('key = "one"', 'key = "two"'))
    with pytest.raises(UserError, match="two items have the key 'ppo'"):
        read_roadmap(path)
    with pytest.raises(UserError, match="can't read the roadmap"):
        read_roadmap(tmp_path / "none.toml")


def make_run(root, name, *, place="rlhub.agents.ppo:PPO", metrics=(), evaluations=(), **fields):
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"system": place, "fields": fields, "seed": 0}))
    (folder / "provenance.json").write_text(json.dumps({"executions": []}))
    for file, lines in (("metrics.jsonl", metrics), ("evaluations.jsonl", evaluations)):
        if lines:
            (folder / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def line(mean, *, episodes=100, env="LunarLander-v3", std=10.0, when=5.0, **more):
    return {"env": env, "episodes": episodes, "mean": mean, "std": std, "iqm": mean + 5, "step": 7, "time": when, **more}


LANDS = Mark(text="", measure="evaluation", system="ppo", env="LunarLander-v3", statistic="mean", episodes=100, at_least=200.0)
BALANCES = Mark(text="", measure="metric", system="ppo", env="CartPole-v1", metric="episode_return", last=3, at_least=475.0)


def test_an_evaluation_counts_by_environment_episodes_statistic_and_bound(tmp_path):
    lines = [
        line(199.9),
        line(300, episodes=99),
        line(300, env="LunarLander-v3?gravity=-1"),
        line(300) | {"mean": None},
        line(float("nan")),
    ]
    make_run(tmp_path, "short", evaluations=lines)
    make_run(tmp_path, "other", place="rlhub.agents.sac:SAC", evaluations=[line(300)])
    assert reached(LANDS, evidence(tmp_path)) is None
    make_run(tmp_path, "late", evaluations=[line(210, when=9.0)])
    make_run(tmp_path, "study/first", evaluations=[line(10, when=1.0), line(200, when=8.0), line(290, when=20.0)])
    how = reached(LANDS, evidence(tmp_path))
    assert (how.name, how.step, how.value, how.when) == ("first", 7, 200.0, 8.0) and how.folder == str(tmp_path / "study" / "first")


@pytest.mark.parametrize(("statistic", "value"), [("mean", 250.0), ("iqm", 255.0), ("mean_less_std", 240.0), ("accuracy", None)])
def test_each_statistic_is_its_own(statistic, value, tmp_path):
    make_run(tmp_path, "run", evaluations=[line(250.0, seeds={"0": 300.0, "1": 200.0})])
    mark = Mark(text="", measure="evaluation", system="ppo", statistic=statistic, at_least=240.0)
    how = reached(mark, evidence(tmp_path))
    assert (how.value if how else None) == value


def test_the_mean_of_the_last_logged_values_counts_and_that_of_seeds(tmp_path):
    def metrics(*values):
        lines = [{"step": 10 * place, "time": 3.0 + place, "episode_return": value} for place, value in enumerate(values)]
        return [*lines, {"step": 999, "time": 99.0, "loss": 1.0}]

    fields = {"env": "CartPole-v1"}
    make_run(tmp_path, "few", metrics=metrics(500, 500), **fields)
    make_run(tmp_path, "fell", metrics=metrics(500, 500, 500, 0, 500), **fields)
    make_run(tmp_path, "elsewhere", metrics=metrics(500, 500, 500), env="Acrobot-v1")
    make_run(tmp_path, "null", metrics=metrics([None, None], [500, 500], [500, 500], "x"), **fields)
    assert reached(BALANCES, evidence(tmp_path)) is None
    make_run(tmp_path, "seeds", metrics=metrics(0, [500, 450], [None, 475], [500, 450]), **fields)
    how = reached(BALANCES, evidence(tmp_path))
    assert (how.name, how.step, how.value, how.when) == ("seeds", 30, 475.0, 6.0)


def test_a_task_counts_without_its_options(tmp_path):
    mark = Mark(text="", measure="metric", system="grpo", task="bridges:3", metric="solved", at_least=0.5)
    solved = [{"step": 1, "time": 1.0, "solved": 0.6}]
    make_run(tmp_path, "thirty", place="rlhub.language.grpo:GRPO", task="bridges:30", metrics=solved)
    assert reached(mark, evidence(tmp_path)) is None
    make_run(tmp_path, "three", place="rlhub.language.grpo:GRPO", task="bridges:3?chain=path", metrics=solved)
    assert reached(mark, evidence(tmp_path)).name == "three"


def test_damaged_folders_reach_nothing_and_break_nothing(tmp_path):
    make_run(tmp_path, "good", evaluations=[line(250)])
    (make_run(tmp_path, "a") / "config.json").write_text("{")
    (make_run(tmp_path, "b") / "config.json").write_bytes(b"\xff\xfe")
    (make_run(tmp_path, "c") / "config.json").write_text('{"system": "rlhub.agents.ppo:PPO", "fields": 3}')
    (make_run(tmp_path, "d") / "config.json").write_text('{"system": ["x"], "fields": {}}')
    (make_run(tmp_path, "e") / "evaluations.jsonl").write_bytes(b'\x00\xff\n{"mean": \n[1]\n{"mean": "300", "time": "x"}\n')
    (make_run(tmp_path, "f", env="CartPole-v1") / "metrics.jsonl").mkdir()
    (make_run(tmp_path, "g") / "evaluations.jsonl").mkdir()
    (tmp_path / "s").mkdir()
    for name in ("study.json", "report.json"):
        (tmp_path / "s" / name).write_text("{")
    found = evidence(tmp_path)
    assert reached(LANDS, found).name == "good"
    assert reached(BALANCES, found) is None
    assert standing(found)["reached"] == 3


def test_a_study_counts_once_its_report_is_there(tmp_path):
    mark = Mark(text="", measure="study", study="recall")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.json").write_text('{"study": "recall"}')
    assert reached(mark, evidence(tmp_path)) is None
    (tmp_path / "mine" / "report.json").write_text("{}")
    how = reached(mark, evidence(tmp_path))
    assert how.name == "mine" and how.when > 1e9
    assert reached(Mark(text="", measure="study", study="signals"), evidence(tmp_path)) is None


def test_figures_count_once_all_are_computed_at_their_own_number_of_runs(tmp_path, capsys):
    book = tmp_path / "figures"
    mark = Mark(text="", measure="figures", figures=("3.2",))
    found = {"book": book, "theory": tmp_path / "none"}
    assert reached(mark, evidence(tmp_path, galleries=found)) is None
    assert main(["book", "figure", "3.2", "--to", str(book), "--page-only"]) == 0
    assert main(["book", "figure", "2.2", "--runs", "3", "--to", str(book), "--page-only"]) == 0
    how = reached(mark, evidence(tmp_path, galleries=found))
    assert how.folder == str(book) and how.when > 1e9
    assert reached(Mark(text="", measure="figures", figures=("3.2", "2.2")), evidence(tmp_path, galleries=found)) is None
    capsys.readouterr()


def test_rows_that_were_read_already_are_taken_as_they_are(tmp_path):
    folder = make_run(tmp_path / "elsewhere", "run", evaluations=[line(250)])
    rows = [{"folder": str(folder), "system": "rlhub.agents.ppo:PPO", "fields": {"env": "LunarLander-v3"}, "status": "finished"}]
    assert reached(LANDS, evidence(tmp_path / "none", rows=rows)).name == "run"
    assert reached(LANDS, evidence(tmp_path / "none")) is None


def test_hundreds_of_runs_are_looked_through_in_moments(tmp_path):
    for place in range(600):
        make_run(tmp_path, f"run{place}", env="CartPole-v1", metrics=[{"step": 1, "time": 1.0, "episode_return": 20.0}])
    began = time.process_time()
    assert standing(evidence(tmp_path))["reached"] == 0
    assert time.process_time() - began < 3


def test_the_command_shows_what_was_reached_and_by_which_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLHUB_RUNS", raising=False)
    make_run(tmp_path / "runs", "moon", evaluations=[line(230.0, std=20.0)])
    assert main(["roadmap", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    marks = {mark["text"]: mark["reached"] for phase in told["phases"] for item in phase["items"] for mark in item["marks"]}
    assert told["reached"] == 2 and told["marks"] == len(marks)
    assert marks["LunarLander-v3 return at least 200 over 100 episodes"]["name"] == "moon"
    assert marks["LunarLander-v3 return at least 242, rl-baselines3-zoo's PPO"] is None
    assert main(["roadmap", "agents"]) == 0
    page = capsys.readouterr().out
    assert "[x] LunarLander-v3 return at least 200" in page and "moon, step 7, 230, 1970" in page and "arxiv.org/abs/1707.06347" in page
    assert main(["roadmap"]) == 0
    assert "not built: the system, measured by LightZero's 220" in capsys.readouterr().out
    assert main(["roadmap", "agent"]) == 2
    assert "did you mean agents?" in capsys.readouterr().err


def test_what_is_not_built_says_so_in_the_data():
    plain = Item(key="k", kind="paper", title="t", why="w", next="all of it")
    told = standing(evidence("none", rows=[]), [Phase(key="p", title="t", what="w", items=(plain,))])
    assert told["phases"][0]["items"][0]["built"] is False and told["marks"] == 0
