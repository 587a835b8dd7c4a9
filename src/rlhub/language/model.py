"""Language models as they are loaded, and the policy: a model with what training it needs."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from jinja2 import TemplateError
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.pytorch_utils import Conv1D

from rlhub.core.checkpoint import find_checkpoint
from rlhub.core.devices import best_device, has_fast_bfloat16
from rlhub.core.errors import UserError
from rlhub.core.seeding import derive
from rlhub.language.hub import ask_for_model
from rlhub.language.quiet import without_bars
from rlhub.language.smollm2 import smollm2_folder
from rlhub.language.tiny import tiny_folder

Precision = Literal["auto", "fp32", "bf16"]
ADAPTER = "adapter"
PRECISION = "trained_precision"
"""Where a checkpoint's config.json tells it."""
UNKNOWN = "it is no alias, run or folder, and the hub doesn't give it"


def model_source(name: str) -> str:
    """What a model's name stands for: a folder that exists, or else a hub id as it was given.

    Looked up in this order: `smollm2`, `tiny`; a run's or checkpoint's folder; a run's name, or `NAME@STEP`; a folder; a hub id.
    """
    if name == "smollm2":
        return str(smollm2_folder())
    if name == "tiny":
        return str(tiny_folder())
    return str(find_checkpoint(name) or name)


def load_model(
    name: str, *, dtype: torch.dtype = torch.float32, device: str | torch.device | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model in evaluation mode (no dropout) and its tokenizer.

    Args:
        name: `smollm2`, `tiny`, a hub id, a folder, a run's name or folder (its newest checkpoint), or `RUN@STEP`.
        dtype: what its parameters are kept in.
        device: where they are kept; by default the best there is.

    Raises:
        UserError: nothing of that name can be loaded, or it has no tokenizer, or nothing that says which token follows.
    """
    source = model_source(name)
    with without_bars():
        model, missing = load_weights(name, source, dtype)
        tokenizer = load_tokenizer(name, source)
    # transformers draws what is missing, and counts as there what is tied to the input's embedding
    unembedding = model.get_output_embeddings()
    if any(f"{place}.weight" in missing for place, module in model.named_modules() if module is unembedding):
        raise UserError(
            f"the model {name!r} can't write: it has no unembedding, as a reward model or a judge of steps has none; give a language model"
        )
    nn.Module.to(model, device or best_device())
    return model.eval(), tokenizer


def load_weights(
    name: str, source: str, dtype: torch.dtype, kind: Any = AutoModelForCausalLM, **options: Any
) -> tuple[PreTrainedModel, set[str]]:
    """The model at `source` on the CPU, with the head of `kind`, and the parameters that were not there; `name` is what it was asked as."""
    local = Path(source).is_dir()
    try:
        if not local:
            ask_for_model(source)
        model, told = kind.from_pretrained(source, dtype=dtype, use_safetensors=True, output_loading_info=True, **options)
        return model, set(told["missing_keys"])
    except Exception as error:  # transformers, the hub client and safetensors raise a dozen kinds
        reason = "it is not a model folder that can be read" if local else UNKNOWN
        raise UserError(f"can't load the model {name!r}: {reason} ({first_line(error)})") from error


def load_tokenizer(name: str, source: str) -> PreTrainedTokenizerBase:
    """The tokenizer at `source`; `name` is what the person called it.

    One that was saved as a plain `tokenizers` pipeline is read as that: for some families transformers would put the family's own
    pipeline in its place.
    """
    try:
        if not Path(source).is_dir():
            ask_for_model(source)
    except Exception as error:  # as for the weights
        raise UserError(f"can't load the model {name!r}: {UNKNOWN} ({first_line(error)})") from error
    try:
        plain = get_tokenizer_config(source).get("tokenizer_class") in ("TokenizersBackend", "PreTrainedTokenizerFast")
        tokenizer = (PreTrainedTokenizerFast if plain else AutoTokenizer).from_pretrained(source)
    except Exception as error:  # as for the weights
        raise UserError(f"{without_tokenizer(name, source)} ({first_line(error)})") from error
    # where files are missing, some families' classes give an empty tokenizer and no error
    if len(tokenizer) <= len(tokenizer.added_tokens_decoder):
        raise UserError(without_tokenizer(name, source))
    return tokenizer


def without_tokenizer(name: str, source: str) -> str:
    """The sentence for a model that lacks its tokenizer."""
    return f"the model {name!r} has no tokenizer that can be read in {source}; save its tokenizer there with save_pretrained"


def first_line(error: Exception) -> str:
    """An exception's message up to its first line break."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def encode(tokenizer: PreTrainedTokenizerBase, prompt: str | list[dict[str, str]]) -> list[int]:
    """A prompt's token ids: text as the tokenizer encodes it (with whatever it puts in front), messages by its chat template.

    Messages for a tokenizer without a chat template become their contents, one after another, each followed by an empty line.

    Raises:
        UserError: the chat template refuses the messages, as some do a system's.
    """
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    if tokenizer.chat_template is None:
        return list(tokenizer("".join(message["content"] + "\n\n" for message in prompt))["input_ids"])
    try:
        return list(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=False))
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in prompt)
        raise UserError(f"the model's chat template refuses messages of {roles}: {first_line(error)}") from error


def encode_completion(tokenizer: PreTrainedTokenizerBase, completion: str) -> list[int]:
    """A completion's token ids, with no special token added at either end."""
    return list(tokenizer(completion, add_special_tokens=False)["input_ids"])


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """All ids that end a text, sorted: the generation config's, the config's and the tokenizer's (each one, several or none) together."""
    generation = getattr(model, "generation_config", None)
    named = [getattr(generation, "eos_token_id", None), getattr(model.config, "eos_token_id", None), tokenizer.eos_token_id]
    found: set[int] = set()
    for ids in named:
        found.update(ids if isinstance(ids, list | tuple) else [] if ids is None else [ids])
    return tuple(sorted(found))


@cache
def turn_end(tokenizer: PreTrainedTokenizerBase, ends: tuple[int, ...]) -> int | None:
    """The token that ends an assistant's turn in a tokenizer's chat template, of those that end a text; None where there is none."""
    if tokenizer.chat_template is None:
        return None
    asked = [{"role": "user", "content": "a"}]
    before, whole = (
        list(tokenizer.apply_chat_template(messages, add_generation_prompt=opened, tokenize=True, return_dict=False))
        for messages, opened in ((asked, True), ([*asked, {"role": "assistant", "content": "b"}], False))
    )
    return next((token for token in whole[len(before) :] if token in ends), None)


def pad_id(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills a batch's gaps; it may equal an end id, and masks are never inferred from it."""
    ends = end_ids(model, tokenizer)
    for candidate in (tokenizer.pad_token_id, getattr(model.config, "pad_token_id", None), *ends):
        if candidate is not None:
            return int(candidate)
    return 0


class Policy:
    """A model being trained: float32 master weights, their optimiser, and what batches need to know about the tokenizer.

    Attributes:
        model: the model, in evaluation mode (dropout would make its probabilities random); with LoRA a `PeftModel`.
        tokenizer: the model's tokenizer.
        optimizer: AdamW over the trainable parameters.
        device: where the model is.
        precision: "fp32", or "bf16": matrix products in bfloat16 on float32 master weights.
        end_ids: all ids that end a text.
        pad_id: the id that fills gaps.
        lora: whether only adapters are trained.
    """

    kind: ClassVar[Any] = AutoModelForCausalLM

    def __init__(
        self, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, optimizer: torch.optim.Optimizer, *, precision: str
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.optimizer = optimizer
        self.precision = precision
        self.lora = isinstance(model, PeftModel)
        self.device = next(model.parameters()).device
        self.end_ids = end_ids(self.bare, tokenizer)
        self.pad_id = pad_id(self.bare, tokenizer)

    @property
    def bare(self) -> PreTrainedModel:
        """The transformers model itself, under the adapters if there are any."""
        return cast(PreTrainedModel, self.model.get_base_model()) if isinstance(self.model, PeftModel) else self.model

    @property
    def trainable(self) -> list[nn.Parameter]:
        """The parameters that training changes."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context in which to run the model at the policy's precision.

        Each weight is cast once per context and the copy is kept until its end, so one context should hold a whole forward pass or
        roll-out, but never both a pass without gradient and one with: the copy made without gradient would cut the second one's graph.
        """
        if self.precision == "fp32":
            yield
            return
        # autocast keeps copies only of weights that require a gradient; where none is computed, frozen ones may say so too
        frozen = [] if torch.is_grad_enabled() else [parameter for parameter in self.model.parameters() if not parameter.requires_grad]
        try:
            for parameter in frozen:
                parameter.requires_grad_(True)
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)

    @contextmanager
    def base(self) -> Iterator[PreTrainedModel | PeftModel]:
        """The model as it was before training, inside the block: adapters switched off.

        Raises:
            ValueError: the policy has no adapters, so that nothing of the starting model is left in it.
        """
        if not isinstance(self.model, PeftModel):
            raise ValueError("a fully trained policy doesn't hold its starting model; load that beside it with load_model")
        with self.model.disable_adapter():
            yield self.model

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state: for each trainable parameter in order its moments and step count, and the hyper-parameters."""
        state = self.optimizer.state_dict()
        order = range(len(self.trainable))
        groups = [{name: value for name, value in group.items() if name != "params"} for group in state["param_groups"]]
        return {"moments": [state["state"].get(index, {}) for index in order], "groups": groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        current = self.optimizer.state_dict()
        groups = [dict(saved, params=own["params"]) for saved, own in zip(state["groups"], current["param_groups"], strict=True)]
        for group in groups:
            if "betas" in group:
                group["betas"] = tuple(group["betas"])
        moments = {index: saved for index, saved in enumerate(state["moments"]) if saved}
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def save_model(self, folder: Path) -> None:
        """Write the model and its tokenizer so that `from_pretrained(folder)` loads them.

        With LoRA these are the merged weights, and the adapters themselves lie in `adapter/` in PEFT's form.
        """
        with without_bars():
            if isinstance(self.model, PeftModel):
                self.bare.save_pretrained(folder, state_dict=merged_weights(self.model))
                self.model.save_pretrained(str(folder / ADAPTER), save_embedding_layers=False)
            else:
                self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def load_model(self, folder: Path) -> None:
        """Take the weights that `save_model` wrote, bit for bit."""
        if isinstance(self.model, PeftModel):
            set_peft_model_state_dict(self.model, load_file(folder / ADAPTER / "adapter_model.safetensors"))
            return
        with without_bars():
            saved = self.kind.from_pretrained(folder, dtype=torch.float32)
        self.model.load_state_dict(saved.state_dict())


def merged_weights(model: PeftModel) -> dict[str, Tensor]:
    """The weights of the model that computes what the base and its adapters compute together: W + scale * B A for each adapted W.

    A head that is trained whole beside the adapters is taken as it is.

    The adapted model itself is left untouched; merging it in place and back again would change the base by rounding.
    """
    base = model.get_base_model()
    modules = dict(base.named_modules())
    merged = {}
    for name, tensor in base.state_dict().items():
        if "lora_" in name:
            continue
        if ".original_module." in name:  # the head as it was before training, which peft keeps beside the trained one
            continue
        if name.endswith(".base_layer.weight"):
            adapted: Any = modules[name.removesuffix(".base_layer.weight")]
            tensor = tensor + adapted.get_delta_weight("default").to(tensor.dtype)
        merged[name.replace(".base_layer.", ".").replace(".modules_to_save.default.", ".")] = tensor
    return merged


def load_policy(
    name: str,
    *,
    learning_rate: float,
    lora_rank: int = 0,
    lora_alpha: int | None = None,
    precision: Precision = "auto",
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    device: str | torch.device | None = None,
    seed: int = 0,
) -> Policy:
    """A model ready to be trained by AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101).

    Args:
        name: what `load_model` takes.
        learning_rate: AdamW's step size.
        lora_rank: rank of the low-rank adapters (Hu et al. 2021, arXiv:2106.09685) on all linear layers but the unembedding; 0 trains
            every weight.
        lora_alpha: the adapters' scale is lora_alpha / lora_rank; by default twice the rank.
        precision: as `settled` takes it.
        betas: AdamW's decay rates.
        weight_decay: AdamW's decoupled weight decay.
        device: where the model is kept; by default the best there is.
        seed: of the adapters' first values.

    Raises:
        UserError: the model can't be loaded.
    """
    loaded, tokenizer = load_model(name, device=device)
    model = with_adapters(loaded, lora_rank, lora_alpha or 2 * lora_rank, seed=seed) if lora_rank else loaded
    optimizer = adamw(model, learning_rate=learning_rate, betas=betas, weight_decay=weight_decay)
    return Policy(model, tokenizer, optimizer, precision=settled(precision, loaded))


def adamw(
    model: nn.Module, *, learning_rate: float, weight_decay: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """AdamW over a model's trainable parameters."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trainable, lr=learning_rate, betas=betas, weight_decay=weight_decay, fused=True)


def settled(precision: Precision, model: PreTrainedModel) -> Literal["fp32", "bf16"]:
    """The precision at which a model computes, which its checkpoints tell if it was asked for.

    Rounded to bfloat16, a weight that was a bfloat16 number doesn't show a change smaller than half the distance to the next one. So what
    was trained in fp32 goes on and answers in fp32.

    Args:
        precision: "fp32", "bf16", or "auto": bf16 where the device computes it fast, unless the model was last trained in fp32 because
            that was asked for; else fp32.
        model: which is told.
    """
    told: Any = model.config
    if precision == "auto":
        kept = getattr(told, PRECISION, None)
        return "bf16" if has_fast_bfloat16(model.device) and kept != "fp32" else "fp32"
    setattr(told, PRECISION, precision)
    return precision


def with_adapters(model: PreTrainedModel, rank: int, alpha: int, *, seed: int, head: str | None = None) -> PeftModel:
    """The model with low-rank adapters on all linear layers but the unembedding; only they are trained, and at first they do nothing.

    Args:
        model: what gets them; its weights are shared, not copied.
        rank: of the adapters.
        alpha: their scale is alpha / rank.
        seed: of their first values.
        head: the name of a layer that is trained whole beside them and gets none.
    """
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules="all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        modules_to_save=[head] if head else None,
        exclude_modules=[head] if head else None,
        task_type=None if head else "CAUSAL_LM",
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's own affair
        torch.manual_seed(derive(seed, "adapters"))
        adapted = get_peft_model(model, config)
    adapted.eval()
    return cast(PeftModel, adapted)
