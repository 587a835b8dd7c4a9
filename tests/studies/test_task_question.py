"""Questions of a task: pairs that differ where an answer is decided, worse answers, and what the base gets wrong."""

import pytest

from rlhub.core.errors import UserError
from rlhub.language.model import load_model, load_policy
from rlhub.language.task import load_task
from rlhub.language.worked import decision
from rlhub.studies.task_question import Beginning, TaskQuestion, beginning, nearest

SUM = "reasoning-gym:chain_sum?think=true&min_terms=2&max_terms=2&min_digits=1&max_digits=1&size=60"


@pytest.fixture(scope="module")
def tokenizer():
    return load_model("smollm2")[1]


@pytest.fixture(scope="module")
def question():
    return TaskQuestion(SUM, asked=8, untouched=10, new_tokens=32)


def entry(name: str, **metadata) -> dict:
    return {"metadata": {"source_dataset": name, **metadata}}


@pytest.mark.parametrize(
    ("given", "before", "result"),
    [
        (entry("chain_sum", expression="12 - 30 + 5"), "12 - 30 =", " -18"),
        (entry("spell_backward", word="cat"), "The letters are c a t.\nBackward they are", " t a c."),
        (
            entry("number_sorting", original_numbers=["3", "1"], sorted_numbers=["1", "3"], direction="ascending"),
            "The least of 3, 1 is",
            " 1.",
        ),
    ],
)
def test_a_worked_solution_is_decided_where_copying_ends(given, before, result):
    assert decision(given) == (before, result)


def test_a_task_without_rules_has_no_such_place():
    assert decision(entry("gcd")) is None


def test_pairs_are_of_one_length_end_before_the_result_and_have_different_ones(question, tokenizer):
    contrast = question.pairs(tokenizer, 20)
    assert bool(contrast.mask.all())
    assert bool((contrast.correct != contrast.incorrect).all())
    for clean, right in zip(contrast.clean, contrast.correct, strict=True):
        thought = tokenizer.decode(clean).rpartition("<think>\n")[2]
        left, sign, other = thought.partition("=")[0].split()
        value = int(left) + int(other) if sign == "+" else int(left) - int(other)
        assert str(value).startswith(thought.partition("=")[2].strip() + tokenizer.decode(right).strip())


def test_pairs_are_the_same_whenever_they_are_asked_for(question, tokenizer):
    assert bool((question.pairs(tokenizer, 10).clean == question.pairs(tokenizer, 10).clean).all())


def test_the_nearest_partner_is_the_one_that_differs_least():
    far, near, alike, longer = ([9, 9, 9], [1, 2, 9], [1, 2, 3], [1, 2, 3, 4])
    begun = [Beginning(ids, [place]) for place, ids in enumerate((alike, far, near, longer))]
    assert [(one.ids, other.ids) for one, other in nearest(begun)] == [(alike, near), (far, near), (near, alike)]


def test_a_partner_has_another_result():
    assert nearest([Beginning([1, 2], [7]), Beginning([1, 3], [7])]) == []


def test_a_task_without_worked_solutions_is_cut_where_its_answer_begins(tokenizer):
    example = load_task("reasoning-gym:gcd?size=5").split("train")[0]
    begun = beginning(tokenizer, example)
    assert tokenizer.decode(begun.result) == example.answer
    assert begun.ids[-1] == tokenizer("\n")["input_ids"][0]


def test_worse_answers_are_wrong_ones_of_the_base(question):
    policy = load_policy("tiny", learning_rate=0.0)
    rows = question.preferences(policy)
    examples = {str(example.prompt): example for example in question.splits["train"].examples}
    assert rows
    for row in rows:
        example = examples[str(row["prompt"])]
        assert question.task.right([example], [row["chosen"]]) == [True]
        assert question.task.right([example], [row["rejected"]]) == [False]


def test_what_the_base_gets_wrong_is_not_what_is_right(question):
    inputs, right, wrong = question.wrong(load_policy("tiny", learning_rate=0.0), [])
    assert len(inputs["input_ids"]) == len(right) == len(wrong)
    assert bool((right != wrong).all())


def test_a_task_without_a_test_split_is_refused():
    with pytest.raises(UserError, match="has no split 'test'"):
        TaskQuestion("facts:capitals", asked=4, untouched=4, new_tokens=4)
