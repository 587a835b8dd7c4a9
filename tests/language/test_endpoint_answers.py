"""What an endpoint answers is read as far as it can be, and the letter that it chose wherever it stands."""

import json

import pytest
from endpoints import QUESTION, Server, judge_of, said

from rlhub.language.endpoint_answers import preferred
from rlhub.language.judge import read_record


@pytest.fixture
def server():
    served = Server()
    yield served
    served.close()


def tops(*tokens):
    """Tokens that were written, each with the log-probs of those it was chosen among."""
    return [{"token": token, "top": top} for token, top in tokens]


@pytest.mark.parametrize(
    ("top", "text", "wanted"),
    [
        (tops(("A", {"A": -0.1054, " B": -2.3026, "(": -5.0})), "A", 0.9),
        (tops(("(", {"(": -0.001, "A": -8.0, "B": -9.5}), ("B", {"B": -0.1054, "A": -2.3026})), "(B", 0.1),
        (tops(("**", {"**": -0.1}), ("(", {"(": -0.1}), ("A", {"A)": -0.1054, "B": -2.3026})), "**(A", 0.9),
        (tops(("Answer", {"Answer": -0.05, "B": -4.0})), "Answer (B)", 0.0),
        (tops(("Both", {"Both": -0.1, "A": -3.0})), "Both are good", 0.5),
        (tops(("A", {"A": -0.001, "B": -9.0}), (" better", {})), "A better answer would", 0.5),
        (tops(("Answer", {}), (":", {}), (" B", {" B": -0.1054, " A": -2.3026})), "Answer: B", 0.1),
        (tops(("Option", {}), (" ", {}), ("B", {"B": -0.1054, "A": -2.3026})), "Option B", 0.1),
        (tops(("is", {}), (" (", {" (": -0.1}), ("b", {"b": -0.1054, "a": -2.3026})), "is (b", 0.1),
        (tops(("<think>", {}), ("(A)", {"(A)": 0.0}), ("</think>", {}), ("B", {"B": -0.1054, "A": -2.3026})), "B", 0.1),
        (tops(("A", {"A": None, "B": -0.1})), "A", 1.0),
        (tops(("A", {"A": None})), "A", 1.0),
        ([], "(B) is better", 0.0),
        ([], "Answer: B", 0.0),
        ([], "Answer B", 0.0),
        ([], "Option B", 0.0),
        ([], "(b)", 0.0),
        ([], "Answer: (B", 0.0),
        ([], "The answer is (B", 0.0),
        ([], "The better one is B.", 0.0),
        ([], "B is less harmful", 0.0),
        ([], "<think>(A) is short. (A)?</think>\n\n(B)", 0.0),
        ([], "<think>(A) is", 0.5),
        ([], "Answer: A better one", 0.5),
        ([], "Both (A) and (B)", 0.5),
        ([], "Neither option A nor option B", 0.5),
        ([], "A is as good as B", 0.5),
        ([], "between A and B", 0.5),
        ([], "B", 0.0),
        ([], "**(B)", 0.0),
        ([], "A.", 1.0),
        ([], "A better answer would be longer", 0.5),
        ([], "neither", 0.5),
        ([], "", 0.5),
    ],
)
def test_the_letter_that_decides_is_read_wherever_it_stands(top, text, wanted):
    assert preferred({"top": top, "text": text}, "(A", "(B") == pytest.approx(wanted, abs=1e-3)


def replied(choice):
    """A reply whose only choice is as given."""
    return json.dumps({"choices": [choice]}).encode()


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"message": None}, ""),
        ({"index": 0}, ""),
        ({"message": {"content": [{"type": "text", "text": "on"}, "e", {"type": "image"}]}}, "one"),
        ({"message": {"content": "one"}, "logprobs": {"content": [{"token": "one"}, None, {"token": 3}]}}, "one"),
        ({"message": {"content": "one"}, "logprobs": []}, "one"),
    ],
)
def test_what_an_answer_lacks_is_empty(server, tmp_path, choice, text):
    server.script = [replied(choice)]
    assert judge_of(server, tmp_path).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0) == [text]
    assert judge_of(server, tmp_path).write(said("one"), max_new_tokens=5, temperature=0.0, seed=0) == [text]
    assert len(server.asked) == 1


def test_log_probs_that_are_no_numbers_are_not_kept(server, tmp_path):
    top = [{"token": "A", "logprob": None}, {"token": "B", "logprob": -0.1}, {"token": "C", "logprob": float("-inf")}, {"logprob": 0}]
    server.script = [replied({"message": {"content": "A"}, "logprobs": {"content": [{"token": "A", "top_logprobs": top}]}})]
    assert judge_of(server, tmp_path).choose([QUESTION], first="(A", second="(B") == [1.0]
    assert judge_of(server, tmp_path).choose([QUESTION], first="(A", second="(B") == [1.0]
    assert next(iter(read_record(tmp_path / "record.jsonl").values()))["top"] == [{"token": "A", "top": {"B": -0.1}}]
