"""Reward models: their losses against closed forms, and one that learns, keeps a scale and judges others' answers."""

import itertools
import json
import math

import pytest
import torch
from policies import toy_groups, toy_scorer
from torch.nn.functional import logsigmoid
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import rlhub
from rlhub.core.errors import UserError
from rlhub.language import hidden, scorer
from rlhub.language.grpo import GRPO
from rlhub.language.model import load_model, load_policy
from rlhub.language.reward_losses import bradley_terry_loss, calibration, ranking_loss
from rlhub.language.reward_model import ModelReward, RewardModel, scores_of
from rlhub.language.rollout import generate
from rlhub.language.rows import Group
from rlhub.language.scorer import head_of, load_scorer, read_head
from rlhub.language.task import load_task

COUNTRIES = {"France": " Paris", "Italy": " Rome", "Spain": " Madrid", "Norway": " Oslo", "Japan": " Tokyo"}


def rows():
    for country, capital in COUNTRIES.items():
        others = [other for other in COUNTRIES.values() if other != capital]
        answers = [capital, capital + ".", *others[:2]]
        yield {"prompt": f"The capital of {country} is the city of", "answer": capital, "completions": answers, "scores": [2, 1, 0, 0]}


@pytest.fixture(scope="module")
def ranked_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "ranked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


@pytest.fixture(scope="module")
def run(ranked_file, tmp_path_factory):
    task = f"{ranked_file}?test={ranked_file}"
    system = RewardModel(model="tiny", task=task, steps=40, batch=5, learning_rate=1e-3, samples=32, max_new_tokens=4, precision="fp32")
    return rlhub.train(system, seed=0, runs=tmp_path_factory.mktemp("runs"), name="judge")


@pytest.mark.parametrize("micro_tokens", [1, 40, 4_096])
def test_a_prompt_is_read_once_for_all_its_answers_and_they_are_scored_as_if_alone(micro_tokens, monkeypatch):
    model = toy_scorer()
    alone = toy_groups(3, 4)
    groups = [Group(prompt=group.prompt, completions=[completion]) for group in alone for completion in group.completions]
    fed = []
    read = scorer.read_head
    monkeypatch.setattr(scorer, "read_head", lambda model, groups: fed.extend(groups) or read(model, groups))
    together = scores_of(model, groups, micro_tokens=micro_tokens)
    assert len(fed) == {1: 12, 4_096: 3}.get(micro_tokens, len(fed))
    torch.testing.assert_close(together, torch.cat([scores_of(model, [group]) for group in groups]), atol=1e-5, rtol=1e-5)


def test_equal_scores_cost_log_2_and_a_margin_shifts_them():
    zero = torch.zeros(1)
    assert math.isclose(bradley_terry_loss(zero, zero).item(), math.log(2), rel_tol=1e-6)
    assert math.isclose(bradley_terry_loss(zero + 0.7, zero, margin=0.7).item(), math.log(2), rel_tol=1e-6)
    assert math.isclose(bradley_terry_loss(zero + 2, zero + 2, centring=0.1).item(), math.log(2) + 1.6, rel_tol=1e-6)


def test_a_judge_that_is_not_sure_pulls_the_scores_to_its_own_odds():
    better, worse = torch.tensor([0.7], requires_grad=True), torch.tensor([-0.1])
    there, back = bradley_terry_loss(better, worse), bradley_terry_loss(worse, better)
    torch.testing.assert_close(bradley_terry_loss(better, worse, sure=0.8), 0.8 * there + 0.2 * back)
    settled = torch.tensor([math.log(0.8 / 0.2)], requires_grad=True)
    bradley_terry_loss(settled, torch.zeros(1), sure=0.8).sum().backward()
    assert settled.grad.item() == pytest.approx(0, abs=1e-6)


def test_a_rows_probability_is_what_is_learnt(tmp_path):
    pair = {"prompt": "The capital of France is the city of", "chosen": " Paris", "rejected": " Rome", "probability": 0.7}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    fields = {"model": "tiny", "task": str(tmp_path / "pairs.jsonl"), "scale": "none", "learning_rate": 1e-3, "precision": "fp32"}
    run = rlhub.train(RewardModel(**fields, steps=30, batch=1), seed=0, runs=tmp_path)
    better, worse = ModelReward(str(run.folder))([pair["prompt"]] * 2, [" Paris", " Rome"])
    assert better - worse == pytest.approx(math.log(0.7 / 0.3), abs=0.1)
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair | {"probability": 1.5}) + "\n")
    with pytest.raises(UserError, match=r"probability is 1\.5"):
        rlhub.train(RewardModel(**fields, steps=1, batch=1), seed=0, runs=tmp_path, name="other")


def test_a_prompts_loss_is_the_mean_over_its_pairs_that_are_no_ties():
    scores, ranks = torch.randn(5), torch.tensor([0.0, 3, 1, 1, 2])
    wanted = [
        -logsigmoid(scores[better] - scores[worse] - 0.2 * (ranks[better] - ranks[worse])).item()
        for better, worse in itertools.permutations(range(5), 2)
        if ranks[better] > ranks[worse]
    ]
    assert len(wanted) == 9
    loss, _ = ranking_loss(scores, ranks, margin=0.2)
    assert math.isclose(loss.item(), sum(wanted) / 9, rel_tol=1e-5)


def test_a_tie_is_left_out_or_pulls_both_scores_together():
    scores = torch.tensor([1.0, 0.0], requires_grad=True)
    assert ranking_loss(scores, torch.zeros(2))[0].isnan()
    loss, right = ranking_loss(scores, torch.zeros(2), ties="half")
    loss.backward()
    assert math.isclose(loss.item(), -(logsigmoid(torch.tensor(1.0)) + logsigmoid(torch.tensor(-1.0))).item() / 2, rel_tol=1e-6)
    assert scores.grad[0] > 0 > scores.grad[1]
    assert right.isnan()


def test_calibration_compares_what_is_said_with_what_is_right():
    says_three_quarters = math.log(3)
    margins = torch.tensor([says_three_quarters] * 3 + [-says_three_quarters])
    table, error = calibration(margins)
    assert error < 1e-6
    assert table[5].tolist() == pytest.approx([0.75, 0.75, 4])
    assert calibration(margins.abs())[1] == pytest.approx(0.25)
    assert calibration(torch.zeros(3))[1] == 0  # says one half of answers that are scored alike, and is right in one half


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "gpt_neox"])
def test_scores_are_those_that_transformers_gives_each_answer_alone(family):
    scorer = toy_scorer(family)
    groups = toy_groups(3, 2)
    sequences = [group.prompt + completion for group in groups for completion in group.completions]
    alone = torch.cat([scorer.bare(input_ids=torch.tensor([ids])).logits[:, 0] for ids in sequences])
    torch.testing.assert_close(scores_of(scorer, groups, micro_tokens=8), alone, atol=1e-5, rtol=1e-4)


def test_neither_micro_batches_nor_rows_of_their_own_change_a_step(monkeypatch):
    groups = toy_groups(4, 3)
    columns = {"scores": torch.tensor([1.0, 0, 0] * 2 + [0.0, 0, 0] + [2.0, 1, 0]), "prompts": torch.arange(4).repeat_interleave(3)}
    system = RewardModel(max_norm=0.0, learning_rate=1.0)

    def gradient(micro_tokens):
        scorer = toy_scorer("llama")
        before = torch.cat([parameter.detach().flatten() for parameter in scorer.bare.parameters()])
        settled = RewardModel(max_norm=0.0, learning_rate=1.0, micro_tokens=micro_tokens)
        metrics = settled.change(scorer, groups, system.objective, step=1, normaliser=3.0, columns=columns, read=read_head)
        return metrics["loss"], before - torch.cat([parameter.detach().flatten() for parameter in scorer.bare.parameters()])

    loss, moved = gradient(10_000)
    for micro_tokens in (1, 25):
        again = gradient(micro_tokens)
        assert again[0] == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(again[1], moved, atol=1e-5, rtol=1e-3)
    monkeypatch.setattr(hidden, "follows_layouts", lambda model: False)
    torch.testing.assert_close(gradient(10_000)[1], moved, atol=1e-5, rtol=1e-3)


def test_it_learns_to_rank_and_says_how_well(run):
    lines = run.metrics()
    assert lines[-1]["accuracy"] > 0.9 > lines[0]["accuracy"]
    assert lines[-1]["test_accuracy"] > 0.9
    assert 0 <= lines[-1]["test_calibration_error"] < 0.5


def test_its_checkpoint_is_a_folder_that_transformers_loads(run):
    folder = run.checkpoint()
    judge, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    scale = json.loads((folder / "reward_scale.json").read_text())
    text = "The capital of France is the city of Paris"
    ids = [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad():
        raw = judge.eval()(input_ids=torch.tensor([ids])).logits.item()
    exact = load_scorer(str(run.folder), fresh=False, precision="fp32")
    group = Group(prompt=ids[:-2], completions=[ids[-2:]])
    assert scores_of(exact, [group]).item() == pytest.approx(scale["gain"] * raw + scale["bias"], rel=1e-4, abs=1e-4)
    asked = ModelReward(str(run.folder))(["The capital of France is the city of"], [" Paris"])
    assert asked[0] == pytest.approx(scale["gain"] * raw + scale["bias"], rel=0.01, abs=0.01)


def test_where_padding_is_the_end_token_transformers_still_scores_at_the_end(tmp_path):
    model, tokenizer = load_model("tiny")
    tokenizer.pad_token, model.config.pad_token_id = tokenizer.eos_token, tokenizer.eos_token_id
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    scorer = load_scorer(str(tmp_path / "base"), fresh=True, precision="fp32")
    scorer.save_model(tmp_path)
    ids = [*tokenizer("The capital of France is")["input_ids"], tokenizer.eos_token_id]
    judge = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with torch.no_grad():
        theirs = judge.eval()(input_ids=torch.tensor([ids])).logits.item()
    ours = scores_of(scorer, [Group(prompt=ids[:-1], completions=[ids[-1:]])]).item()
    assert theirs == pytest.approx(ours, abs=1e-4)
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token_id != tokenizer.eos_token_id


def test_rewards_are_scaled_on_answers_of_the_starting_model(run):
    scorer = load_scorer(str(run.folder), fresh=False)
    assert scorer.gain > 0
    assert scorer.gain != 1
    assert head_of(scorer.bare).out_features == 1


def test_on_the_answers_that_set_its_scale_rewards_have_mean_0_and_deviation_1_also_where_they_were_cut_off(ranked_file, tmp_path):
    system = RewardModel(
        model="tiny", task=str(ranked_file), steps=3, batch=5, learning_rate=1e-3, samples=16, max_new_tokens=2, precision="fp32"
    )
    run = rlhub.train(system, seed=0, runs=tmp_path)
    examples = load_task(str(ranked_file)).sample(16, step=1, seed=0)
    policy = load_policy("tiny", learning_rate=0.0, precision="fp32")
    drawn = generate(policy, examples, max_new_tokens=2, generator=run.generator("reference samples"))
    texts = [texts[0] for texts in drawn.texts]
    assert not drawn.ended.all()
    found = torch.tensor(ModelReward(str(run.folder))([example.prompt for example in examples], texts, ended=drawn.ended[:, 0].tolist()))
    assert found.mean().item() == pytest.approx(0, abs=0.1)
    assert found.std().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("scale", "deviation"), [("samples", 1.0), ("answers", None)])
def test_a_reward_model_that_is_trained_on_gets_its_scale_anew(run, ranked_file, tmp_path, scale, deviation):
    fields = {"model": str(run.folder), "task": str(ranked_file), "steps": 1, "batch": 5, "learning_rate": 0.0, "precision": "fp32"}
    again = rlhub.train(RewardModel(**fields, scale=scale, samples=16, max_new_tokens=2), seed=0, runs=tmp_path)
    examples = load_task(str(ranked_file)).sample(16, step=1, seed=0)
    texts = [example.answer for example in examples]
    ended = None
    if scale == "samples":
        policy = load_policy(str(run.folder), learning_rate=0.0, precision="fp32")
        drawn = generate(policy, examples, max_new_tokens=2, generator=again.generator("reference samples"))
        texts, ended = [texts[0] for texts in drawn.texts], drawn.ended[:, 0].tolist()
    judge = ModelReward(str(again.folder))
    found = torch.tensor(judge([example.prompt for example in examples], texts, ended=ended))
    assert found.mean().item() == pytest.approx(0, abs=0.1)
    assert deviation is None or found.std().item() == pytest.approx(deviation, abs=0.1)


def test_without_a_scale_of_its_own_a_reward_model_that_is_trained_on_keeps_the_one_it_had(run, ranked_file, tmp_path):
    fields = {"model": str(run.folder), "task": str(ranked_file), "steps": 1, "batch": 5, "scale": "none", "precision": "fp32"}
    before, after = (load_scorer(str(each.folder), fresh=False) for each in (run, rlhub.train(RewardModel(**fields), runs=tmp_path)))
    assert (after.gain, after.bias) == (before.gain, before.bias) != (1.0, 0.0)


def test_answers_for_the_scale_are_missed_before_anything_is_trained(tmp_path):
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}) + "\n")
    with pytest.raises(UserError, match="has no answer"):
        rlhub.train(RewardModel(model="tiny", task=str(tmp_path / "pairs.jsonl"), scale="answers"), runs=tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*"))


def test_a_policy_is_trained_by_it(run, tmp_path):
    system = GRPO(model="tiny", task="facts:capitals", reward=f"reward-model:{run.folder}", steps=1, prompts=4, group=4, max_new_tokens=3)
    line = rlhub.train(system, seed=0, runs=tmp_path).metrics()[-1]
    assert math.isfinite(line["reward"])
    assert line["reward_std"] > 0


def test_a_policy_is_trained_by_it_on_its_own_rows(run, ranked_file, tmp_path):
    system = GRPO(model="tiny", task=str(ranked_file), reward=f"reward-model:{run.folder}", steps=1, prompts=2, group=4, max_new_tokens=3)
    line = rlhub.train(system, seed=0, runs=tmp_path).metrics()[-1]
    assert line["reward_std"] > 0
    assert 0 <= line["exact_match"] <= 1


def test_the_same_seed_gives_the_same_judge(ranked_file, tmp_path):
    system = RewardModel(model="tiny", task=str(ranked_file), steps=2, batch=3, learning_rate=1e-3, scale="answers", precision="fp32")
    one, other = (load_scorer(str(rlhub.train(system, seed=0, runs=tmp_path, name=name).folder), fresh=False) for name in "ab")
    assert all(torch.equal(a, b) for a, b in zip(one.bare.parameters(), other.bare.parameters(), strict=True))
    assert (one.gain, one.bias) == (1.0, other.bias)


def test_a_language_model_is_no_judge():
    with pytest.raises(UserError, match="no trained head"):
        load_scorer("tiny", fresh=False)


@pytest.mark.parametrize(
    "row",
    [
        {"completions": ["a", "b"], "scores": [1]},
        {"completions": ["a"], "scores": [1]},
        {"completions": ["a", 3], "scores": [1, 2]},
        {"completions": ["a", "b"], "scores": [1, math.nan]},
        {"completions": ["a", "b"], "scores": [1, math.inf]},
        {"completions": ["a", "b"], "scores": [1e300, 2e300]},
        {"completions": ["a", "b"], "scores": [1, 10**400]},
    ],
)
def test_answers_that_cant_be_ranked_are_named(tmp_path, row):
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"prompt": "w5", **row}) + "\n")
    with pytest.raises(UserError, match=r"can't be ranked \(prompt 'w5'\)"):
        rlhub.train(RewardModel(model="tiny", task=str(path), steps=1, batch=1), runs=tmp_path)


GOOD = {"prompt": "The capital of France is the city of", "answer": " Paris", "completions": [" Paris", " Rome"], "scores": [1, 0]}


@pytest.mark.parametrize(
    ("where", "change", "scale", "said"),
    [
        ("train", {"scores": [1]}, "none", "can't be ranked"),
        ("test", {"scores": [1]}, "none", "can't be ranked"),
        ("train", {"completions": [" Paris", " Rome" * 2000]}, "none", "don't fit the model"),
        ("test", {"completions": [" Paris", " Rome" * 2000]}, "none", "don't fit the model"),
        ("train", {"probability": 2}, "none", "probability is 2"),
        ("train", {"answer": None}, "answers", "has no answer"),
        ("train", {"answer": " Rome" * 2000}, "answers", "don't fit the model"),
        ("train", {"prompt": "The city of" * 200}, "samples", "don't fit the model"),
    ],
)
def test_a_bad_row_is_named_before_anything_is_trained(tmp_path, where, change, scale, said):
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text(json.dumps(GOOD) + "\n")
    bad.write_text("".join(json.dumps(each) + "\n" for each in (GOOD, GOOD, GOOD | change)))
    task = f"{bad}?test={good}" if where == "train" else f"{good}?test={bad}"
    system = RewardModel(model="tiny", task=task, steps=3, batch=1, samples=3, scale=scale, precision="fp32")
    with pytest.raises(UserError, match=said):
        rlhub.train(system, seed=0, runs=tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*"))


def test_a_bad_row_that_is_never_come_to_stops_nothing(tmp_path):
    task = load_task("facts:capitals")
    rows = [{"prompt": example.prompt, "completions": [" Paris", " Rome"], "scores": [1, 0]} for example in task.examples("train")[:9]]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    used = {str(example.prompt) for example in load_task(str(path)).sample(2, step=1, seed=0)}
    path.write_text("".join(json.dumps(row if row["prompt"] in used else row | {"scores": [1]}) + "\n" for row in rows))
    system = RewardModel(model="tiny", task=str(path), steps=1, batch=2, scale="none", precision="fp32")
    assert rlhub.train(system, seed=0, runs=tmp_path).status == "finished"
