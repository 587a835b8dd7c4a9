"""Bridge graphs, their walks and the closed forms; and the small transformer that learns them."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rlhub
from rlhub.core.errors import UserError
from rlhub.language.bridges import (
    CHAINS,
    ask,
    best_of,
    bridge,
    decides,
    is_evidence,
    majority,
    neighbours,
    path_chance,
    read,
    shortest_chance,
    think,
)
from rlhub.language.model import Policy
from rlhub.language.reading_lessons import Curriculum, partners, ramble
from rlhub.language.sft import answered
from rlhub.language.task import columns_of, load_task
from rlhub.language.think import Think, look_back, make_tokenizer, new_model

BLOCKS = st.integers(1, 5)
SEEDS = st.integers(0, 2**32)


def distances(graph, start):
    found, frontier = {start: 0}, [start]
    for node in frontier:
        for near in graph[node]:
            if near not in found:
                found[near] = found[node] + 1
                frontier.append(near)
    return found


@given(BLOCKS)
def test_a_bridge_has_ten_nodes_and_eleven_edges_a_block_and_two_ways_across_each(blocks):
    edges = bridge(blocks)
    graph = neighbours(edges)
    assert len(edges) == 11 * blocks
    assert sorted(graph) == list(range(10 * blocks + 1))
    assert distances(graph, 0)[10 * blocks] == 3 * blocks
    degrees = sorted(map(len, graph.values()))
    assert degrees.count(1) == blocks
    assert degrees.count(5) == blocks - 1
    assert len(graph[0]) == 3
    assert len(graph[10 * blocks]) == 2


@given(BLOCKS, SEEDS)
def test_a_question_shows_two_disjoint_bridges_and_one_target_that_can_be_reached(blocks, seed):
    question = ask(blocks, np.random.default_rng(seed))
    graph = neighbours(question.edges)
    reached = distances(graph, question.start)
    assert len(graph) == 2 * (10 * blocks + 1)
    assert len(reached) == 10 * blocks + 1
    assert reached[question.target] == 3 * blocks
    assert question.other not in reached
    assert set(question.targets) == {question.target, question.other}


@settings(deadline=None)
@given(BLOCKS, SEEDS, st.sampled_from([*CHAINS, "walk-20", "walk-50"]))
def test_every_chain_is_evidence_and_reads_back(blocks, seed, chain):
    draw = np.random.default_rng(seed)
    question = ask(blocks, draw)
    walk = think(question, chain, draw)
    given_answer = read(question.answer(walk))
    assert given_answer.walk == tuple(walk)
    assert decides(given_answer, question.target)
    assert is_evidence(walk, question.edges, question.start, question.target)
    assert not is_evidence(walk, question.edges, question.start, question.other)
    graph = neighbours(question.edges)
    steps = [two in graph[one] for one, two in itertools.pairwise(walk)]
    if chain != "dfs-pruned":
        assert all(steps)
    if chain in ("shortest", "path", "dfs-pruned"):
        assert len(set(walk)) == len(walk)
    if chain == "shortest":
        assert len(walk) == 3 * blocks + 1
    if chain == "walk-50":
        assert len(walk) - 1 <= 50


@pytest.mark.parametrize("walk", [[], [0], [0, 1, 2], [1, 2, 10], [0, 2, 1, 10], [0, 1, 2, 10, 11]])
def test_what_does_not_lead_there_is_no_evidence(walk):
    assert not is_evidence(walk, bridge(1), 0, 10)


def test_steps_back_within_what_was_reached_are_evidence():
    assert is_evidence([0, 7, 8, 0, 1, 2, 10], bridge(1), 0, 10)
    assert is_evidence([0, 1, 9, 7, 2, 10], [*bridge(1), (0, 9)], 0, 10)


def test_a_path_across_each_block_is_short_or_long_equally_often():
    draw = np.random.default_rng(0)
    lengths = [len(think(ask(1, draw), "path", draw)) - 1 for _ in range(4000)]
    assert set(lengths) == {3, 5}
    assert abs(lengths.count(3) / 4000 - 0.5) < 0.04


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_walk_that_never_turns_round_arrives_as_often_as_the_closed_forms_say(blocks):
    draw, graph = np.random.default_rng(blocks), neighbours(bridge(blocks))
    arrived = short = 0
    for _ in range(6000):
        before, node, steps = None, 0, 0
        while node != 10 * blocks:
            ways = [near for near in graph[node] if near != before]
            junction_behind = node % 10 == 0 and before is not None
            if not ways:
                break
            following = ways[int(draw.integers(len(ways)))]
            if junction_behind and following // 10 < node // 10 and following != node:
                break  # back along the other way across
            before, node, steps = node, following, steps + 1
        if node == 10 * blocks:
            arrived += 1
            short += steps == 3 * blocks
    assert abs(arrived / 6000 - path_chance(blocks)) < 0.025
    assert abs(short / 6000 - shortest_chance(blocks)) < 0.025


def test_many_answers_decide_as_the_closed_forms_say():
    draw, chance, answers = np.random.default_rng(0), 0.2, 5
    solved = draw.random((20000, answers)) < chance
    coins = draw.random((20000, answers)) < 0.5
    right = solved | coins
    assert abs(np.where(solved.any(1), True, coins[:, 0]).mean() - best_of(chance, answers)) < 0.01
    assert abs((right.sum(1) > answers / 2).mean() - majority(0.5 + chance / 2, answers)) < 0.01
    assert majority(0.7, 1) == pytest.approx(0.7)
    assert majority(0.7, 2) == pytest.approx(0.7)
    assert majority(0.5, 10) == pytest.approx(0.5)
    # Two answers of which each decides with a chance of a half, and then rightly: both are undecided in a quarter, which a coin decides.
    assert majority(0.5, 2, undecided=0.5) == pytest.approx(0.75 + 0.25 / 2)
    assert majority(0.0, 3, undecided=1.0) == pytest.approx(0.5)
    votes = np.random.default_rng(1).choice([1, -1, 0], p=[0.6, 0.1, 0.3], size=(100_000, 5)).sum(1)
    assert abs((votes > 0).mean() + (votes == 0).mean() / 2 - majority(0.6, 5, undecided=0.3)) < 0.01


def test_the_task_rewards_evidence_and_measures_decision_and_length():
    task = load_task("bridges:2?chain=dfs", seed=1)
    examples = task.sample(3, step=1, seed=0)
    columns = columns_of(examples)
    prompts = [example.prompt for example in examples]
    right = [example.answer for example in examples]
    wrong = [f"work: [{example.columns['start']}] decision: [{example.columns['other']}]" for example in examples]
    assert task.score(prompts, right, **columns) == [1, 1, 1]
    assert task.measure(prompts, right, **columns)["decision"] == [1, 1, 1]
    assert task.score(prompts, wrong, **columns) == [0, 0, 0]
    assert task.measure(prompts, wrong, **columns) == {"decision": [0, 0, 0], "walk": [1, 1, 1]}
    assert load_task("bridges:2?chain=dfs", seed=1).split("train")[17] == task.split("train")[17]
    assert task.split("test")[0].prompt != task.split("train")[0].prompt


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("bridges:0", "number of blocks"),
        ("bridges:x", "number of blocks"),
        ("bridges:2?chain=bfs", "no chain of thought 'bfs'"),
        ("bridges:2?chain=walk-x", "no chain"),
    ],
)
def test_a_question_that_there_is_not_is_refused(spec, words):
    with pytest.raises(UserError, match=words):
        load_task(spec)


@pytest.mark.parametrize("blocks", [1, 5])
def test_the_tokenizer_has_a_token_for_all_that_is_said(blocks):
    tokenizer = make_tokenizer(2 * (10 * blocks + 1))
    example = load_task(f"bridges:{blocks}").split("train")[0]
    ids = tokenizer(example.prompt + example.answer)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert ids[0] == tokenizer.bos_token_id
    assert len(tokenizer(example.prompt)["input_ids"]) == 2 * 22 * blocks + 13


def test_the_same_seed_makes_the_same_model_and_another_another():
    one, other, third = (new_model(1, room=99, seed=seed)[0].lm_head.weight for seed in (0, 0, 1))
    assert one.equal(other)
    assert not one.equal(third)


@given(SEEDS, st.integers(2, 11))
def test_a_lesson_asks_for_every_node_s_partner(seed, pairs):
    found = partners(pairs, np.random.default_rng(seed), names=22)
    edges = np.array(found.prompt[len("graph: [") :].split("]")[0].split(), dtype=int).reshape(-1, 2)
    assert edges.shape == (pairs, 2) and len(set(edges.flatten())) == 2 * pairs
    partner = {int(one): int(two) for pair in edges for one, two in (pair, pair[::-1])}
    asked, said = found.said[::2], found.said[1::2]
    assert sorted(asked) == sorted(partner) and [partner[node] for node in asked] == said
    assert found.counted == [False, True] * (2 * pairs)


@given(SEEDS, st.integers(1, 4))
def test_a_ramble_goes_along_edges_and_says_every_node_once(seed, blocks):
    found = ramble(blocks, np.random.default_rng(seed), names=2 * (10 * blocks + 1))
    edges = np.array(found.prompt[len("graph: [") :].split("]")[0].split(), dtype=int).reshape(-1, 2).tolist()
    graph = neighbours([(one, two) for one, two in edges])
    assert sorted(found.said) == sorted(graph)
    assert len(found.said) == len(found.counted) and not found.counted[0]
    assert sum(found.counted) > len(graph) / 2
    longer = ramble(blocks, np.random.default_rng(seed), names=2 * (10 * blocks + 1), longest=2 * len(graph) + 3)
    assert longer.said[: len(graph)] == found.said
    assert sorted(longer.said[len(graph) - 1 : 2 * len(graph) - 1]) == sorted(graph)
    assert len(longer.said) == len(longer.counted) == 2 * len(graph) + 3
    for place in range(1, len(found.said)):
        if found.counted[place]:
            assert found.said[place] in graph[found.said[place - 1]]


def edges_of(taught):
    return taught.prompt.split("]")[0].count(" ") // 2


def test_a_lesson_waits_until_the_one_before_is_mastered():
    draw, curriculum = np.random.default_rng(0), Curriculum(3, names=62)
    found = []
    for step in range(200):
        found.append(edges_of(curriculum.lesson(draw)))
        curriculum.observe(0.1 if step >= 100 else 2.0)
    assert found[:109] == [4] * 109
    # The loss of ten steps: by then all but one of them were good.
    assert [found.index(pairs) for pairs in (4, 8, 16, 31)] == [0, 110, 120, 130]
    assert set(found[140:]) == {22, 44, 66}
    assert curriculum.mastered == 4


def test_lessons_go_on_after_a_break_where_they_were():
    one, other = (Curriculum(3, names=62) for _ in range(2))
    for loss in [0.1] * 15:
        one.observe(loss)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for curriculum in (one, other):
        for loss in [0.1] * 5:
            curriculum.observe(loss)
    assert one.mastered == other.mastered == 2


def test_a_training_that_was_stopped_between_lessons_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("rlhub.language.reading_lessons.MASTERED", 100.0)
    system = Think(blocks=1, steps=1, lessons=16, batch=2, test_every=1, tested=2, max_new_tokens=12, warmup=1)
    whole = rlhub.train(system, seed=0, runs=tmp_path, name="whole")
    teach = Think.teach

    def stops(self, policy, curriculum, step, *, seed):
        if step == 14:
            raise KeyboardInterrupt
        return teach(self, policy, curriculum, step, seed=seed)

    with monkeypatch.context() as stopping:
        stopping.setattr(Think, "teach", stops)
        with pytest.raises(KeyboardInterrupt):
            rlhub.train(system, seed=0, runs=tmp_path, name="broken", checkpoint_every=6)
    broken = rlhub.train(system, seed=0, runs=tmp_path, name="broken", checkpoint_every=6)
    assert [line.get("mastered") for line in broken.metrics()] == [line.get("mastered") for line in whole.metrics()]
    for one, other in zip(whole.model().parameters(), broken.model().parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("places", [0, 1, 2, 5])
def test_a_head_can_begin_by_looking_back(places):
    model, _ = new_model(1, room=60, seed=0)
    model.config._attn_implementation = "eager"
    look_back(model, 3, places)
    ids = torch.randint(0, 22, (1, 40), generator=torch.Generator().manual_seed(0))
    weights = model(input_ids=ids, output_attentions=True).attentions[0][0]
    for head, back in ((0, 1), (1, 1), (2, 2), (3, places)):
        assert torch.equal(weights[head].argmax(-1)[8:], torch.arange(8 - back, 40 - back))


def test_odd_places_are_told_from_even_ones():
    model, _ = new_model(1, room=60, seed=0)
    assert model.model.rotary_emb.inv_freq[0] == pytest.approx(math.pi)


@pytest.mark.timeout(900)
def test_a_few_lessons_teach_to_read_edges(tmp_path):
    system = Think(blocks=1, steps=1, lessons=300, batch=32, test_every=1, tested=4, max_new_tokens=24, warmup=10)
    lines = rlhub.train(system, seed=0, runs=tmp_path).metrics()
    assert len(lines) == 301
    assert lines[179]["loss"] < 0.5 < 2 < lines[0]["loss"]


def test_it_learns_the_form_of_an_answer_and_says_how_far_it_is(tmp_path):
    system = Think(blocks=1, chain="shortest", steps=60, lessons=0, batch=32, test_every=60, tested=20, max_new_tokens=24, warmup=10)
    lines = [json.loads(line) for line in (rlhub.train(system, seed=0, runs=tmp_path).folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    assert 0 <= lines[-1]["test_evidence"] <= lines[-1]["test_decision"] <= 1
    assert lines[-1]["test_walk"] >= 1


@pytest.mark.parametrize(("chain", "most"), [("path", 4), ("shortest", 1)])
def test_a_question_is_shown_with_several_chains_each_once(chain, most):
    model, tokenizer = new_model(1, room=100, seed=0)
    policy = Policy(model, tokenizer, torch.optim.SGD(model.parameters()), precision="fp32")
    system = Think(blocks=1, chain=chain, answers=4)
    found = [(example, system.shown(policy, example)) for example in load_task(f"bridges:1?chain={chain}").split("train")[:8]]
    assert max(len(group.completions) for _, group in found) == min(most, 2)  # there are two ways across a block
    for example, group in found:
        assert group.completions[0] == answered(policy, example).completions[0]
        for said in group.completions:
            walk = read(tokenizer.decode(said)).walk
            assert is_evidence(walk, example.columns["edges"], example.columns["start"], example.columns["target"])
    again = system.shown(policy, found[0][0])
    assert again == found[0][1]
