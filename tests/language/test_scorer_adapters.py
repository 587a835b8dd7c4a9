"""Scorers trained by adapters: what moves, what a checkpoint holds, and that a stopped run goes on to the same bits."""

import json

import pytest
import torch
from families import FAMILIES, save_tiny, tiny_random
from peft import PeftModel
from policies import toy_groups
from transformers import AutoModelForSequenceClassification

import rlhub
from rlhub.core.run import Run
from rlhub.core.training import execute
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.process_reward import ProcessReward
from rlhub.language.reward_model import ModelReward, RewardModel, scores_of
from rlhub.language.scorer import Critic, Scorer, StepScorer, head_of, load_scorer, read_head
from rlhub.language.update import Terms, optimise

RANK = 2
SMALL = {"model": "tiny", "batch": 2, "learning_rate": 1e-2, "precision": "fp32", "lora_rank": RANK}
SYSTEMS = {"reward-model": (RewardModel, Scorer), "process-reward": (ProcessReward, StepScorer)}
PPO = {"model": "tiny", "prompts": 4, "max_new_tokens": 3, "learning_rate": 1e-3, "precision": "fp32", "lora_rank": RANK}


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    for_pairs = {"prompt": "The capital of France is the city of", "chosen": " Paris", "rejected": " Rome"}
    rows = [{**for_pairs, "steps": [" Paris"], "labels": [1]}, {**for_pairs, "steps": [" Rome"], "labels": [0]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def system_of(name, task, steps):
    more = {"samples": 8, "max_new_tokens": 2} if name == "reward-model" else {}
    return SYSTEMS[name][0](**SMALL, **more, task=task, steps=steps)


def a_step(scorer):
    """One that pulls every score up."""
    settings = {"normaliser": 1.0, "learning_rate": 1e-2, "read": read_head}
    optimise(scorer, toy_groups(3, 2), lambda outputs: Terms(loss=-outputs.values.sum()), **settings)


@pytest.mark.parametrize("name", SYSTEMS)
def test_only_adapters_and_head_move(name, task, tmp_path):
    run = rlhub.train(system_of(name, task, 3), seed=0, runs=tmp_path)
    kind = SYSTEMS[name][1]
    begun = load_scorer("tiny", kind=kind, fresh=True, lora_rank=RANK, seed=0)
    names = {name for name, weight in begun.bare.named_parameters() if weight.requires_grad}
    assert {"lora" in name or "modules_to_save" in name for name in names} == {True}
    assert sum("modules_to_save" in name for name in names) == len(list(head_of(begun.bare).parameters()))
    ended = load_scorer(str(run.folder), kind=kind, fresh=False).bare
    base = load_scorer("tiny", kind=kind, fresh=True, seed=0).bare
    assert not torch.equal(head_of(ended).weight, head_of(base).weight)
    for (place, before), after in zip(base.model.named_parameters(), ended.model.parameters(), strict=True):
        change = (after - before).detach()
        if before.ndim == 1 or "embed" in place:
            assert not change.any(), place
        else:
            assert torch.linalg.svdvals(change)[RANK:].max() < 1e-5 < change.abs().max(), place


@pytest.mark.parametrize("family", FAMILIES)
def test_the_merged_checkpoint_scores_as_base_and_adapters_do_and_peft_reads_the_adapters(family, tmp_path):
    folder = save_tiny(tmp_path / family, family)
    scorer = load_scorer(str(folder), fresh=True, learning_rate=1e-2, lora_rank=RANK, precision="fp32")
    a_step(scorer)
    groups = toy_groups(3, 2, seed=5)
    expected = scores_of(scorer, groups)
    scorer.save_model(tmp_path / "saved")
    torch.testing.assert_close(scores_of(load_scorer(str(tmp_path / "saved"), fresh=False, precision="fp32"), groups), expected)
    config = tiny_random(family).config
    config.num_labels, config.pad_token_id = 1, 0
    torch.manual_seed(0)
    bare = AutoModelForSequenceClassification.from_config(config).eval()
    bare.load_state_dict(load_scorer(str(folder), fresh=True, seed=9).bare.state_dict())
    read = PeftModel.from_pretrained(bare, tmp_path / "saved" / "adapter").eval()
    torch.testing.assert_close(read_head(read, groups).last[:, 0], expected)


def test_a_merged_run_is_a_reward(task, tmp_path):
    run = rlhub.train(system_of("reward-model", task, 4), seed=0, runs=tmp_path)
    right, wrong = ModelReward(str(run.folder))(["The capital of France is the city of"] * 2, [" Paris", " Rome"])
    assert right > wrong


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_scorers_run_that_was_stopped_goes_on_to_the_same_bits(name, task, tmp_path, monkeypatch):
    system = system_of(name, task, 4)
    whole = rlhub.train(system, seed=0, runs=tmp_path, name="whole", checkpoint_every=2)
    stop_at(monkeypatch, type(system), "change", call=4)
    with pytest.raises(KeyboardInterrupt):
        rlhub.train(system, seed=0, runs=tmp_path, name="cut", checkpoint_every=2)
    monkeypatch.undo()
    assert_same_bits(whole, execute(Run.open(tmp_path / "cut")))


def test_the_value_model_of_ppo_is_trained_by_adapters_where_the_policy_is(tmp_path, monkeypatch):
    system = PPORLHF(**PPO, steps=4, epochs=1, minibatches=1)
    whole = rlhub.train(system, seed=0, runs=tmp_path, name="whole", checkpoint_every=2)
    critic = system.critic(whole)
    held = Critic(critic).state_dict()["weights"]
    assert all("lora" in name or "modules_to_save" in name for name in held)
    assert sum(weight.numel() for weight in held.values()) < 0.2 * sum(weight.numel() for weight in critic.bare.parameters())
    stop_at(monkeypatch, PPORLHF, "update", call=4)
    with pytest.raises(KeyboardInterrupt):
        rlhub.train(system, seed=0, runs=tmp_path, name="cut", checkpoint_every=2)
    monkeypatch.undo()
    assert_same_bits(whole, execute(Run.open(tmp_path / "cut")))


def stop_at(monkeypatch, system, method, *, call):
    """Interrupt a system's training at a call of one of its methods."""
    original, calls = getattr(system, method), []

    def stops(self, *args, **options):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(self, *args, **options)

    monkeypatch.setattr(system, method, stops)


def assert_same_bits(whole, resumed):
    """Models and metrics of two runs' last checkpoints."""
    one, other = whole.checkpoint(), resumed.checkpoint()
    for file in ("model.safetensors", "adapter/adapter_model.safetensors"):
        assert (one / file).read_bytes() == (other / file).read_bytes(), file
    clocks = {"time": 0, "tokens_per_second": 0}
    assert [{**line, **clocks} for line in whole.metrics()] == [{**line, **clocks} for line in resumed.metrics()]
