"""First errors of solutions: planted where they are said to be, read from files, and counted as ProcessBench counts them."""

import json
import random
import re
from itertools import pairwise

import pytest
import torch
from policies import toy_scorer

from rlhub.core.errors import UserError
from rlhub.language import error_localisation
from rlhub.language.error_localisation import (
    Localisation,
    f1_interval,
    find_errors,
    first_error,
    known_solutions,
    localisation,
)
from rlhub.language.rule_rewards import has_form
from rlhub.language.steps import cut
from rlhub.language.task import columns_of, load_task
from rlhub.language.worked import running_sum, with_error, work_out

PUZZLES = {
    "chain_sum": "min_terms=1&max_terms=6&min_digits=1&max_digits=2&allow_negation=true",
    "spell_backward": "min_word_len=3&max_word_len=5",
    "number_sorting": "min_numbers=3&max_numbers=5",
}
ROW = {
    "id": "gsm8k-0",
    "generator": "someone",
    "problem": "1 + 1 + 1?",
    "steps": ["1 + 1 = 2", "2 + 1 = 4", "It is 4"],
    "final_answer_correct": False,
    "label": 1,
}


def wrong_sums(steps):
    """The sums that are wrong, and those that don't go on from the one before."""
    numbers = [re.findall(r"(?<!\d )-?\d+", step) for step in steps]
    wrong = [eval(step.split("=")[0]) != int(step.split("=")[1]) for step in steps]
    apart = [one[-1] != other[0] for one, other in pairwise(numbers)]
    return wrong, apart


def wrong_letters(steps, word):
    """Whether the letters are not the word's, and whether they are not turned round."""
    read, turned = (re.search(r"are (.*)\.\n", step)[1].split() for step in steps)
    return [read != list(word), turned != read[::-1]]


def wrong_choices(steps, numbers, descending):
    """The numbers that are not the least, or greatest, of those left, and the steps whose numbers are not those that are left."""
    left, wrong, strange = list(numbers), [], []
    for step in steps:
        shown, taken = re.search(r"of (.*) is (.*)\.\n", step).groups()
        strange.append(shown.split(", ") != left)
        wrong.append(float(taken) != (max if descending else min)(map(float, left)))
        left.remove(taken)
    return wrong, strange


@pytest.mark.parametrize("name", PUZZLES)
def test_a_planted_error_is_the_only_one_and_makes_the_answer_wrong(name):
    task = load_task(f"reasoning-gym:{name}?think=true&{PUZZLES[name]}")
    examples, draw, places = task.split("test")[:40], random.Random(0), set()
    for example in examples:
        told = example.columns["entry"]["metadata"]
        planted = with_error(example.columns["entry"], draw)
        if name == "chain_sum":
            wrong, apart = wrong_sums(planted.steps) if planted.steps[0][:2] != "It" else ([True], [])
            assert not any(apart)
        elif name == "spell_backward":
            wrong = wrong_letters(planted.steps, told["word"])
        else:
            wrong, strange = wrong_choices(planted.steps, told["original_numbers"], told["direction"] == "descending")
            assert not any(strange)
        assert [place for place, is_wrong in enumerate(wrong) if is_wrong] == [planted.error]
        assert planted.steps[: planted.error] == work_out(example.columns["entry"])[: planted.error]
        assert task.score([example.prompt], [f"<answer>{planted.answer}</answer>"], **columns_of([example]))[0] < 1
        places.add(planted.error)
    assert len(places) > 1


def test_numbers_may_be_negative():
    assert running_sum("-1 - -6 - 6") == ["-1 - -6 = 5\n", "5 - 6 = -1\n"]


@pytest.mark.parametrize(
    "told",
    [
        {"source_dataset": "spell_backward", "word": "aaa"},
        {"source_dataset": "number_sorting", "original_numbers": ["1", "1.0"], "sorted_numbers": ["1", "1.0"], "direction": "ascending"},
        {"source_dataset": "leg_counting"},
    ],
)
def test_where_nothing_can_go_wrong_nothing_is_planted(told):
    assert with_error({"metadata": told}, random.Random(0)) is None


def test_every_other_puzzle_has_an_error_in_a_solution_of_the_same_form():
    task = load_task("reasoning-gym:chain_sum?think=true&min_terms=3&max_terms=3")
    solutions = known_solutions("sums", task.split("test")[:10], seed=1)
    assert [solution.error < 0 for solution in solutions] == [True, False] * 5
    for solution in solutions:
        text = "".join(solution.steps)
        assert has_form(text) and cut(text) == solution.steps
        wrong, _ = wrong_sums([step for step in solution.steps if "=" in step])
        assert solution.error == (-1 if solution.error < 0 else 1 + wrong.index(True))
    assert solutions == known_solutions("sums", task.split("test")[:10], seed=1)
    assert solutions != known_solutions("sums", task.split("test")[:10], seed=2)


def file_of(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_task(str(path)).split("train")


def test_processbenchs_rows_are_read(tmp_path):
    examples = file_of(tmp_path / "gsm8k.jsonl", ROW, {**ROW, "label": -1, "final_answer_correct": True})
    wrong, right = known_solutions("gsm8k", examples, seed=0)
    assert (wrong.prompt, wrong.steps, wrong.error) == ("1 + 1 + 1?", ["1 + 1 = 2\n", "2 + 1 = 4\n", "It is 4\n"], 1)
    assert right.error == -1
    assert examples[0].columns["final_answer_correct"] is False


@pytest.mark.parametrize("change", [{"label": 3}, {"label": True}, {"label": None}, {"steps": "one"}, {"steps": []}, {"problem": 1}])
def test_a_row_that_is_none_of_processbenchs_is_named(tmp_path, change):
    with pytest.raises(UserError, match=r"rows\.jsonl:1: it is not laid out as ProcessBench's rows are"):
        file_of(tmp_path / "rows.jsonl", {**ROW, **change})


def test_the_first_error_of_labelled_steps_is_the_first_that_is_likelier_wrong(tmp_path):
    row = {"prompt": "?", "steps": ["a\n", "b\n", "c"], "labels": [1, 0.25, 0]}
    examples = file_of(tmp_path / "steps.jsonl", row, {**row, "labels": [1, 0.5, 1]})
    assert [solution.error for solution in known_solutions("mine", examples, seed=0)] == [1, -1]


def test_where_nothing_is_known_of_steps_there_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="doesn't say where solutions go wrong"):
        known_solutions("facts", load_task("facts:capitals").examples("train"), seed=0)
    with pytest.raises(UserError, match="the task mine has no right solution"):
        known_solutions("mine", file_of(tmp_path / "wrong.jsonl", ROW), seed=0)


def test_errors_are_located_to_the_step():
    assert first_error([0.9, 0.4, 0.1]) == 1
    assert first_error([0.9, 0.6]) == -1
    assert first_error([0.9, 0.6], threshold=0.7) == 1


def integers(*values):
    return torch.tensor(values)


def test_f1_is_the_harmonic_mean_of_the_two_accuracies():
    planted = integers(1, 1, 0, 2, -1, -1)
    assert localisation(planted, planted).f1 == 1
    assert localisation(torch.full((6,), -1), planted) == Localisation(wrong=0.0, right=1.0)
    assert localisation(torch.full((6,), -1), planted).f1 == 0
    found = localisation(integers(1, 0, 0, -1, -1, 3), planted)  # 2 of 4 wrong ones to the step, 1 of 2 right ones
    assert (found.wrong, found.right, found.f1) == (0.5, 0.5, 0.5)
    assert Localisation(wrong=1.0, right=0.5).f1 == pytest.approx(2 / 3)
    assert Localisation(wrong=0.0, right=0.0).f1 == 0
    with pytest.raises(ValueError, match="at least one of each"):
        localisation(integers(-1), integers(-1))


def test_the_interval_lies_around_f1_and_is_a_point_where_all_are_found():
    planted = integers(*[0, -1] * 50)
    assert f1_interval(planted, planted, generator=torch.Generator().manual_seed(0)) == (1.0, 1.0)
    found = torch.where(torch.arange(100) < 60, planted, 7)
    low, high = f1_interval(found, planted, generator=torch.Generator().manual_seed(0))
    assert localisation(found, planted).f1 == pytest.approx(0.6)
    assert 0.45 < low < 0.6 < high < 0.75


def test_a_judge_is_asked_for_each_step_and_read_at_the_threshold(tmp_path, monkeypatch):
    examples = file_of(tmp_path / "gsm8k.jsonl", ROW, {**ROW, "label": -1})
    solutions = known_solutions("gsm8k", examples, seed=0)

    def said(scorer, asked, **_):
        return [[0.9, 0.6, 0.7], [0.9, 0.95, 0.9]]

    monkeypatch.setattr(error_localisation, "chances", said)
    scorer = toy_scorer(outputs=2)
    assert find_errors(scorer, solutions).tolist() == [-1, -1]
    assert find_errors(scorer, solutions, threshold=0.65).tolist() == [1, -1]
