"""Rewards have TRL's signature, and what is wrong with one is said in a sentence."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhub.core.errors import UserError
from rlhub.language.rewards import (
    call_reward,
    contains_answer,
    exact_match,
    extract_answer,
    load_reward,
    random_reward,
    starts_with_answer,
)


@pytest.mark.parametrize(
    ("completion", "answer", "expected"),
    [
        (" Paris.", " Paris", 1),
        (" Paris, the city of light", " Paris", 1),
        (' "Paris"', " Paris", 1),
        (" **paris**", " Paris", 1),
        (" Bogotá", " Bogota", 1),
        (" Helium", " He", 0),
        (" Parisian", " Paris", 0),
        (" not Paris", " Paris", 0),
        ("", " Paris", 0),
        (" Washington, D.C.", " Washington", 1),
        (" Port-au-Prince is", " Port-au-Prince", 1),
        (" anything", None, None),
    ],
)
def test_a_completion_starts_with_the_answer_as_a_whole_word(completion, answer, expected):
    assert starts_with_answer(["p"], [completion], answer=[answer]) == [expected]


def test_exact_match_takes_the_last_answer_tag_or_everything():
    completions = ["<answer>1</answer> no, <answer> 42 </answer>.", " 42. ", "it is 42", [{"role": "assistant", "content": "42"}]]
    assert exact_match(["p"] * 4, completions, answer=["42"] * 4) == [1, 1, 0, 1]
    assert extract_answer("a <answer>x\ny</answer> b") == "x\ny"


def test_contains_answer_looks_for_whole_words():
    assert contains_answer(["p"] * 3, ["The capital is Paris.", "Parisians", "In paris!"], answer=["Paris"] * 3) == [1, 0, 1]


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_random_reward_depends_on_seed_step_and_index_alone(seed, step):
    one = random_reward(["a"] * 8, ["b"] * 8, seed=seed, step=step)
    assert one == random_reward(["c"] * 8, ["d"] * 8, seed=seed, step=step, answer=["e"] * 8)
    assert set(one) <= {0.0, 1.0}


def test_the_random_reward_is_a_fair_coin():
    values = random_reward(["a"] * 10_000, ["b"] * 10_000, seed=1, step=1)
    assert abs(sum(values) / 10_000 - 0.5) < 4 * 0.005
    assert values != random_reward(["a"] * 10_000, ["b"] * 10_000, seed=1, step=2)


def test_a_reward_may_be_asynchronous_even_where_a_loop_is_running():
    async def later(prompts, completions, **_):
        await asyncio.sleep(0)
        return [1.0, None]

    async def notebook():
        return call_reward(later, ["p", "q"], ["a", "b"])

    assert call_reward(later, ["p", "q"], ["a", "b"]) == [1.0, None]
    assert asyncio.run(notebook()) == [1.0, None]


def test_a_reward_without_catch_all_gets_only_the_columns_it_names():
    def length(completions, weight):
        return [w * len(text) for text, w in zip(completions, weight, strict=True)]

    assert call_reward(length, ["p", "q"], ["ab", "c"], weight=[1, 2], answer=["x", "y"], completion_ids=[[1], [2]]) == [2.0, 2.0]


def test_columns_of_any_name_leave_the_function_its_prompts_and_completions():
    seen = []

    def looks(prompts, completions, **columns):
        seen.append((prompts, completions, columns))
        return [1.0]

    columns = {name: ["a column's"] for name in ("reward", "rewards", "prompts", "completions", "name", "arguments")}
    assert call_reward(looks, ["p"], ["a"], **columns) == [1.0]
    others = {name: value for name, value in columns.items() if name not in ("prompts", "completions")}
    assert seen == [(["p"], ["a"], others)]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda completions, **_: [1.0], r"1 values for 2 completions"),
        (lambda completions, **_: 1.0, r"must give a list .* gave a float"),
        (lambda completions, **_: ["good", "bad"], r"gave 'good' for completion 0"),
        (lambda completions, **_: [1.0, float("nan")], r"gave nan for completion 1"),
        (lambda completions, **_: [1 / 0], r"raised ZeroDivisionError at .*test_rewards.py:\d+"),
        (lambda completions, secret: [1.0], r"asks for secret, which the task has not; it has .*answer"),
    ],
)
def test_what_is_wrong_with_a_reward_is_said_in_one_sentence(function, said):
    with pytest.raises(UserError, match=said) as caught:
        call_reward(function, ["p", "q"], ["a", "b"], answer=["x", "y"])
    assert "\n" not in str(caught.value)


def test_a_function_is_loaded_from_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def short(completions, **_):\n    return [-len(text) for text in completions]\n")
    assert call_reward(load_reward(f"{path}:short"), ["p"], ["four"]) == [-4.0]


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("x = 1", "mine.py:x", "defines no function 'x'"),
        ("import nothing_of_that_name", "mine.py:x", "raised ModuleNotFoundError"),
        ("x = 1", "other.py:x", "there is no file"),
        ("x = 1", "sharpness", "there is no reward"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_refused_with_the_reason(tmp_path, text, name, said):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UserError, match=said):
        load_reward(str(tmp_path / name) if ":" in name else name)
