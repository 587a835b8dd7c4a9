import inspect
import re
import sys
import time

import pytest
from reasoning_gym.factory import DATASETS

from rlhub.core.errors import UserError
from rlhub.language import puzzle_scores
from rlhub.language.puzzle_scores import ALGEBRA, LENGTHY, LITERALS, PuzzleScores, harmless
from rlhub.language.reasoning import make
from rlhub.language.task import load_task

EVALUATES = re.compile(r"(?<![\w.])(?:eval|exec)\(|(?<!def )\bparse_expr\(|\bsympify\(")


def scored(dataset, *answers, **options):
    source = make(dataset, options, size=5, seed=1)
    return PuzzleScores(source)(answers, [source[0]] * len(answers))


def own(dataset):
    return make(dataset, {}, size=5, seed=1)[0]["answer"]


def test_every_data_set_that_evaluates_answers_is_known():
    found = set()
    for name, (kind, _) in DATASETS.items():
        source = inspect.getsource(kind.score_answer)
        helpers = [
            inspect.getsource(member) for called, member in vars(kind).items() if inspect.isfunction(member) and f"self.{called}(" in source
        ]
        own_parse = "def parse_expr(" in inspect.getsource(sys.modules[kind.__module__])
        if EVALUATES.search(" ".join([source, *helpers])) and name != "number_sorting" and not own_parse:
            found.add(name)
    assert found == ALGEBRA | LITERALS


@pytest.mark.parametrize("dataset", ["prime_factorization", "boxnet", "game_of_life"])
def test_a_text_that_a_scorer_fails_on_is_worth_nothing(dataset):
    assert max(scored(dataset, "no idea", '"a"', '{"a": [1]}')) <= 0.05


@pytest.mark.parametrize("dataset", sorted(LENGTHY | LITERALS | {"prime_factorization", "complex_arithmetic", "chain_sum"}))
def test_a_data_set_s_own_answer_has_full_marks(dataset):
    assert scored(dataset, own(dataset)) == [1.0]


@pytest.mark.parametrize("dataset", sorted(ALGEBRA | LITERALS))
def test_a_model_s_text_never_runs(dataset, tmp_path):
    touch = f"open({str(tmp_path / 'touched')!r}, 'w')"
    answers = [touch, f"[{touch}]", f"__import__('os').system('touch {tmp_path / 'touched'}')", f"(lambda: {touch})()", f"3! + {touch}"]
    assert max(scored(dataset, *answers)) < 0.1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("dataset", "answer"), [("countdown", "9**9**9**9"), ("coin_flip", "1e999999999"), ("simple_integration", "X**9**9")]
)
def test_arithmetic_without_end_is_scored_as_an_unreadable_text(dataset, answer, monkeypatch):
    monkeypatch.setattr(puzzle_scores.apart(), "_seconds", 1.0)
    monkeypatch.setattr(puzzle_scores.apart(), "_started", None)
    started = time.monotonic()
    endless, unreadable = scored(dataset, answer, "?")
    assert endless == unreadable < 0.1
    assert time.monotonic() - started < 60
    assert scored(dataset, own(dataset)) == [1.0]


@pytest.mark.parametrize(
    ("dataset", "answer", "wanted"),
    [
        ("countdown", "(3 + 4) * 12 / 2", True),
        ("simple_integration", "2*x**3/3 - sin(x)*exp(-x) + C", True),
        ("simple_integration", "2.5*x**1.5 + C", True),
        ("countdown", "x.subs", False),
        ("countdown", "f()()[0]", False),
        ("countdown", "getattr(x, y)", False),
        ("countdown", "_", False),
        ("binary_matrix", "[[0, 1], [-1, 2]]", True),
        ("string_insertion", "ABCDE", True),
        ("n_queens", "_ Q _\nQ _ _", True),
        ("binary_matrix", "[[0] * 10**10]", False),
        ("binary_matrix", "[x for x in range(10)]", False),
        ("binary_matrix", "(" * 5000, True),
        ("spell_backward", "nan", True),
        ("complex_arithmetic", "nan", False),
    ],
)
def test_what_is_handed_to_a_scorer(dataset, answer, wanted):
    assert harmless(answer, dataset) is wanted


def test_the_numbers_of_another_puzzle_make_no_24():
    source = make("puzzle24", {}, size=8, seed=0)
    entries = [source[place] for place in range(8)]
    scores = PuzzleScores(source)
    assert max(scores(["4*6*1*1"] * 8, entries)) < 1
    assert scores([entry["answer"] for entry in entries], entries) == [1.0] * 8


def test_the_beginning_of_a_probability_is_not_the_whole():
    source = make("coin_flip", {}, size=30, seed=0)
    entries = [source[place] for place in range(30) if float(source[place]["answer"]) > 0.001]
    scores = PuzzleScores(source)
    assert max(scores(["0"] * len(entries), entries)) < 1
    assert (
        max(scores([entry["answer"][:3] for entry in entries if len(entry["answer"]) > 5], [e for e in entries if len(e["answer"]) > 5]))
        < 1
    )
    assert scores([entry["answer"] for entry in entries], entries) == [1.0] * len(entries)


def test_a_score_that_is_always_full_is_refused():
    with pytest.raises(UserError, match=r"scorer of game_of_life_halting gives full credit to any text, '\?' too"):
        load_task("reasoning-gym:game_of_life_halting?size=20")


def test_a_data_set_that_fails_on_its_own_answer_says_so():
    source = make("chain_sum", {}, size=5, seed=1)
    scores = PuzzleScores(source)

    def broken(answer, entry):
        raise RuntimeError("its own")

    source.score_answer = broken
    with pytest.raises(RuntimeError, match="its own"):
        scores(["12"], [source[0]])


def test_an_answer_is_scored_once_however_often_it_is_asked_for(monkeypatch):
    task = load_task("reasoning-gym:chain_sum?size=20")
    examples = task.examples("train")[:3]
    calls = []
    tried = puzzle_scores.tried
    monkeypatch.setattr(puzzle_scores, "tried", lambda *given: calls.append(given[1]) or tried(*given))
    prompts = [example.prompt for example in examples]
    columns = {"entry": [example.columns["entry"] for example in examples], "answer": [example.answer for example in examples]}
    answers = [examples[0].answer, "no", "1"]
    assert task.score(prompts, answers, step=1, seed=0, **columns)[0] == 1.0
    assert task.measure(prompts, answers, step=1, seed=0, **columns)["solved"][0] == 1.0
    assert calls == answers
