"""One optimisation step is the same however it is cut into micro-batches, laid out, or padded."""

import math
from functools import partial

import pytest
import torch
from families import tiny_random
from policies import parameters_after, toy_groups, toy_policy, toy_scorer

from rlhub.language import hidden, logprobs, shared_trunk
from rlhub.language.dpo import DPO
from rlhub.language.grpo import GRPO
from rlhub.language.kto import KTO
from rlhub.language.losses import policy_normaliser
from rlhub.language.orpo import ORPO
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.process_reward import ProcessReward
from rlhub.language.reinforce_plus_plus import ReinforcePlusPlus
from rlhub.language.reward_model import RewardModel
from rlhub.language.rloo import RLOO
from rlhub.language.rows import Group, completion_mask
from rlhub.language.scorer import read_head
from rlhub.language.sft import imitation
from rlhub.language.shared_trunk import TwoHeaded
from rlhub.language.simpo import SimPO
from rlhub.language.update import optimise, scheduled, score_all

GROUPS = [*toy_groups(4, 2), Group(prompt=[9, 8], completions=[[7, 2], [5]])]
COMPLETIONS = 10
LENGTHS = torch.tensor([len(completion) for group in GROUPS for completion in group.completions])
MASK = completion_mask(LENGTHS)


def noise(seed, scale=0.3):
    return torch.randn(MASK.shape, generator=torch.Generator().manual_seed(seed)) * scale


def plain(policy, groups, objective, *, columns=None, beyond=1.0, **settings):
    """A step of plain descent, whose gradient is not clipped.

    Columns are those of `GROUPS`; where `groups` have a completion more, or only that, it has no tokens, and its columns hold `beyond`.
    """
    rows = sum(len(group.completions) for group in groups)
    fitting = {}
    for name, column in (columns or {}).items():
        more = torch.full((1, *column.shape[1:]), torch.nan if name == "labels" else beyond).to(column.dtype)
        fitting[name] = column if rows == len(column) else torch.cat([column, more])[-rows:]
    return optimise(policy, groups, objective, columns=fitting, learning_rate=1.0, max_norm=0.0, **settings)


def grpo(policy, aggregation, groups=GROUPS, **step):
    system = GRPO(aggregation=aggregation, kl=0.1, max_new_tokens=6)
    scored = score_all(policy, GROUPS)
    columns = {
        "advantages": torch.linspace(-1.5, 1.0, COMPLETIONS),
        "counted": MASK,
        "old": (scored.logprobs + noise(1)) * MASK,
        "reference": (scored.logprobs + noise(2)) * MASK,
    }
    normaliser = policy_normaliser(LENGTHS.float(), aggregation, 6)
    return plain(policy, groups, system.objective, normaliser=normaliser, columns=columns, **step)


def sft(policy, groups=GROUPS, **step):
    return plain(policy, groups, imitation, normaliser=float(LENGTHS.sum()), **step)


def dpo(policy, loss, smoothing, groups=GROUPS, **step):
    system = DPO(loss=loss, label_smoothing=smoothing, beta=0.5)
    columns = {"reference": (score_all(policy, groups).logprobs + noise(3)) * MASK}
    return plain(policy, groups, system.objective, normaliser=float(len(groups)), columns=columns, **step)


def alone(policy, system, groups=GROUPS, **step):
    return plain(policy, groups, system.objective, normaliser=float(len(groups)), **step)


def kto(policy, groups=GROUPS, **step):
    columns = {
        "reference": (score_all(policy, groups).logprobs + noise(3)) * MASK,
        "desirable": torch.arange(COMPLETIONS) % 3 == 0,
        "point": torch.full((COMPLETIONS,), 0.2),
    }
    objective = KTO(beta=0.5, undesirable_weight=0.7).objective
    return plain(policy, groups, objective, normaliser=float(COMPLETIONS), columns=columns, **step)


def sampled(policy, system, advantages, groups=GROUPS, **step):
    columns = {"advantages": advantages, "old": (score_all(policy, GROUPS).logprobs + noise(1)) * MASK}
    return plain(policy, groups, system.objective, normaliser=float(COMPLETIONS), columns=columns, **step)


def ppo(policy, groups=GROUPS, **step):
    """The policy's half of an update, or of two heads on one trunk all of it."""
    shared = isinstance(policy, TwoHeaded)
    columns = {"old": (score_all(policy, GROUPS).logprobs + noise(1)) * MASK, "advantages": noise(2, 1.0) * MASK}
    columns |= {"imitation": torch.zeros(COMPLETIONS)}
    columns |= {"values": noise(3) * MASK, "returns": noise(4) * MASK} if shared else {}
    system = PPORLHF(value_model="shared") if shared else PPORLHF()
    told = {"objective": system.joint_objective, "read": policy.read} if shared else {"objective": system.objective}
    objective = told.pop("objective")
    return plain(policy, groups, objective, columns=columns, normaliser=float(LENGTHS.sum()), **told, **step)


def values(scorer, groups=GROUPS, **step):
    columns = {"values": noise(3) * MASK, "returns": noise(4) * MASK}
    return plain(scorer, groups, PPORLHF().value_objective, columns=columns, read=read_head, normaliser=float(LENGTHS.sum()), **step)


def ranks(scorer, groups=GROUPS, **step):
    counts = torch.tensor([len(group.completions) for group in groups])
    columns = {"scores": torch.arange(COMPLETIONS) % 3 + 0.5, "prompts": torch.arange(len(groups)).repeat_interleave(counts)}
    objective = RewardModel(margin=0.5, centring=0.1).objective
    return plain(scorer, groups, objective, columns=columns, read=read_head, normaliser=float(len(groups)), **step)


def steps_judged(scorer, groups=GROUPS, **step):
    labels = torch.where(MASK & (torch.arange(MASK.shape[1]) % 2 == 0), noise(5).sigmoid(), torch.nan)
    count = float(labels.isfinite().sum())
    return plain(scorer, groups, ProcessReward().objective, columns={"labels": labels}, read=read_head, normaliser=count, **step)


def two_headed(model="llama", **settings):
    policy = TwoHeaded(toy_policy(model, **settings))
    torch.nn.init.normal_(policy.value_head.weight, std=0.3, generator=torch.Generator().manual_seed(7))
    return policy


MAKERS = {"shared trunk": two_headed} | dict.fromkeys(("value model", "reward model"), toy_scorer)
MAKERS |= {"process reward": partial(toy_scorer, outputs=2)}
SIGNALS = {
    "ppo": ppo,
    "shared trunk": ppo,
    "value model": values,
    "reward model": ranks,
    "process reward": steps_judged,
    "sft": sft,
    "dpo": partial(dpo, loss="sigmoid", smoothing=0.0),
    "cdpo": partial(dpo, loss="sigmoid", smoothing=0.2),
    "ipo": partial(dpo, loss="ipo", smoothing=0.0),
    "robust": partial(dpo, loss="robust", smoothing=0.2),
    "simpo": partial(alone, system=SimPO()),
    "orpo": partial(alone, system=ORPO(weight=0.5)),
    "kto": kto,
    # A ratio of whole answers is 1 for one without tokens, so that RLOO's advantages are what leaves it out.
    "rloo": partial(sampled, system=RLOO(), advantages=torch.linspace(-1.5, 1.0, COMPLETIONS), beyond=0.0),
    "reinforce++": partial(sampled, system=ReinforcePlusPlus(), advantages=noise(4, 1.0)),
    **{name: partial(grpo, aggregation=name) for name in ("grpo", "dr_grpo", "dapo", "gspo", "cispo")},
}

ANSWERWISE = ("reward model", "dpo", "cdpo", "ipo", "robust", "simpo", "orpo", "kto")
"""Signals that judge whole answers: to them an answer without tokens is one more, not nothing."""


def step_of(signal, policy=None, **step):
    """A step's metrics and its gradient: plain descent with rate 1 moves the parameters by just that."""
    policy = policy or MAKERS.get(signal, toy_policy)()
    before = parameters_after(policy)
    metrics = SIGNALS[signal](policy, **step)
    return metrics, before - parameters_after(policy)


def assert_same(one, other):
    assert one[0].keys() == other[0].keys()
    for name, value in one[0].items():
        assert math.isclose(value, other[0][name], rel_tol=1e-4, abs_tol=1e-5), name
    assert one[1].abs().max() > 1e-3
    torch.testing.assert_close(one[1], other[1], atol=1e-5 * float(one[1].abs().max()) + 1e-6, rtol=1e-3)


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("micro_tokens", [1, 25])
def test_micro_batches_change_nothing(signal, micro_tokens):
    assert_same(step_of(signal, micro_tokens=10_000), step_of(signal, micro_tokens=micro_tokens))


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_neither_sharing_the_prompt_nor_the_side_of_padding_changes_anything(signal, side, monkeypatch):
    packed = step_of(signal)
    monkeypatch.setattr(hidden, "follows_layouts", lambda model: False)
    monkeypatch.setattr(shared_trunk, "shares_prompts", lambda model: False)
    monkeypatch.setattr(logprobs, "shares_prompts", lambda model: False)
    monkeypatch.setattr(logprobs, "score_separately", partial(logprobs.score_separately, padding_side=side))
    monkeypatch.setattr(hidden, "lay", partial(hidden.lay, padding_side=side))
    assert_same(packed, step_of(signal))


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_pad_token_that_is_the_end_token_changes_nothing(signal):
    other = tiny_random("llama")
    other.config.pad_token_id = other.config.eos_token_id
    other = MAKERS.get(signal, toy_policy)(other, pad="w2")
    assert other.tokenizer.pad_token_id == other.tokenizer.eos_token_id == 2
    assert_same(step_of(signal), step_of(signal, policy=other))


@pytest.mark.parametrize("signal", [name for name in SIGNALS if name not in ANSWERWISE])
@pytest.mark.parametrize("micro_tokens", [1, 10_000])
def test_a_completion_without_tokens_adds_nothing(signal, micro_tokens):
    with_empty = [*GROUPS[:-1], Group(prompt=GROUPS[-1].prompt, completions=[*GROUPS[-1].completions, []])]
    assert_same(step_of(signal), step_of(signal, groups=with_empty, micro_tokens=micro_tokens))
    metrics, gradient = step_of(signal, groups=[Group(prompt=[5, 6], completions=[[]])])
    assert metrics["loss"] == metrics["gradient_norm"] == 0
    assert not gradient.any()


def test_a_step_without_groups_leaves_plain_descent_where_it_was():
    policy = toy_policy()
    before = parameters_after(policy)
    assert optimise(policy, [], imitation, normaliser=1.0, learning_rate=1.0)["gradient_norm"] == 0
    assert torch.equal(parameters_after(policy), before)


def test_a_gradient_longer_than_the_limit_is_shortened_to_it():
    policy = toy_policy()
    before = parameters_after(policy)
    metrics = optimise(policy, GROUPS, imitation, normaliser=1.0, learning_rate=1.0, max_norm=0.5)
    assert metrics["gradient_norm"] > 0.5
    assert math.isclose((before - parameters_after(policy)).norm().item(), 0.5, rel_tol=1e-3)


def test_a_loss_that_is_no_number_changes_no_parameter():
    policy = toy_policy()
    with torch.no_grad():
        next(policy.model.parameters())[9] = math.nan
    before = parameters_after(policy)
    assert math.isnan(optimise(policy, GROUPS, imitation, normaliser=1.0, learning_rate=1.0)["loss"])
    torch.testing.assert_close(parameters_after(policy), before, equal_nan=True, rtol=0, atol=0)


def test_bfloat16_steps_nearly_where_float32_does():
    fp32, bf16 = step_of("grpo"), step_of("grpo", policy=toy_policy(precision="bf16"))
    assert math.isclose(fp32[0]["loss"], bf16[0]["loss"], rel_tol=0.1, abs_tol=0.02)
    assert torch.nn.functional.cosine_similarity(fp32[1], bf16[1], dim=0) > 0.99


def test_the_learning_rate_rises_holds_and_falls():
    rate = partial(scheduled, steps=10, peak=1.0, warmup=2)
    assert [rate(step) for step in (1, 2, 3, 10)] == [0.5, 1.0, 1.0, 1.0]
    assert [rate(step, schedule="linear") for step in (2, 3, 7, 10)] == [1.0, 1.0, 0.5, 0.125]
    assert [round(rate(step, schedule="cosine"), 6) for step in (3, 7)] == [1.0, 0.5]
