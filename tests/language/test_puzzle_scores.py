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


def entries(dataset, size=12):
    source = make(dataset, {}, size=size, seed=7)
    return PuzzleScores(source), [source[index] for index in range(size)]


def coincident(one, other):
    """Whether two answers are the same, or the same number but for rounding."""
    try:
        return abs(float(one) - float(other)) < 1e-3
    except ValueError:
        return one == other


MANY = """
    base_conversion basic_arithmetic binary_matrix bitwise_arithmetic caesar_cipher calendar_arithmetic chain_sum coin_flip course_schedule
    family_relationships gcd lcm leg_counting letter_counting maze mini_sudoku n_queens number_sorting prime_factorization puzzle24
    simple_equations spell_backward word_sorting
"""


@pytest.mark.parametrize("dataset", MANY.split())
def test_no_text_that_fits_many_puzzles_has_full_marks(dataset):
    scores, asked = entries(dataset)
    answers = [str(entry["answer"]) for entry in asked]
    assert scores(answers, asked) == [1.0] * len(asked)
    halves = [answer[: len(answer) // 2] for answer in answers]
    for given in (answers[1:] + answers[:1], ["0"] * len(asked), halves):
        marks = zip(scores(given, asked), given, answers, strict=True)
        assert all(value < 1 or coincident(text, answer) for value, text, answer in marks)


def test_24_is_made_of_the_numbers_that_are_given():
    scores, asked = entries("puzzle24", size=5)
    entry = asked[0] | {"metadata": asked[0]["metadata"] | {"numbers": [4, 6, 1, 1]}}
    given = ["4*6*1*1", "(6*4)/1/1", "4*6*1", "4*6*2 - 24", "3*8*1*1", "6*4 + 1/1", "4**1*6*1", "(4 + 1/6)*6 - 1"]
    assert scores(given, [entry] * len(given)) == [1.0, 1.0] + [0.01] * 6
    halves = asked[0] | {"metadata": asked[0]["metadata"] | {"numbers": [1, 2, 3, 8]}}
    assert scores(["3*8 + 1/2"], [halves]) == [0.01]


def test_a_chance_is_its_number_and_no_beginning_of_it():
    scores, asked = entries("coin_flip", size=5)
    entry = asked[0] | {"answer": "0.109375"}
    given = scores(["0.109375", "7/64", "0.10937", "0.1", "0", "0.2", "1"], [entry] * 7)
    assert given[:3] == [1.0] * 3
    assert 1 > given[3] == 3 / 8 > given[4] == 1 / 8
    assert 1 > given[5] > given[6] == 0


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
