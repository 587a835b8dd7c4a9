"""Models that give numbers where a language model gives tokens: reward models, value models, judges of steps.

They are transformers' own classes with a linear head, so their checkpoints are folders that `AutoModelForSequenceClassification` (one
number for a whole answer) or `AutoModelForTokenClassification` (a judgement of each token) loads.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, PreTrainedModel, PreTrainedTokenizerBase

from rlhub.core.devices import best_device
from rlhub.core.errors import UserError
from rlhub.core.seeding import generator
from rlhub.language.hidden import states
from rlhub.language.logprobs import causal_model
from rlhub.language.model import Policy, Precision, adamw, end_ids, load_tokenizer, load_weights, model_source, settled, with_adapters
from rlhub.language.quiet import without_bars
from rlhub.language.rows import Group, completion_mask, joined, micro_batches

SCALE = "reward_scale.json"
HEADS = ("score", "classifier")
"""What transformers' families call the linear map at the end."""


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a head says along completions.

    Attributes:
        values: before each of a completion's tokens and after its last; 0 beyond.
        mask: True at a completion's tokens.
    """

    values: Float[Tensor, "completions tokens_and_one outputs"]
    mask: Bool[Tensor, "completions tokens"]

    @property
    def last(self) -> Float[Tensor, "completions outputs"]:
        """After each completion's last token."""
        return self.values[torch.arange(len(self.mask), device=self.mask.device), self.mask.sum(1)]


def head_name(model: nn.Module) -> str:
    """What a model calls its head."""
    return next(name for name in HEADS if hasattr(model, name))


def head_of(model: nn.Module) -> nn.Linear:
    """A model's head; beside adapters the one that is trained, of the two that peft keeps."""
    head: Any = getattr(model, head_name(model))
    return cast(nn.Linear, head.modules_to_save["default"] if hasattr(head, "modules_to_save") else head)


def read_head(model: nn.Module, groups: Sequence[Group]) -> Outputs:
    """What a model's head says along every completion, in float32."""
    inner = causal_model(model)
    head, hidden = head_of(inner), states(inner, groups)
    with torch.autocast(hidden.device.type, enabled=False):
        values = F.linear(hidden.float(), head.weight.float(), None if head.bias is None else head.bias.float())
    lengths = torch.tensor([len(completion) for group in groups for completion in group.completions], device=hidden.device)
    return Outputs(values=values, mask=completion_mask(lengths))


class Scorer(Policy):
    """A model that scores whole answers by one number, being trained or asked.

    Attributes:
        gain: what scores are multiplied by ...
        bias: ... and what is added then, so that rewards have a scale of their own (`reward_scale.json` beside the weights).
    """

    kind: ClassVar[Any] = AutoModelForSequenceClassification
    outputs: ClassVar[int] = 1

    gain, bias = 1.0, 0.0

    def scaled(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What the head says, on the rewards' own scale."""
        return self.gain * values + self.bias

    @torch.no_grad()
    def read_all(self, groups: Sequence[Group], *, micro_tokens: int) -> Outputs:
        """What the head says along all completions, without gradient, on the CPU.

        Groups of one prompt that follow each other are read as one, as far as that stays within `micro_tokens`.
        """
        read = joined(groups, micro_tokens)
        with self.autocast():
            parts = [
                read_head(self.bare, [read[index] for index in part])
                for part in micro_batches(read, micro_tokens)
                if any(read[index].completions for index in part)
            ]
        longest = max(part.mask.shape[1] for part in parts)
        return Outputs(
            values=torch.cat([F.pad(part.values, (0, 0, 0, longest - part.mask.shape[1])) for part in parts]).cpu(),
            mask=torch.cat([F.pad(part.mask, (0, longest - part.mask.shape[1])) for part in parts]).cpu(),
        )

    def save_model(self, folder: Path) -> None:
        """Write the model, its tokenizer and its scale."""
        super().save_model(folder)
        (folder / SCALE).write_text(json.dumps({"gain": self.gain, "bias": self.bias}) + "\n")

    def load_model(self, folder: Path) -> None:
        """Take what `save_model` wrote."""
        super().load_model(folder)
        self.read_scale(folder)

    def read_scale(self, folder: Path) -> None:
        """Take the scale from a folder, if it says one."""
        if (folder / SCALE).is_file():
            scale = json.loads((folder / SCALE).read_text())
            self.gain, self.bias = float(scale["gain"]), float(scale["bias"])


class Critic:
    """A scorer as what a checkpoint holds beside a policy: what is trained of it and its optimiser, for going on with only."""

    def __init__(self, scorer: Scorer) -> None:
        """Hold it."""
        self._scorer = scorer

    def state_dict(self) -> dict[str, Any]:
        """Its trained weights by name, and its optimiser's state."""
        return {"weights": self._trained, "optimizer": self._scorer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        with torch.no_grad():
            for name, weight in self._trained.items():
                weight.copy_(state["weights"][name])
        self._scorer.load_state_dict(state["optimizer"])

    @property
    def _trained(self) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in self._scorer.bare.named_parameters() if weight.requires_grad}


class StepScorer(Scorer):
    """A model that says of each step of an answer whether it is wrong (0) or right (1)."""

    kind: ClassVar[Any] = AutoModelForTokenClassification
    outputs: ClassVar[int] = 2


def load_scorer(
    name: str,
    *,
    kind: type[Scorer] = Scorer,
    fresh: bool,
    learning_rate: float = 0.0,
    lora_rank: int = 0,
    weight_decay: float = 0.0,
    precision: Precision = "auto",
    device: str | torch.device | None = None,
    seed: int = 0,
) -> Scorer:
    """A scorer, from a scorer's checkpoint or with a fresh head on a language model.

    Args:
        name: what `rlhub.language.model.load_model` takes.
        kind: which.
        fresh: whether a model without a trained head gets one, drawn from a normal distribution with the standard deviation
            1 / sqrt(width + 1) (Stiennon et al. 2020, arXiv:2009.01325, App. B).
        learning_rate: AdamW's step size.
        lora_rank: rank of low-rank adapters on all linear layers but the head, which is trained whole beside them; 0 trains every weight.
        weight_decay: AdamW's decoupled weight decay.
        precision: as `rlhub.language.model.settled` takes it.
        device: where the model is kept; by default the best there is.
        seed: of a fresh head, and of the adapters' first values.

    Raises:
        UserError: the model can't be loaded, or has no trained head where that is asked for.
    """
    source = model_source(name)
    with without_bars():
        model, missing = load_weights(name, source, torch.float32, kind.kind, num_labels=kind.outputs)
        tokenizer = load_tokenizer(name, source)
    head = head_of(model)
    if any(parameter.split(".")[0] in HEADS for parameter in missing):
        if not fresh:
            raise UserError(f"the model {name!r} has no trained head to score answers with; give a run of reward-model or process-reward")
        draw = generator(seed, "head")
        with torch.no_grad():
            head.weight.copy_(torch.randn(head.weight.shape, generator=draw) / (head.in_features + 1) ** 0.5)
            if head.bias is not None:
                head.bias.zero_()
    pad = pad_apart(model, tokenizer)
    model.config.pad_token_id = pad
    if pad is not None and pad != tokenizer.pad_token_id:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)
    nn.Module.to(model, device or best_device())
    trained = with_adapters(model, lora_rank, 2 * lora_rank, seed=seed, head=head_name(model)) if lora_rank else model
    optimizer = adamw(trained, learning_rate=learning_rate, weight_decay=weight_decay)
    scorer = kind(trained.eval(), tokenizer, optimizer, precision=settled(precision, model))
    if Path(source).is_dir():
        scorer.read_scale(Path(source))
    return scorer


def pad_apart(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """A padding token that ends no text, so that transformers, which scores at the last token that is none, sees an answer's end token too.

    None where the tokenizer has no such token: transformers then takes the last of all.
    """
    ends = end_ids(model, tokenizer)
    candidates = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id, *tokenizer.added_tokens_decoder)
    return next((token for token in candidates if token is not None and token not in ends), None)
