"""Models and policies: every family loads, trains, is written and read back bit for bit."""

import copy

import pytest
import torch
from families import FAMILIES, save_tiny, tiny_random, tiny_tokenizer
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM

from rlhub.core.errors import UserError
from rlhub.language.model import encode, encode_completion, end_ids, load_model, load_policy, pad_id
from rlhub.language.scorer import load_scorer

IDS = torch.tensor([[5, 9, 17, 33, 64, 127]])


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def step(policy):
    """One training step that imitates IDS."""
    with policy.autocast():
        loss = policy.model(input_ids=IDS, labels=IDS).loss
    loss.backward()
    policy.optimizer.step()
    policy.optimizer.zero_grad()


@pytest.fixture(params=FAMILIES)
def folder(request, tmp_path):
    return save_tiny(tmp_path / request.param, request.param)


def test_every_family_loads_from_its_folder_with_its_own_logits(folder):
    model, tokenizer = load_model(str(folder))
    assert torch.equal(logits(model), logits(tiny_random(folder.name)))
    assert not model.training
    assert tokenizer.eos_token_id == 2


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_step_changes_the_trainable_weights_and_lowers_the_loss(folder, lora_rank):
    policy = load_policy(str(folder), learning_rate=1e-2, lora_rank=lora_rank, precision="fp32")
    frozen = {name: value.clone() for name, value in policy.model.named_parameters() if not value.requires_grad}
    before = policy.model(input_ids=IDS, labels=IDS).loss.item()
    for _ in range(3):
        step(policy)
    assert policy.model(input_ids=IDS, labels=IDS).loss.item() < before
    assert bool(frozen) == bool(lora_rank)
    assert all(torch.equal(value, frozen[name]) for name, value in policy.model.named_parameters() if name in frozen)


def test_a_saved_model_has_bit_equal_logits_in_transformers(folder, tmp_path):
    policy = load_policy(str(folder), learning_rate=1e-2, precision="fp32")
    step(policy)
    policy.save_model(tmp_path / "saved")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    assert torch.equal(logits(loaded), logits(policy.model))
    assert encode(load_model(str(tmp_path / "saved"))[1], "w9 w5") == [9, 5]


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_a_judge_writes_only_where_its_embedding_does(family, tmp_path):
    scorer = load_scorer(str(save_tiny(tmp_path / "base", family)), fresh=True)
    scorer.save_model(tmp_path / "judge")
    if scorer.bare.config.tie_word_embeddings:
        assert load_model(str(tmp_path / "judge"))[0].get_output_embeddings() is not None
    else:
        with pytest.raises(UserError, match=r"judge' can't write: it has no unembedding"):
            load_model(str(tmp_path / "judge"))


def test_messages_that_a_chat_template_refuses_are_named_with_its_reason():
    tokenizer = tiny_tokenizer()
    refusal = "{{ raise_exception('System role not supported') }}"
    tokenizer.chat_template = "{% if messages[0]['role'] == 'system' %}" + refusal + "{% endif %}w5"
    asked = [{"role": "system", "content": "w4"}, {"role": "user", "content": "w5"}]
    assert encode(tokenizer, asked[1:]) == [5]
    with pytest.raises(UserError, match="chat template refuses messages of system, user: System role not supported"):
        encode(tokenizer, asked)


def test_merged_adapters_compute_what_base_and_adapters_compute(folder, tmp_path):
    policy = load_policy(str(folder), learning_rate=1e-2, lora_rank=2, precision="fp32")
    step(policy)
    expected = logits(policy.model)
    policy.save_model(tmp_path / "saved")
    assert torch.equal(logits(policy.model), expected)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    torch.testing.assert_close(logits(merged), expected, atol=1e-4, rtol=1e-4)
    with policy.base() as base:
        torch.testing.assert_close(logits(base), logits(tiny_random(folder.name)), atol=0, rtol=0)


def test_adapters_can_be_read_by_peft(tmp_path):
    from peft import PeftModel

    policy = load_policy(str(save_tiny(tmp_path / "base", "llama")), learning_rate=1e-2, lora_rank=2, precision="fp32")
    step(policy)
    policy.save_model(tmp_path / "saved")
    read = PeftModel.from_pretrained(tiny_random("llama"), tmp_path / "saved" / "adapter").eval()
    assert torch.equal(logits(read), logits(policy.model))


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_restored_policy_goes_on_bit_for_bit(folder, tmp_path, lora_rank):
    policy = load_policy(str(folder), learning_rate=1e-2, lora_rank=lora_rank, precision="fp32")
    step(policy)
    policy.save_model(tmp_path / "saved")
    state = copy.deepcopy(policy.state_dict())
    step(policy)
    resumed = load_policy(str(folder), learning_rate=1e-2, lora_rank=lora_rank, precision="fp32")
    resumed.load_model(tmp_path / "saved")
    resumed.load_state_dict(state)
    step(resumed)
    assert all(torch.equal(one, other) for one, other in zip(policy.model.parameters(), resumed.model.parameters(), strict=True))


def test_training_is_bit_deterministic(tmp_path):
    folder = str(save_tiny(tmp_path, "qwen2"))
    policies = [load_policy(folder, learning_rate=1e-2, lora_rank=lora) for lora in (0, 0, 2, 2)]
    for policy in policies:
        step(policy)
        step(policy)
    for one, other in (policies[:2], policies[2:]):
        assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


def test_adapters_begin_differently_with_another_seed_and_leave_the_global_generator_alone(tmp_path):
    folder = str(save_tiny(tmp_path, "llama"))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, other = (load_policy(folder, learning_rate=1e-2, lora_rank=2, seed=seed) for seed in (0, 1))
    assert torch.rand(1) == expected
    assert any(not torch.equal(a, b) for a, b in zip(one.trainable, other.trainable, strict=True))


def test_bf16_computes_in_bfloat16_on_float32_weights(tmp_path):
    policy = load_policy(str(save_tiny(tmp_path, "llama")), learning_rate=1e-2, precision="bf16")
    exact = logits(policy.model)
    with policy.autocast():
        rounded = logits(policy.model)
    assert rounded.dtype == torch.bfloat16
    assert 0 < (rounded - exact).abs().max() < 0.2
    step(policy)
    assert all(parameter.dtype == torch.float32 for parameter in policy.model.parameters())


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_roll_out_in_bf16_casts_each_weight_once(tmp_path, lora_rank):
    policy = load_policy(str(save_tiny(tmp_path, "llama")), learning_rate=1e-2, precision="bf16", lora_rank=lora_rank)
    trainable = [parameter.requires_grad for parameter in policy.model.parameters()]

    def casts(forwards):
        with torch.no_grad(), policy.autocast(), profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
            for _ in range(forwards):
                policy.model(input_ids=IDS)
        weights = {tuple(parameter.shape) for parameter in policy.model.parameters() if parameter.ndim == 2}
        return sum(event.name == "aten::_to_copy" and tuple(event.input_shapes[0]) in weights for event in profiled.events())

    assert casts(1) == casts(3) > 0
    assert [parameter.requires_grad for parameter in policy.model.parameters()] == trainable


@pytest.mark.parametrize(
    ("generation", "config", "token", "expected"),
    [([1, 5], 2, "<eos>", (1, 2, 5)), (7, [7, 8], "<eos>", (2, 7, 8)), (None, None, "<eos>", (2,)), (None, None, None, ())],
)
def test_end_ids_are_those_of_generation_config_config_and_tokenizer_together(generation, config, token, expected):
    model = tiny_random("llama", eos_token_id=config)
    model.generation_config.eos_token_id = generation
    assert end_ids(model, tiny_tokenizer(eos_token=token)) == expected


def test_the_pad_id_is_the_tokenizers_else_the_configs_else_an_end_id():
    model = tiny_random("llama", pad_token_id=9)
    assert pad_id(model, tiny_tokenizer()) == 0
    assert pad_id(model, tiny_tokenizer(pad_token="<eos>")) == 2
    assert pad_id(model, tiny_tokenizer(pad_token=None)) == 9
    assert pad_id(tiny_random("llama", pad_token_id=None), tiny_tokenizer(pad_token=None)) == 2


def test_a_full_policy_has_no_base_inside(tmp_path):
    policy = load_policy(str(save_tiny(tmp_path, "gpt2")), learning_rate=1e-2)
    with pytest.raises(ValueError, match="load that beside it"), policy.base():
        pass


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_without_a_tokenizer_is_refused_with_the_reason(family, tmp_path):
    tiny_random(family).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"has no tokenizer.*save_pretrained"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("name", ["no-such-model", "nobody/nothing-here"])
def test_a_name_that_stands_for_nothing_is_refused_in_one_sentence(name):
    with pytest.raises(UserError, match=f"can't load the model '{name}'") as caught:
        load_model(name)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="it is not a model folder"):
        load_model(str(tmp_path))


def test_a_cut_off_weights_file_is_refused(tmp_path):
    weights = save_tiny(tmp_path, "llama") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match="can't load the model"):
        load_model(str(tmp_path))


def test_text_is_encoded_as_the_tokenizer_does_and_messages_by_the_chat_template():
    tokenizer = tiny_tokenizer()
    messages = [{"role": "user", "content": "w9"}]
    assert encode(tokenizer, "w9 w5") == [9, 5]
    assert encode(tokenizer, messages) == [9]
    tokenizer.chat_template = (
        "{% for m in messages %}<bos> {{ m['content'] }} <eos> {% endfor %}{% if add_generation_prompt %}w7{% endif %}"
    )
    assert encode(tokenizer, messages) == [1, 9, 2, 7]
    assert encode_completion(tokenizer, "w8") == [8]


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_what_was_trained_in_fp32_goes_on_in_fp32(tmp_path, monkeypatch, lora_rank):
    monkeypatch.setattr("rlhub.language.model.has_fast_bfloat16", lambda _: True)
    start = str(save_tiny(tmp_path / "start", "llama"))
    assert load_policy(start, learning_rate=0.0).precision == "bf16"
    for asked, then in (("fp32", "fp32"), ("bf16", "bf16"), ("auto", "bf16")):
        load_policy(start, learning_rate=0.0, precision=asked, lora_rank=lora_rank).save_model(tmp_path / asked)
        once = load_policy(str(tmp_path / asked), learning_rate=0.0, lora_rank=lora_rank)
        once.save_model(tmp_path / asked / "again")
        assert load_scorer(str(tmp_path / asked / "again"), fresh=True).precision == once.precision == then
    assert load_policy(str(tmp_path / "fp32"), learning_rate=0.0, precision="bf16").precision == "bf16"
    monkeypatch.setattr("rlhub.language.model.has_fast_bfloat16", lambda _: False)
    assert load_policy(str(tmp_path / "bf16"), learning_rate=0.0).precision == "fp32"


def test_bfloat16_hides_a_change_that_float32_shows():
    policy = load_policy("tiny", learning_rate=0.0, precision="bf16")
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.copy_(parameter.bfloat16())
        before = logits(policy.model)
        with policy.autocast():
            rounded = logits(policy.model)
        for module in policy.model.model.layers.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.mul_(1 + 2**-10)
        assert not torch.equal(logits(policy.model), before)
        with policy.autocast():
            assert torch.equal(logits(policy.model), rounded)
