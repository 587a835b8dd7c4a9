"""SFT and DPO on a task: they learn what they are shown, and say what they can't be shown."""

import json

import pytest
import torch
from policies import toy_policy

import rlhub
from rlhub.core.errors import UserError
from rlhub.language.dpo import DPO, log_ratios
from rlhub.language.model import load_policy, turn_end
from rlhub.language.sft import SFT, answered, response
from rlhub.language.task import Example

SMALL = {"model": "tiny", "task": "facts:capitals", "batch": 8, "precision": "fp32", "learning_rate": 1e-3}


def trained(system, tmp_path, name="run"):
    run = rlhub.train(system, seed=0, runs=tmp_path, name=name)
    return run, [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


def test_sft_lowers_the_loss_on_what_it_is_shown(tmp_path):
    _, lines = trained(SFT(**SMALL, steps=12), tmp_path)
    assert sum(line["loss"] for line in lines[-3:]) < 0.8 * sum(line["loss"] for line in lines[:3])


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"loss": "ipo"}, {"lora_rank": 2}])
def test_dpo_learns_to_prefer(tmp_path, options):
    pairs = [
        {"prompt": f"The capital of {country} is", "answer": chosen, "chosen": chosen, "rejected": rejected}
        for country, chosen, rejected in (("France", " Paris", " Rome"), ("Italy", " Rome", " Paris"), ("Spain", " Madrid", " Lisbon"))
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    system = DPO(**{**SMALL, "batch": 3, "task": str(tmp_path / "pairs.jsonl")}, steps=8, **options)
    _, lines = trained(system, tmp_path)
    assert abs(lines[0]["margin"]) < 1e-6
    assert lines[-1]["accuracy"] == 1
    assert lines[-1]["margin"] > 0


def test_the_same_seed_ends_with_the_same_bits(tmp_path):
    for system in (SFT(**SMALL, steps=2), DPO(**SMALL, steps=2)):
        first, second = (trained(system, tmp_path, f"{type(system).__name__}-{index}")[0].model() for index in range(2))
        assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


def test_an_answer_is_followed_by_the_end_token():
    group = answered(toy_policy(), Example(prompt="w5 w6", answer="w7 w8"))
    assert (group.prompt, group.completions) == ([5, 6], [[7, 8, 2]])


def test_an_example_without_an_answer_is_refused_with_the_reason():
    with pytest.raises(UserError, match="no answer to imitate"):
        answered(toy_policy(), Example(prompt="w5 w6", answer=None))


def test_a_log_ratio_is_summed_or_averaged_over_the_response():
    logprobs, reference = torch.tensor([[-1.0, -2.0, 9.0]]), torch.tensor([[-2.0, -4.0, 5.0]])
    mask = torch.tensor([[True, True, False]])
    assert log_ratios(logprobs, reference, mask, mean=False) == 3
    assert log_ratios(logprobs, reference, mask, mean=True) == 1.5


@pytest.mark.parametrize(("options", "reason"), [({"label_smoothing": 0.6}, "0.5"), ({"label_smoothing": 0.1, "loss": "ipo"}, "IPO")])
def test_what_makes_no_sense_is_refused_with_the_reason(options, reason):
    with pytest.raises(UserError, match=reason):
        DPO(**options)


def test_an_answer_to_messages_ends_as_the_chat_template_ends_a_turn():
    policy = load_policy("tiny", learning_rate=0.0)
    tokenizer = policy.tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>", "</turn>"]})
    tokenizer.chat_template = (
        "{% for message in messages %}<turn>{{ message['content'] }}</turn>{% endfor %}{% if add_generation_prompt %}<turn>{% endif %}"
    )
    end = tokenizer.convert_tokens_to_ids("</turn>")
    policy.end_ids = (*policy.end_ids, end)
    asked = [{"role": "user", "content": "The capital of France is"}]
    assert response(policy, " Paris", to=asked)[-1] == end
    assert response(policy, " Paris", to="The capital of France is")[-1] == tokenizer.eos_token_id != end
    tokenizer.chat_template = None
    turn_end.cache_clear()
    assert response(policy, " Paris", to=asked)[-1] == tokenizer.eos_token_id
