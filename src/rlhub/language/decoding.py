"""Models that continue many texts at once, a token a step, from keys and values they computed once.

A decoder is prefilled with the prompts, then stepped: it takes each row's newest token and gives the logits of the next. Rows that ended
are dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from rlhub.language.attention import layouts, position_bias
from rlhub.language.logprobs import Unembedding, shares_prompts
from rlhub.language.rows import Group, pack

LONG = 32
"""Tokens from which on a prompt's keys are shared by its group rather than copied for each row."""
RECORDED = 8
"""Steps from which on recording one as a CUDA graph costs less than it gains."""


@runtime_checkable
class Decoder(Protocol):
    """Continues `rows` texts in step."""

    def prefill(self) -> Float[Tensor, "rows vocabulary"]:
        """Read the prompts; the logits of each row's first token."""

    def step(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocabulary"]:
        """Append a token to each row; the logits of the next."""

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with these rows only."""


def decoder_for(model: PreTrainedModel, prompts: Sequence[list[int]], group: int, max_new_tokens: int) -> Decoder:
    """The decoder for this model: `group` rows for each prompt, in the prompts' order."""
    if not shares_prompts(model):
        return CacheDecoder(model, prompts, group, max_new_tokens)
    kind = GraphDecoder if model.device.type == "cuda" and max_new_tokens >= RECORDED else LayoutDecoder
    return kind(model, prompts, group, max_new_tokens)


def extended(prompts: Sequence[list[int]]) -> list[int]:
    """For each prompt the index of the longest that begins with it, itself where there is none: only those need to be read.

    Such are the prompts from which a solution is finished after each of its steps.
    """
    longest = list(range(len(prompts)))
    # In the order of their tokens, a prompt that begins another also begins the very next one.
    order = sorted(range(len(prompts)), key=lambda index: prompts[index], reverse=True)
    for after, index in pairwise(order):
        if prompts[after][: len(prompts[index])] == prompts[index]:
            longest[index] = longest[after]
    return longest


class LayoutDecoder:
    """Decodes with keys and values in preallocated memory, which the attention layers reach through the layout of the call.

    A long prompt's keys and values are kept once for its whole group, each row's own beside them; a short one's are copied to the front of
    each row's own, which takes fewer products. A prompt with which another one begins is read with that one. Attention is computed in
    float32 whatever the precision: it reads more than it computes, and scores rounded to bfloat16 would not be those that training sees.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[list[int]], group: int, max_new_tokens: int) -> None:
        self._model, self._prompts, self._group, self._room = model, prompts, group, max_new_tokens
        self._head, self._unembedding = model.get_output_embeddings(), Unembedding.of(model)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=model.device).repeat_interleave(group)
        self._longest = int(lengths.max())
        self._even = bool((lengths == self._longest).all())
        slots = torch.arange(self._longest + max_new_tokens, device=model.device)
        own = lengths[:, None] + slots[None, :max_new_tokens]
        before = slots[: self._longest].expand(len(lengths), -1)
        # What pads a short prompt gets a position after every query's, so that the causal rule alone hides it.
        self._positions = torch.cat([torch.where(before < lengths[:, None], before, len(slots)), own], 1)
        self._written = 0  # tokens of their own that the rows hold
        self._shares = group > 1 and self._longest >= LONG
        self._rows = _Rows.full(len(prompts), group, model.device)
        self._layers: dict[int, _Memory] = {}
        self._biases: dict[int | None, Float[Tensor, "rows 1 1 slots"] | None] = {}

    def prefill(self) -> Float[Tensor, "rows vocabulary"]:
        """See `Decoder`."""
        longest = extended(self._prompts)
        read = sorted(set(longest))
        row = pack([Group(prompt=self._prompts[index], completions=[]) for index in read], self._model.device, keep=True)
        places = {index: place for place, index in enumerate(read)}
        within = torch.tensor([places[index] for index in longest], device=self._model.device)
        with layouts(self._model):
            hidden = self._model.base_model(input_ids=row.ids, position_ids=row.positions, use_cache=False, layout=row.layout)[0][0]
        for layer in list(row.layout.held):
            # What lies beyond a prompt's own length is hidden by the positions.
            keys, values = (x[within].float().transpose(1, 2).contiguous() for x in row.layout.held.pop(layer))
            self._layers[layer] = self._memory(keys, values)
        beyond = [len(self._prompts[index]) - len(prompt) for index, prompt in zip(longest, self._prompts, strict=True)]
        last = row.ends[within] - torch.tensor(beyond, device=self._model.device)
        return self._unembedding.scaled(self._head(hidden[last])).repeat_interleave(self._group, 0)

    def step(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocabulary"]:
        """See `Decoder`."""
        self._biases.clear()
        positions = self._positions[:, self._longest + self._written, None]
        with layouts(self._model):
            hidden = self._model.base_model(input_ids=tokens[:, None], position_ids=positions, use_cache=False, layout=self)[0][:, 0]
        self._written += 1
        return self._unembedding.scaled(self._head(hidden))

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """See `Decoder`."""
        self._positions = self._positions[rows]
        self._rows, prompts = self._rows.keep(rows)
        self._layers = {layer: memory.keep(rows, prompts) for layer, memory in self._layers.items()}

    def attend(
        self,
        layer: int,
        query: Float[Tensor, "rows heads 1 head_dim"],
        key: Float[Tensor, "rows kv_heads 1 head_dim"],
        value: Float[Tensor, "rows kv_heads 1 head_dim"],
        *,
        scale: float,
        window: int | None,
        softcap: float | None,
    ) -> Float[Tensor, "rows 1 heads head_dim"]:
        """See `rlhub.language.attention.Layout`."""
        memory = self._layers[layer]
        keys, values = self._remember(memory, key, value)
        rows, heads, _, width = query.shape
        kv_heads = key.shape[1]
        with torch.autocast(query.device.type, enabled=False):
            folded = query.float().mul(scale).reshape(rows, kv_heads, heads // kv_heads, width)
            scores = folded @ keys.transpose(2, 3)
            if self._shares:
                scores = torch.cat([self._rows.each(self._rows.together(folded) @ memory.prompt_keys.transpose(2, 3)), scores], -1)
            if softcap is not None:
                scores = softcap * torch.tanh(scores / softcap)
            bias = self._bias(window)
            weights = torch.softmax(scores if bias is None else scores + bias, -1)
            before, own = weights.split([self._longest if self._shares else 0, keys.shape[2]], -1)
            output = own @ values
            if self._shares:
                output = output + self._rows.each(self._rows.together(before) @ memory.prompt_values)
        return output.reshape(rows, 1, heads, width).to(value.dtype)

    def _remember(
        self, memory: "_Memory", key: Float[Tensor, "rows kv_heads 1 head_dim"], value: Float[Tensor, "rows kv_heads 1 head_dim"]
    ) -> tuple[Float[Tensor, "rows kv_heads slots head_dim"], Float[Tensor, "rows kv_heads slots head_dim"]]:
        """Write the newest token's key and value; all that a query of the rows' own may see."""
        now = self._written if self._shares else self._longest + self._written
        memory.keys[:, :, now] = key[:, :, 0]
        memory.values[:, :, now] = value[:, :, 0]
        return memory.keys[:, :, : now + 1], memory.values[:, :, : now + 1]

    def _memory(
        self, keys: Float[Tensor, "prompts kv_heads longest head_dim"], values: Float[Tensor, "prompts kv_heads longest head_dim"]
    ) -> "_Memory":
        before = 0 if self._shares else self._longest
        shape = (len(self._positions), keys.shape[1], before + self._room, keys.shape[3])
        memory = _Memory(prompt_keys=keys, prompt_values=values, keys=keys.new_empty(shape), values=keys.new_empty(shape))
        if not self._shares:
            for held, prompt in ((memory.keys, keys), (memory.values, values)):
                held.unflatten(0, (-1, self._group))[:, :, :, :before] = prompt[:, None]
        return memory

    def _bias(self, window: int | None) -> Float[Tensor, "rows 1 1 slots"] | None:
        filled = self._longest + self._written
        if window is not None and window > filled:
            window = None
        if self._even and window is None:
            return None
        if window not in self._biases:
            now = self._positions[:, filled, None]
            self._biases[window] = position_bias(now, self._positions[:, : filled + 1], window, torch.float32)[:, None, None]
        return self._biases[window]


class GraphDecoder(LayoutDecoder):
    """The same on a GPU, where a step is hundreds of calls that each take longer to make than to compute.

    The first step is recorded as a CUDA graph and replayed from then on. What is recorded keeps its shapes, so attention reads all slots,
    those that aren't written yet hidden by their positions, and rows that have ended are computed on and left out of what is given back.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[list[int]], group: int, max_new_tokens: int) -> None:
        super().__init__(model, prompts, group, max_new_tokens)
        self._tokens = torch.zeros(len(self._positions), dtype=torch.long, device=model.device)
        self._slot = torch.zeros(1, dtype=torch.long, device=model.device)
        self._going: Int[Tensor, " rows"] | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def step(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocabulary"]:
        """See `Decoder`. The logits may be overwritten; the next step writes them anew."""
        if self._going is None:
            self._tokens.copy_(tokens)
        else:
            self._tokens[self._going] = tokens
        self._slot.fill_(self._longest + self._written)
        if not self._tokens.is_cuda:
            self._logits = self._forward()
        elif self._graph is None:
            self._record()
        if self._graph is not None:
            self._graph.replay()
        self._written += 1
        return self._logits if self._going is None else self._logits[self._going]

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """See `Decoder`."""
        self._going = rows if self._going is None else self._going[rows]

    def _record(self) -> None:
        """Run the step once aside, so that all it takes is there, and once more while CUDA notes what is called."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            self._forward()
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._logits = self._forward()

    def _forward(self) -> Float[Tensor, "rows vocabulary"]:
        self._biases.clear()
        positions = self._positions.index_select(1, self._slot)
        with layouts(self._model):
            hidden = self._model.base_model(input_ids=self._tokens[:, None], position_ids=positions, use_cache=False, layout=self)[0][:, 0]
        return self._unembedding.scaled(self._head(hidden))

    def _remember(
        self, memory: "_Memory", key: Float[Tensor, "rows kv_heads 1 head_dim"], value: Float[Tensor, "rows kv_heads 1 head_dim"]
    ) -> tuple[Float[Tensor, "rows kv_heads slots head_dim"], Float[Tensor, "rows kv_heads slots head_dim"]]:
        now = self._slot - self._longest if self._shares else self._slot
        memory.keys.index_copy_(2, now, key.to(memory.keys.dtype))
        memory.values.index_copy_(2, now, value.to(memory.values.dtype))
        return memory.keys, memory.values

    def _memory(
        self, keys: Float[Tensor, "prompts kv_heads longest head_dim"], values: Float[Tensor, "prompts kv_heads longest head_dim"]
    ) -> "_Memory":
        memory = super()._memory(keys, values)
        # What no token was written to yet is hidden, but minus infinity added to NaN would show it.
        own = 0 if self._shares else self._longest
        memory.keys[:, :, own:] = 0
        memory.values[:, :, own:] = 0
        return memory

    def _bias(self, window: int | None) -> Float[Tensor, "rows 1 1 slots"] | None:
        if window not in self._biases:
            now = self._positions.index_select(1, self._slot)
            self._biases[window] = position_bias(now, self._positions, window, torch.float32)[:, None, None]
        return self._biases[window]


@dataclass(frozen=True, kw_only=True)
class _Memory:
    """One layer's keys and values: of the prompts, and of what each row wrote itself."""

    prompt_keys: Float[Tensor, "prompts kv_heads longest head_dim"]
    prompt_values: Float[Tensor, "prompts kv_heads longest head_dim"]
    keys: Float[Tensor, "rows kv_heads slots head_dim"]
    values: Float[Tensor, "rows kv_heads slots head_dim"]

    def keep(self, rows: Int[Tensor, " kept_rows"], prompts: Int[Tensor, " kept_prompts"]) -> "_Memory":
        """The same for some rows and prompts."""
        return _Memory(
            prompt_keys=self.prompt_keys[prompts],
            prompt_values=self.prompt_values[prompts],
            keys=self.keys[rows],
            values=self.values[rows],
        )


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Which prompt each row continues, and a table [prompts, most rows of a prompt] in which all rows of a prompt meet its keys at once.

    Attributes:
        prompt: each row's prompt.
        count: how many prompts there are.
        most: most rows that a prompt has.
        place: each row's place in the table; None where the table is full and in order.
        table: the row in each place; some other row where there is none.
    """

    prompt: Int[Tensor, " rows"]
    count: int
    most: int
    place: Int[Tensor, " rows"] | None = None
    table: Int[Tensor, " places"] | None = None

    @classmethod
    def full(cls, prompts: int, group: int, device: torch.device) -> "_Rows":
        """`group` rows for every prompt."""
        return cls(prompt=torch.arange(prompts, device=device).repeat_interleave(group), count=prompts, most=group)

    def keep(self, rows: Int[Tensor, " kept"]) -> tuple["_Rows", Int[Tensor, " prompts"]]:
        """Some of the rows, in ascending order, and which prompts still have any."""
        prompts, prompt, counts = self.prompt[rows].unique_consecutive(return_inverse=True, return_counts=True)
        most = int(counts.max())
        if int(counts.min()) == most:
            return _Rows(prompt=prompt, count=len(prompts), most=most), prompts
        rank = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[prompt]
        place = prompt * most + rank
        table = torch.zeros_like(rows[:1]).expand(len(prompts) * most).scatter(0, place, torch.arange(len(rows), device=rows.device))
        return _Rows(prompt=prompt, count=len(prompts), most=most, place=place, table=table), prompts

    def together(self, x: Float[Tensor, "rows heads queries any"]) -> Float[Tensor, "prompts heads all_queries any"]:
        """The queries of all rows of a prompt, one after another."""
        x = x if self.table is None else x[self.table]
        return x.unflatten(0, (self.count, self.most)).transpose(1, 2).flatten(2, 3)

    def each(self, x: Float[Tensor, "prompts heads all_queries any"]) -> Float[Tensor, "rows heads queries any"]:
        """`together` undone."""
        x = x.unflatten(2, (self.most, -1)).transpose(1, 2).flatten(0, 1)
        return x if self.place is None else x[self.place]


class CacheDecoder:
    """Decodes any transformers model with transformers' own cache, prompts padded on the left."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[list[int]], group: int, max_new_tokens: int) -> None:
        del max_new_tokens  # the cache grows as it must
        self._model, self._group = model, group
        longest = max(len(prompt) for prompt in prompts)
        self._ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts], device=model.device)
        self._mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
        self._cache = DynamicCache(config=model.config)

    def prefill(self) -> Float[Tensor, "rows vocabulary"]:
        """See `Decoder`."""
        logits = self._run(self._ids, (self._mask.cumsum(1) - 1).clamp(min=0))
        rows = torch.arange(len(self._ids), device=self._ids.device).repeat_interleave(self._group)
        self.keep(rows)
        return logits[rows]

    def step(self, tokens: Int[Tensor, " rows"]) -> Float[Tensor, "rows vocabulary"]:
        """See `Decoder`."""
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], 1)
        return self._run(tokens[:, None], self._mask.sum(1, keepdim=True) - 1)

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """See `Decoder`."""
        self._cache.reorder_cache(rows)  # type: ignore[arg-type]
        self._mask = self._mask[rows]

    def _run(self, ids: Int[Tensor, "rows tokens"], positions: Int[Tensor, "rows tokens"]) -> Float[Tensor, "rows vocabulary"]:
        output = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()
