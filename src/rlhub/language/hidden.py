"""Final hidden states along completions: what log-probs, values and rewards are read from.

A completion of n tokens has n + 1 states: one before each of its tokens (the first is the prompt's last), and one after its last.
Log-probs and values belong to the first n, a reward model's score to the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from rlhub.core.errors import UserError
from rlhub.language.attention import layouts
from rlhub.language.rows import Group, Row, pack


@dataclass(frozen=True, kw_only=True)
class Laid:
    """Completions in rows of their own, each with its prompt before it.

    Attributes:
        ids: token ids, 0 in the gaps.
        mask: True at tokens.
        positions: each token's position in its own sequence.
        rows: for each completion token, the row and ...
        columns: ... the column of the place that predicts it.
        targets: the completion tokens.
        lengths: each completion's length.
    """

    ids: Int[Tensor, "completions tokens"]
    mask: Int[Tensor, "completions tokens"]
    positions: Int[Tensor, "completions tokens"]
    rows: Int[Tensor, " targets"]
    columns: Int[Tensor, " targets"]
    targets: Int[Tensor, " targets"]
    lengths: Int[Tensor, " completions"]


def lay(groups: Sequence[Group], device: torch.device, *, padding_side: str = "right") -> Laid:
    """Every completion in a row of its own."""
    sequences = [(group.prompt, completion) for group in groups for completion in group.completions]
    longest = max(len(prompt) + len(completion) for prompt, completion in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    rows: list[int] = []
    columns: list[int] = []
    for row, (prompt, completion) in enumerate(sequences):
        start = longest - len(prompt) - len(completion) if padding_side == "left" else 0
        ids[row, start : start + len(prompt) + len(completion)] = torch.tensor(prompt + completion)
        mask[row, start : start + len(prompt) + len(completion)] = 1
        first = start + len(prompt) - 1
        rows += [row] * len(completion)
        columns += range(first, first + len(completion))
    made = {
        "ids": ids,
        "mask": mask,
        "positions": (mask.cumsum(1) - 1).clamp(min=0),
        "rows": torch.tensor(rows, dtype=torch.long),
        "columns": torch.tensor(columns, dtype=torch.long),
        "targets": torch.tensor([token for _, completion in sequences for token in completion], dtype=torch.long),
        "lengths": torch.tensor([len(completion) for _, completion in sequences]),
    }
    return Laid(**{name: value.to(device) for name, value in made.items()})


def room_of(model: PreTrainedModel) -> int | None:
    """How many positions a model was made for; None where its config doesn't say."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def check_room(model: PreTrainedModel, groups: Sequence[Group]) -> None:
    """Refuse rows that are longer than a model was made for: some fail on them in their own words, others go on and compute nonsense.

    Raises:
        UserError: a prompt with a completion doesn't fit.
    """
    room = room_of(model)
    lengths = [(len(group.prompt) + len(completion), len(group.prompt)) for group in groups for completion in group.completions]
    longest, prompt = max(lengths, default=(0, 0))
    if room is not None and longest > room:
        raise UserError(
            f"a prompt of {prompt} tokens and an answer of {longest - prompt} don't fit the model's {room} positions; leave the row out, "
            "or shorten it"
        )


def together(model: PreTrainedModel, groups: Sequence[Group]) -> tuple[Float[Tensor, "targets width"], Row]:
    """The states that predict the completions' tokens, all groups in one row; and that row."""
    check_room(model, groups)
    return _together(model, groups)


def _together(model: PreTrainedModel, groups: Sequence[Group]) -> tuple[Float[Tensor, "targets width"], Row]:
    row = pack(groups, model.device)
    with layouts(model):
        hidden = model.base_model(input_ids=row.ids, position_ids=row.positions, use_cache=False, layout=row.layout)[0].squeeze(0)
    return hidden.index_select(0, row.sources), row


def apart(model: PreTrainedModel, groups: Sequence[Group]) -> tuple[Float[Tensor, "targets width"], Laid]:
    """The same states with each completion in a row of its own: for models whose layers cannot follow a layout."""
    check_room(model, groups)
    return _apart(model, groups)


def _apart(model: PreTrainedModel, groups: Sequence[Group]) -> tuple[Float[Tensor, "targets width"], Laid]:
    laid = lay(groups, model.device)
    # Nothing is read after the longest sequence's last token, so that its column, for which there may be no position, is not fed.
    ids, mask, positions = (x[:, : max(x.shape[1] - 1, 1)] for x in (laid.ids, laid.mask, laid.positions))
    hidden = model.base_model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)[0]
    return hidden[laid.rows, laid.columns], laid


def states(model: PreTrainedModel, groups: Sequence[Group]) -> Float[Tensor, "completions tokens_and_one width"]:
    """All n + 1 states of each completion, 0 beyond.

    Raises:
        UserError: a prompt with a completion doesn't fit.
    """
    check_room(model, groups)
    # A last token is never fed, so one more, whichever it is, shows the state after the last real one. It needs no room of its own.
    longer = [Group(prompt=group.prompt, completions=[[*completion, 0] for completion in group.completions]) for group in groups]
    hidden, placed = _together(model, longer) if follows_layouts(model) else _apart(model, longer)
    lengths = placed.lengths
    places = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
    return hidden.new_zeros(*places.shape, hidden.shape[-1]).masked_scatter(places[..., None], hidden)


_probed: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def follows_layouts(model: PreTrainedModel) -> bool:
    """Whether this model can read completions that share their prompt in one row: tried once on a few tokens and compared, not assumed."""
    if model not in _probed:
        _probed[model] = _probe(model)
    return _probed[model]


@torch.no_grad()
def _probe(model: PreTrainedModel) -> bool:
    config = model.config.get_text_config()
    if not set(getattr(config, "layer_types", None) or ["full_attention"]) <= {"full_attention", "sliding_attention"}:
        return False
    some = [(7 * index + 3) % config.vocab_size for index in range(9)]
    groups = [Group(prompt=some[:3], completions=[some[3:6], some[5:7]]), Group(prompt=some[6:8], completions=[some[:4]])]
    try:
        with torch.autocast(model.device.type, enabled=False):
            one, other = together(model, groups)[0].float(), apart(model, groups)[0].float()
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return False
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.1
    return bool((one - other).abs().max() <= tolerance * other.abs().max().clamp(min=1))
