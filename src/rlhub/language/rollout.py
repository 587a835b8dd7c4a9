"""Roll-outs: completions sampled from the policy, with the log-probs they were drawn at."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from rlhub.core.errors import UserError
from rlhub.language.decoding import decoder_for
from rlhub.language.hidden import room_of
from rlhub.language.logprobs import causal_model
from rlhub.language.model import Policy, encode
from rlhub.language.prepacked import prepacked
from rlhub.language.rows import Group, completion_mask
from rlhub.language.task import Example

COMPACT_AT = 0.75
"""Ended rows are dropped once no more than this share of the rows is still going: dropping copies the memory of those that stay."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Completions of a batch of prompts.

    Attributes:
        examples: what was asked; empty where prompts came as bare tokens.
        prompts: each prompt's token ids.
        ids: completions' token ids, the end token included where there is one; the pad id beyond.
        mask: True at a completion's tokens.
        logprobs: log-prob of each token in the distribution it was drawn from (tempered, and renormalised after top-k and top-p); 0 beyond.
        ended: whether the completion ended by itself, not by reaching the longest length.
        texts: completions without special tokens.
    """

    examples: list[Example]
    prompts: list[list[int]]
    ids: Int[Tensor, "prompts group tokens"]
    mask: Bool[Tensor, "prompts group tokens"]
    logprobs: Float[Tensor, "prompts group tokens"]
    ended: Bool[Tensor, "prompts group"]
    texts: list[list[str]]

    @classmethod
    def join(cls, parts: Sequence["Rollout"]) -> "Rollout":
        """Several roll-outs with groups of one size as one."""
        longest = max(part.ids.shape[-1] for part in parts)
        wide = [[F.pad(x, (0, longest - x.shape[-1])) for x in (part.ids, part.mask, part.logprobs)] for part in parts]
        ids, mask, logprobs = (torch.cat(columns) for columns in zip(*wide, strict=True))
        return cls(
            examples=[example for part in parts for example in part.examples],
            prompts=[prompt for part in parts for prompt in part.prompts],
            ids=ids,
            mask=mask,
            logprobs=logprobs,
            ended=torch.cat([part.ended for part in parts]),
            texts=[texts for part in parts for texts in part.texts],
        )

    def select(self, chosen: Bool[Tensor, " prompts"]) -> "Rollout":
        """The same for some of the prompts."""
        rows = chosen.nonzero()[:, 0].tolist()
        return Rollout(
            examples=[self.examples[row] for row in rows] if self.examples else [],
            prompts=[self.prompts[row] for row in rows],
            ids=self.ids[chosen],
            mask=self.mask[chosen],
            logprobs=self.logprobs[chosen],
            ended=self.ended[chosen],
            texts=[self.texts[row] for row in rows],
        )

    @property
    def lengths(self) -> Int[Tensor, "prompts group"]:
        """Tokens of each completion."""
        return self.mask.sum(-1)

    @cached_property
    def groups(self) -> list[Group]:
        """The same completions as the update takes them."""
        cut = [
            [ids[:length] for ids, length in zip(rows, lengths, strict=True)]
            for rows, lengths in zip(self.ids.tolist(), self.lengths.tolist(), strict=True)
        ]
        return [Group(prompt=prompt, completions=completions) for prompt, completions in zip(self.prompts, cut, strict=True)]


def generate(policy: Policy, examples: Sequence[Example], **settings: Any) -> Rollout:
    """Sample completions of each example's prompt; settings as for `complete`."""
    rollout = complete(policy, [encode(policy.tokenizer, example.prompt) for example in examples], **settings)
    return replace(rollout, examples=list(examples))


def complete(
    policy: Policy,
    prompts: Sequence[list[int]],
    *,
    group: int = 1,
    max_new_tokens: int,
    min_new_tokens: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    stop_ids: Sequence[int] = (),
    generator: torch.Generator | None = None,
) -> Rollout:
    """Sample `group` completions of each prompt.

    Args:
        policy: what is sampled from.
        prompts: token ids.
        group: completions per prompt; they share the prompt's computation.
        max_new_tokens: longest completion, the end token included.
        min_new_tokens: no end token is drawn before this many tokens.
        temperature: logits are divided by it; 0 takes the likeliest token.
        top_p: only the likeliest tokens that together hold this probability are drawn (Holtzman et al. 2020, arXiv:1904.09751).
        top_k: only this many likeliest tokens are drawn; 0 for all.
        stop_ids: further tokens that a completion stops at; one that did so has not `ended`.
        generator: a CPU generator, where the randomness comes from. What a row draws does not depend on when other rows end.

    Raises:
        UserError: settings that can't be sampled with, or a prompt that leaves too little room.
    """
    if max_new_tokens < 1 or temperature < 0 or not 0 < top_p <= 1 or top_k < 0:
        raise UserError(
            f"can't sample with max_new_tokens={max_new_tokens}, temperature={temperature}, top_p={top_p}, top_k={top_k}: "
            "they must be at least 1, at least 0, in (0, 1] and at least 0"
        )
    room = room_of(causal_model(policy.model))
    longest = max(map(len, prompts), default=0)
    if room is not None and longest + max_new_tokens > room:
        raise UserError(
            f"a prompt of {longest} tokens and {max_new_tokens} new ones don't fit the model's {room} positions; shorten either"
        )
    with torch.no_grad(), policy.autocast():
        ids, lengths, logprobs = sample(
            causal_model(policy.model),
            prompts,
            group=group,
            max_new_tokens=max_new_tokens,
            min_new_tokens=min_new_tokens,
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            end_ids=(*policy.end_ids, *stop_ids),
            pad_id=policy.pad_id,
            generator=generator,
        )
    last = ids.gather(1, (lengths - 1)[:, None])[:, 0]
    written = [row[:length] for row, length in zip(ids.tolist(), lengths.tolist(), strict=True)]
    texts = policy.tokenizer.batch_decode(written, skip_special_tokens=True)
    shape = (len(prompts), group)
    return Rollout(
        examples=[],
        prompts=list(prompts),
        ids=ids.unflatten(0, shape),
        mask=completion_mask(lengths, ids.shape[1]).unflatten(0, shape),
        logprobs=logprobs.unflatten(0, shape),
        ended=torch.isin(last, torch.tensor(policy.end_ids, dtype=torch.long)).unflatten(0, shape),
        texts=[texts[start : start + group] for start in range(0, len(texts), group)],
    )


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    *,
    group: int,
    max_new_tokens: int,
    end_ids: Sequence[int],
    pad_id: int,
    min_new_tokens: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, "rows tokens"], Int[Tensor, " rows"], Float[Tensor, "rows tokens"]]:
    """Completions of tokenised prompts: ids, lengths and log-probs on the CPU, `group` rows to a prompt. Arguments as in `generate`."""
    device = model.device
    rows = len(prompts) * group
    ids = torch.full((rows, max_new_tokens), pad_id, device=device)
    logprobs = torch.zeros(rows, max_new_tokens, device=device)
    lengths = torch.full((rows,), max_new_tokens, device=device)
    ends = torch.tensor(list(end_ids), dtype=torch.long, device=device)
    # Drawn for all rows and steps at once, so that dropping rows changes nobody's numbers.
    uniform = None if temperature == 0 else torch.rand(max_new_tokens, rows, generator=generator, dtype=torch.float64).to(device)
    going = torch.arange(rows, device=device)  # which row each of the decoder's rows is
    alive = torch.ones(rows, dtype=torch.bool, device=device)  # whether it is still going, of the decoder's rows
    decoder = decoder_for(model, prompts, group, max_new_tokens)
    with prepacked(model) as products:
        logits = decoder.prefill()
        products.expect(rows, products=max_new_tokens)
        for step in range(max_new_tokens):
            if step < min_new_tokens:
                logits[:, ends] = -torch.inf
            numbers = None if uniform is None else uniform[step, going]
            tokens, chosen = draw(logits, numbers, temperature=temperature, top_p=top_p, top_k=top_k)
            ids[going[alive], step] = tokens[alive]
            logprobs[going[alive], step] = chosen[alive]
            ended = alive & torch.isin(tokens, ends)
            lengths[going[ended]] = step + 1
            alive &= ~ended
            left = int(alive.sum())
            if left == 0 or step + 1 == max_new_tokens:
                break
            if left <= COMPACT_AT * len(alive):
                kept = alive.nonzero()[:, 0]
                decoder.keep(kept)
                tokens, going, alive = tokens[kept], going[kept], alive[kept]
                products.expect(len(kept), products=max_new_tokens - step - 1)
            logits = decoder.step(tokens)
    longest = int(lengths.max())
    return ids[:, :longest].cpu(), lengths.cpu(), logprobs[:, :longest].cpu()


def draw(
    logits: Float[Tensor, "rows vocabulary"],
    uniform: Float[Tensor, " rows"] | None,
    *,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
    """One token a row by inversion of the cumulative distribution, and its log-prob in the distribution it was drawn from.

    Args:
        logits: float32; overwritten, as another array of this size at every step would cost more than the draw.
        uniform: numbers in [0, 1); None takes the likeliest token, whose log-prob is then that at temperature 1.
        temperature: see `generate`.
        top_p: see `generate`.
        top_k: see `generate`.
    """
    if uniform is None:
        highest, tokens = logits.max(-1, keepdim=True)
        return tokens[:, 0], -logits.sub_(highest).exp_().sum(-1).log()
    if temperature != 1:
        logits.div_(temperature)
    if top_k or top_p < 1:
        logits = _nucleus(logits, top_p, top_k)
    weights = logits.sub_(logits.amax(-1, keepdim=True)).exp_()
    tokens, total = _invert(weights, 1 - uniform)
    return tokens, (weights.gather(1, tokens[:, None])[:, 0] / total).log()


def _invert(
    weights: Float[Tensor, "rows vocabulary"], share: Float[Tensor, " rows"]
) -> tuple[Int[Tensor, " rows"], Float[Tensor, " rows"]]:
    """In each row the first token with which the sum of the weights reaches a share in (0, 1] of their total, and that total.

    As the share is above 0, such a token always has a positive weight. First the block of tokens is found and then the token in it, so that
    only one block a row is summed step by step.
    """
    rows, vocabulary = weights.shape
    width = -(-vocabulary // 256)
    whole = weights if vocabulary % width == 0 else F.pad(weights, (0, -vocabulary % width))
    blocks = whole.unflatten(1, (-1, width))
    reached = blocks.sum(-1).double().cumsum(-1)
    wanted = (share * reached[:, -1])[:, None]
    block = torch.searchsorted(reached, wanted)[:, 0]
    before = torch.where(block > 0, reached.gather(1, (block - 1).clamp(min=0)[:, None])[:, 0], 0.0)
    within = blocks[torch.arange(rows, device=weights.device), block].double().cumsum(-1)
    # Rounding can leave the block's own sum just short of what is wanted; its last token of positive weight is then the one.
    place = torch.searchsorted(within, torch.minimum(wanted[:, 0] - before, within[:, -1])[:, None])[:, 0]
    return block * width + place, reached[:, -1].to(weights.dtype)


def _nucleus(logits: Float[Tensor, "rows vocabulary"], top_p: float, top_k: int) -> Float[Tensor, "rows vocabulary"]:
    """Logits with all tokens that are not drawn at minus infinity."""
    if top_k and top_k < logits.shape[-1]:
        logits = logits.masked_fill(logits < logits.topk(top_k, -1).values[:, -1:], -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(-1, descending=True)
        probabilities = ordered.softmax(-1)
        beyond = probabilities.cumsum(-1) - probabilities >= top_p
        logits = logits.masked_fill(beyond.scatter(-1, order, beyond), -torch.inf)
    return logits
