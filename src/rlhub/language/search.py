"""Searching for an answer with more tokens: many solutions and a judge, or a tree of steps that a judge prunes.

Every strategy says how many tokens it sampled, so that strategies are compared at equal cost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import torch
from transformers import PreTrainedTokenizerBase

from rlhub.core.errors import UserError
from rlhub.language.budget import force
from rlhub.language.model import Policy, encode
from rlhub.language.process_reward import chances
from rlhub.language.rewards import extract_answer
from rlhub.language.rollout import complete
from rlhub.language.scorer import Scorer
from rlhub.language.steps import Worth, cut, worth
from rlhub.language.task import Example

Strategy = Literal["single", "forced", "majority", "best-of-n", "weighted-vote", "beam", "lookahead"]
Judge = Callable[[Example, Sequence[str], Sequence[bool]], list[float]]
"""From an example, solutions or beginnings of them, and which have come to their end, to what they are worth."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search ended with.

    Attributes:
        text: the solution.
        tokens: how many tokens were sampled for it.
        candidates: all solutions that were seen to their end.
        scores: what they are worth, where a judge was asked.
        lengths: tokens of each, where each was sampled by itself.
    """

    text: str
    tokens: int
    candidates: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Search:
    """How to search.

    Attributes:
        strategy: single (one solution), forced (one whose thought is held to a budget: `budget.force`), majority (the commonest answer:
            self-consistency, Wang et al. 2022, arXiv:2203.11171), best-of-n (the solution worth most), weighted-vote (the answer whose
            solutions are worth most together), beam (a tree of steps of which the best are kept, and in the end a weighted vote of the
            solutions), lookahead (a beam that finishes some steps more before it judges; Snell et al. 2024, arXiv:2408.03314).
        n: solutions, or in a tree solutions that are begun in each round.
        width: continuations of each beam (M); n / width beams are kept.
        ahead: steps that lookahead goes on before it judges.
        rounds: most steps of a solution in a tree.
        worth: what a solution is worth by its steps: min, prod or last (Snell et al. take the last; one wrong step spoils a solution, so
            here it is the least by default).
        max_new_tokens: longest solution, in a tree longest step, and of a forced solution longest answer after the thought, in tokens.
        temperature: solutions are sampled at.
        least_thought: a forced thought that ends before so many tokens is made to go on.
        longest_thought: a forced thought that has so many tokens is ended.
        waits: most times that one is made to go on.
    """

    strategy: Strategy = "best-of-n"
    n: int = 16
    width: int = 4
    ahead: int = 1
    rounds: int = 12
    worth: Worth = "min"
    max_new_tokens: int = 96
    temperature: float = 0.8
    least_thought: int = 64
    longest_thought: int = 256
    waits: int = 4

    def __post_init__(self) -> None:
        """Refuse what can't be searched with."""
        if min(self.n, self.width, self.rounds, self.max_new_tokens) < 1 or self.ahead < 0 or self.temperature < 0:
            raise UserError("n, width, rounds and max_new_tokens must be at least 1, ahead and temperature at least 0")
        if min(self.least_thought, self.waits) < 0 or self.longest_thought < max(self.least_thought, 1):
            wanted = f"of at least {self.least_thought} and at most {self.longest_thought} tokens that goes on {self.waits} times"
            raise UserError(f"a thought {wanted} can't be: give numbers from 0 on, the first no larger than the second")
        if self.strategy in ("beam", "lookahead") and self.n % self.width:
            raise UserError(f"n is {self.n} and width {self.width}: n / width beams are kept, so width must divide n")

    @property
    def needs_judge(self) -> bool:
        """Whether it asks a judge."""
        return self.strategy in ("best-of-n", "weighted-vote", "beam", "lookahead")

    def __call__(self, policy: Policy, example: Example, *, judge: Judge | None = None, generator: torch.Generator | None = None) -> Found:
        """Search for one example's answer.

        Args:
            policy: who solves.
            example: what is asked.
            judge: what solutions are worth; see `step_judge`.
            generator: where the randomness comes from.

        Raises:
            UserError: the strategy asks a judge and there is none.
        """
        if self.needs_judge and judge is None:
            raise UserError(f"the strategy {self.strategy} needs a judge of steps: give a run of process-reward (--prm)")
        if self.strategy in ("beam", "lookahead"):
            assert judge is not None  # noqa: S101  as checked
            return self._tree(policy, example, judge, generator)
        if self.strategy == "forced":
            return self._forced(policy, example, generator)
        count = 1 if self.strategy == "single" else self.n
        drawn = complete(
            policy,
            [encode(policy.tokenizer, example.prompt)],
            group=count,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            generator=generator,
        )
        texts, lengths = drawn.texts[0], drawn.lengths[0].tolist()
        if self.strategy == "single":
            return Found(text=texts[0], tokens=sum(lengths), candidates=texts, lengths=lengths)
        scores = [1.0] * count if self.strategy == "majority" or judge is None else judge(example, texts, drawn.ended[0].tolist())
        text = chosen(texts, scores, vote=self.strategy != "best-of-n")
        return Found(text=text, tokens=sum(lengths), candidates=texts, scores=scores, lengths=lengths)

    def _forced(self, policy: Policy, example: Example, generator: torch.Generator | None) -> Found:
        """One solution whose thought is held to the budget."""
        one = force(
            policy,
            encode(policy.tokenizer, example.prompt),
            least=self.least_thought,
            most=self.longest_thought,
            waits=self.waits,
            answer_tokens=self.max_new_tokens,
            temperature=self.temperature,
            generator=generator,
        )
        return Found(text=one.text, tokens=one.tokens, candidates=[one.text])

    def _tree(self, policy: Policy, example: Example, judge: Judge, generator: torch.Generator | None) -> Found:
        """Beam search over steps: each beam gets `width` next steps, and the best n / width of all are kept."""
        prompt, stops = encode(policy.tokenizer, example.prompt), line_ends(policy.tokenizer)
        settings = {"max_new_tokens": self.max_new_tokens, "temperature": self.temperature, "stop_ids": stops, "generator": generator}
        beams: list[tuple[list[int], bool]] = [([], False)]
        done: list[tuple[str, float]] = []
        tokens = 0
        for turn in range(self.rounds):
            group = self.n if turn == 0 else self.width
            drawn = complete(policy, [prompt + ids for ids, _ in beams], group=group, **settings)  # type: ignore[arg-type]
            tokens += int(drawn.lengths.sum())
            grown: dict[tuple[int, ...], bool] = {}
            for row, (ids, _) in enumerate(beams):
                for place, answer in enumerate(drawn.groups[row].completions):
                    grown[(*ids, *answer)] = bool(drawn.ended[row, place])
            candidates = [(list(ids), ended) for ids, ended in grown.items()]
            seen = candidates
            if self.strategy == "lookahead":
                seen, spent = self._ahead(policy, prompt, candidates, settings)
                tokens += spent
            scores = judge(example, [written(policy.tokenizer, ids) for ids, _ in seen], [ended for _, ended in seen])
            order = sorted(range(len(candidates)), key=lambda place: -scores[place])[: self.n // self.width]
            done += [(written(policy.tokenizer, candidates[place][0]), scores[place]) for place in order if candidates[place][1]]
            beams = [candidates[place] for place in order if not candidates[place][1]]
            if not beams:
                break
        # What has not come to an end when the rounds are up still counts: it may hold the answer.
        if not done:
            done = [(written(policy.tokenizer, ids), 0.0) for ids, _ in beams]
        texts, values = [text for text, _ in done], [score for _, score in done]
        return Found(text=chosen(texts, values, vote=True), tokens=tokens, candidates=texts, scores=values)

    def _ahead(
        self, policy: Policy, prompt: list[int], candidates: list[tuple[list[int], bool]], settings: dict[str, object]
    ) -> tuple[list[tuple[list[int], bool]], int]:
        """Candidates with their likeliest next steps, whether they have ended then, and how many tokens these steps took."""
        grown, open_ones, tokens = list(candidates), [place for place, (_, ended) in enumerate(candidates) if not ended], 0
        for _ in range(self.ahead):
            if not open_ones:
                break
            asked = [prompt + grown[place][0] for place in open_ones]
            drawn = complete(policy, asked, **(settings | {"temperature": 0.0}))  # type: ignore[arg-type]
            tokens += int(drawn.lengths.sum())
            for row, place in enumerate(open_ones):
                grown[place] = grown[place][0] + drawn.groups[row].completions[0], bool(drawn.ended[row, 0])
            open_ones = [place for place in open_ones if not grown[place][1]]
        return grown, tokens


def chosen(texts: Sequence[str], scores: Sequence[float], *, vote: bool) -> str:
    """The text of the highest score, or the first one with the answer whose texts' scores have the highest sum."""
    if not vote:
        return texts[max(range(len(texts)), key=lambda place: scores[place])]
    totals: dict[str, float] = {}
    for text, score in zip(texts, scores, strict=True):
        totals[extract_answer(text)] = totals.get(extract_answer(text), 0.0) + score
    answer = max(totals, key=lambda each: totals[each])
    return next(text for text in texts if extract_answer(text) == answer)


def step_judge(scorer: Scorer, how: Worth) -> Judge:
    """A process reward model as a judge of solutions and of their beginnings."""

    def judge(example: Example, texts: Sequence[str], ended: Sequence[bool]) -> list[float]:
        prompt = encode(scorer.tokenizer, example.prompt)
        return [worth(steps, how) for steps in chances(scorer, [(prompt, cut(text)) for text in texts], ended=ended)]

    return judge


def written(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Tokens as text, without special ones."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


@cache
def line_ends(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokens that end a line."""
    ids = range(len(tokenizer))
    return tuple(index for index, text in zip(ids, tokenizer.batch_decode([[index] for index in ids]), strict=True) if text.endswith("\n"))
