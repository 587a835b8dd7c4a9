"""Attention over sequences that share their prompt, run inside an unmodified transformers model.

Every family that follows transformers' attention interface calls one function with its queries, keys and values and forwards the keywords
of the model's call. A `Layout` passed as such a keyword says which tokens belong together, so that no square mask over a packed row is ever
formed: the prompts attend to themselves once, the completions attend to their prompt's keys and to their own past. Everything outside
attention works token by token and needs to know nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

INTERFACE = "rlhub_layout"


@runtime_checkable
class Layout(Protocol):
    """Which tokens of a call attend to which: told to the attention layers of one forward pass."""

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "batch heads tokens head_dim"],
        key: Float[Tensor, "batch kv_heads tokens head_dim"],
        value: Float[Tensor, "batch kv_heads tokens head_dim"],
        *,
        scale: float,
        window: int | None,
        softcap: float | None,
    ) -> Float[Tensor, "batch tokens heads head_dim"]:
        """The attention's output for every token of the call, before the output projection."""


def layout_attention(
    module: nn.Module,
    query: Float[Tensor, "batch heads tokens head_dim"],
    key: Float[Tensor, "batch kv_heads tokens head_dim"],
    value: Float[Tensor, "batch kv_heads tokens head_dim"],
    attention_mask: Tensor | None,
    *,
    layout: Layout,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Float[Tensor, "batch tokens heads head_dim"], None]:
    """transformers' attention interface over a `Layout`; without dropout, because log-probs must be those of the policy that sampled."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    dtype = value.dtype
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    output = layout.attend(layer, query.to(dtype), key.to(dtype), value, scale=scale, window=sliding_window, softcap=softcap)
    return output, None


AttentionInterface.register(INTERFACE, layout_attention)


@contextmanager
def layouts(model: PreTrainedModel) -> Iterator[None]:
    """Within the block, the model's attention layers follow the `layout` keyword of its call."""
    before = model.config._attn_implementation
    model.config._attn_implementation = INTERFACE
    try:
        yield
    finally:
        model.config._attn_implementation = before


class Ragged:
    """Sequences of different lengths, end to end and the rectangle [sequences, longest] that holds them, padded on the right."""

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        self.lengths = torch.tensor(list(lengths), device=device)
        self.count, self.longest, self.total = len(lengths), max(lengths, default=0), sum(lengths)
        self.even = self.total == self.count * self.longest
        if not self.even:
            starts = self.lengths.cumsum(0) - self.lengths
            steps = torch.arange(self.longest, device=device)
            self.valid = steps < self.lengths[:, None]
            self._gather = torch.where(self.valid, starts[:, None] + steps, 0).flatten()
            self._scatter = self.valid.flatten().nonzero().flatten()

    def pad(self, packed: Tensor) -> Tensor:
        """[total, ...] to [sequences, longest, ...]; what lies in the padding is some other token's and must be masked."""
        if not self.even:
            packed = packed.index_select(0, self._gather)
        return packed.reshape(self.count, self.longest, *packed.shape[1:])

    def pack(self, padded: Tensor) -> Tensor:
        """[sequences, longest, ...] to [total, ...]."""
        flat = padded.flatten(0, 1)
        return flat if self.even else flat.index_select(0, self._scatter)


class Branches:
    """Prompts and their completions packed into one row: first all prompts, end to end, then all completions, prompt by prompt.

    What all prompts begin with may stand before them, once; they attend to it as completions attend to their prompt.

    Args:
        prompts: each prompt's length in tokens, without that beginning, at least 1.
        branches: for each prompt, the length of each of its completions; may be 0.
        device: where the model runs.
        beginning: how many tokens all prompts begin with.
        keep: remember the keys and values of the prompts, from their beginning on (`held[layer]`), for decoding to go on from.
    """

    def __init__(
        self, prompts: Sequence[int], branches: Sequence[Sequence[int]], device: torch.device, *, beginning: int = 0, keep: bool = False
    ) -> None:
        self.prompts = Ragged(prompts, device)
        self.branches = Ragged([length for group in branches for length in group], device)
        self._beginning, self._longest = beginning, beginning + self.prompts.longest
        sizes = [len(group) for group in branches]
        self._group = sizes[0] if len(set(sizes)) == 1 else None
        self._prompt_of = torch.repeat_interleave(torch.arange(len(sizes), device=device), torch.tensor(sizes, device=device))
        self._device = device
        self._keep = keep
        self.held: dict[
            int, tuple[Float[Tensor, "prompts longest kv_heads head_dim"], Float[Tensor, "prompts longest kv_heads head_dim"]]
        ] = {}
        self._biases: dict[tuple[str, int, int | None, torch.dtype], Tensor] = {}

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "1 heads tokens head_dim"],
        key: Float[Tensor, "1 kv_heads tokens head_dim"],
        value: Float[Tensor, "1 kv_heads tokens head_dim"],
        *,
        scale: float,
        window: int | None,
        softcap: float | None,
    ) -> Float[Tensor, "1 tokens heads head_dim"]:
        """See `Layout.attend`.

        On a CPU in float32 whatever the precision, as in the decoder: the backward pass of bfloat16 attention takes up to twice as long
        there (torch 2.13, up to some hundred keys).
        """
        if query.device.type == "cpu" and query.dtype == torch.bfloat16:
            with torch.autocast("cpu", enabled=False):
                wide = (x.float() for x in (query, key, value))
                return self.attend(layer, *wide, scale=scale, window=window, softcap=softcap).to(query.dtype)
        split = (self._beginning, self.prompts.total, self.branches.total)
        (first_query, query, branch_query), (first_key, key, branch_key), (first_value, value, branch_value) = (
            x.squeeze(0).transpose(0, 1).split(split) for x in (query, key, value)
        )
        query, key, value = self.prompts.pad(query), self.prompts.pad(key), self.prompts.pad(value)
        repeats = query.shape[2] // key.shape[2]
        outputs = []
        if self._beginning:
            bias = self._causal_bias(0, self._beginning, repeats, window, query.dtype, softcap)
            outputs.append(_attention(first_query[None], first_key[None], first_value[None], bias, scale, softcap)[0])
            key, value = (
                torch.cat([x.expand(self.prompts.count, *x.shape), rest], 1) for x, rest in ((first_key, key), (first_value, value))
            )
        if self._keep:
            self.held[layer] = key, value
        bias = self._causal_bias(self._beginning, self._longest, repeats, window, query.dtype, softcap)
        outputs.append(self.prompts.pack(_attention(query, key, value, bias, scale, softcap)))
        if self.branches.total:
            own_key, own_value = self.branches.pad(branch_key), self.branches.pad(branch_value)
            keys = torch.cat([self._spread(key), own_key], 1)
            values = torch.cat([self._spread(value), own_value], 1)
            bias = self._branch_bias(repeats, window, query.dtype)
            outputs.append(self.branches.pack(_attention(self.branches.pad(branch_query), keys, values, bias, scale, softcap)))
        return torch.cat(outputs)[None]

    def _spread(self, x: Float[Tensor, "prompts ..."]) -> Float[Tensor, "branches ..."]:
        if self._group is None:
            return x.index_select(0, self._prompt_of)
        return x[:, None].expand(-1, self._group, *x.shape[1:]).flatten(0, 1)

    def _causal_bias(
        self, first: int, longest: int, repeats: int, window: int | None, dtype: torch.dtype, softcap: float | None
    ) -> Tensor | None:
        """Of the queries from the first place on, with keys from the beginning on; None where attention is causal without being told."""
        if window is not None and window >= longest:
            window = None
        if first == 0 and window is None and softcap is None:
            return None
        name = (f"from {first}", repeats, window, dtype)
        if name not in self._biases:
            at = torch.arange(longest, device=self._device)
            self._biases[name] = position_bias(at[first:, None], at[None, :], window, dtype).repeat(repeats, 1)
        return self._biases[name]

    def _branch_bias(self, repeats: int, window: int | None, dtype: torch.dtype) -> Tensor:
        longest = self._longest + self.branches.longest
        if window is not None and window >= longest:
            window = None
        name = ("branch", repeats, window, dtype)
        if name not in self._biases:
            lengths = self._beginning + (self.prompts.lengths[:1] if self.prompts.even else self.prompts.lengths[self._prompt_of])
            steps = torch.arange(self.branches.longest, device=self._device)
            own = lengths[:, None] + steps
            at = torch.arange(self._longest, device=self._device).expand(len(lengths), -1)
            # A key in a short prompt's padding gets a position after every query, so that the causal rule alone hides it.
            keys = torch.cat([torch.where(at < lengths[:, None], at, longest), own], 1)
            bias = position_bias(own[:, :, None], keys[:, None, :], window, dtype).repeat(1, repeats, 1)
            self._biases[name] = bias[0] if self.prompts.even else bias[:, None]
        return self._biases[name]


def position_bias(query_at: Int[Tensor, "*shape"], key_at: Int[Tensor, "*shape2"], window: int | None, dtype: torch.dtype) -> Tensor:
    """0 where a query sees a key, minus infinity where not: keys not after it, and nearer than the window."""
    seen = key_at <= query_at
    if window is not None:
        seen = seen & (key_at > query_at - window)
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)


def _attention(
    query: Float[Tensor, "rows queries heads head_dim"],
    key: Float[Tensor, "rows keys kv_heads head_dim"],
    value: Float[Tensor, "rows keys kv_heads head_dim"],
    bias: Tensor | None,
    scale: float,
    softcap: float | None,
) -> Float[Tensor, "rows queries heads head_dim"]:
    """Causal attention where no bias is given, else grouped-query attention whose query heads of one key head lie end to end as queries.

    So laid, they share their keys without a copy for each head.
    """
    rows, queries, heads, width = query.shape
    kv_heads = key.shape[2]
    if bias is None:
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=heads != kv_heads).transpose(1, 2)
    folded = query.transpose(1, 2).reshape(rows, kv_heads, (heads // kv_heads) * queries, width)
    key, value = key.transpose(1, 2), value.transpose(1, 2)
    if softcap is None:
        output = F.scaled_dot_product_attention(folded, key, value, attn_mask=bias, scale=scale)
    else:
        scores = softcap * torch.tanh(folded @ key.transpose(2, 3) * scale / softcap) + bias
        output = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype) @ value
    return output.reshape(rows, heads, queries, width).transpose(1, 2)
