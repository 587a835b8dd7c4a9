"""A task with right answers as a study's question, and pairs of its questions that differ where an answer is decided."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlhub.core.errors import UserError
from rlhub.core.seeding import generator
from rlhub.language.constitution import KINDS, Constitution
from rlhub.language.model import Policy, encode, encode_completion
from rlhub.language.rollout import generate
from rlhub.language.rows import alike
from rlhub.language.task import Example, load_task
from rlhub.language.worked import decision
from rlhub.lens.contrast import Contrast
from rlhub.studies.behaviour import spread
from rlhub.studies.question import Asked, Question, Wrong

FACTS, FACT_TOKENS = "facts:capitals", 6
"""What is asked beside, to see what is forgotten."""
PAIRED = 1_000
"""Questions among which pairs are looked for."""
TRIES = 4
"""Answers of the base to one question among which a wrong one is looked for."""


@dataclass(frozen=True)
class Beginning:
    """A question with its answer up to where it is decided.

    Attributes:
        ids: tokens up to there.
        result: tokens that come then.
    """

    ids: list[int]
    result: list[int]


class TaskQuestion(Question):
    """A task with a training and a test split.

    For reasoning-gym's worked solutions the circuit is looked for where the result of a step follows (see `worked.decision`); for other
    tasks where the answer begins.
    """

    def __init__(self, task: str, *, asked: int, untouched: int, new_tokens: int, constitution: Constitution | None = None) -> None:
        """Ask for some of the task's training and test questions, some facts, and a constitution's test prompts.

        Raises:
            UserError: the task has no test split, or its examples no answers.
        """
        self.task = load_task(task)
        self.new_tokens = new_tokens
        if self.task.split("train")[0].answer is None:
            raise UserError(
                f"the examples of {task} have no answers to imitate; give a task with answers (of reasoning-gym's with think=true "
                "these are chain_sum, spell_backward and number_sorting; without it, all)"
            )
        facts = load_task(FACTS)
        known = spread([*facts.examples("train"), *facts.examples("heldout")], untouched)
        self.splits = {
            "train": Asked(task=self.task, examples=list(self.task.split("train")[:asked]), new_tokens=new_tokens),
            "heldout": Asked(task=self.task, examples=spread(self.task.split("test"), asked), new_tokens=new_tokens),
            "untouched": Asked(task=facts, examples=known, new_tokens=FACT_TOKENS),
        }
        prompts = constitution.task().split("test") if constitution else []
        kinds = {kind: [example for example in prompts if example.columns["kind"] == kind] for kind in KINDS}
        self.conduct = {kind: examples for kind, examples in kinds.items() if examples}

    def pairs(self, tokenizer: Any, count: int) -> Contrast:
        """Pairs of training questions of the commonest length, each with the one that differs from it in fewest tokens.

        Their results may begin alike, as with a sign or a space: what they share belongs to the prompts.
        """
        begun = [beginning(tokenizer, example) for example in self.task.split("train")[:PAIRED]]
        found: dict[int, list[tuple[list[int], list[int], int, int]]] = defaultdict(list)
        for one, other in nearest(begun):
            shared = alike([one.result, other.result])
            if shared < min(len(one.result), len(other.result)):
                clean, corrupt = (each.ids + each.result[:shared] for each in (one, other))
                found[len(clean)].append((clean, corrupt, one.result[shared], other.result[shared]))
        if not found:
            raise UserError(f"no two questions of {self.task.name} are equally long with answers that begin differently: give another task")
        chosen = max(found.values(), key=len)
        order = torch.randperm(len(chosen), generator=generator(0, "pairs")).tolist()[:count]
        sides = [torch.tensor(column) for column in zip(*(chosen[place] for place in order), strict=True)]
        return Contrast(
            clean=sides[0],
            corrupt=sides[1],
            mask=torch.ones_like(sides[0], dtype=torch.bool),
            correct=sides[2],
            incorrect=sides[3],
            name=self.task.name,
            labels=labels(tokenizer, sides[0]),
        )

    def preferences(self, policy: Policy) -> list[dict[str, Any]]:
        """The answer to each training question, and the first wrong one that the base gives; questions without one are left out."""
        examples = list(self.splits["train"].examples)
        drawn = generate(policy, examples, group=TRIES, max_new_tokens=self.new_tokens, generator=generator(1, "preferences"))
        rows = []
        for example, texts in zip(examples, drawn.texts, strict=True):
            right = self.task.right([example] * TRIES, texts)
            rejected = next((text for text, hit in zip(texts, right, strict=True) if not hit and text.strip()), None)
            if rejected is not None:
                rows.append({"prompt": example.prompt, "answer": example.answer, "chosen": example.answer, "rejected": rejected})
        if not rows:
            raise UserError(f"the base answers all questions of {self.task.name} rightly, so there is nothing to learn: give a harder task")
        return rows

    def wrong(self, policy: Policy, preferences: list[dict[str, Any]]) -> Wrong | None:
        """Training questions up to where their answer is decided, at which the base says something else."""
        contrast = self.pairs(policy.tokenizer, 2 * len(self.splits["train"].examples)).to(policy.device)
        inputs = contrast.inputs("clean")
        with torch.no_grad():
            said = torch.cat([policy.model(**batch.inputs("clean")).logits[:, -1].argmax(-1) for batch in contrast.batches(32)])
        differ = said != contrast.correct
        if not differ.any():
            return None
        return {name: tensor[differ] for name, tensor in inputs.items()}, contrast.correct[differ], said[differ]


def beginning(tokenizer: Any, example: Example) -> Beginning:
    """A question with its answer up to where it is decided."""
    answer = example.answer or ""
    entry = example.columns.get("entry")
    decided = decision(entry) if entry is not None and "solution" in example.columns else None
    before = "" if decided is None else answer[: answer.index(decided[0]) + len(decided[0])]
    result = answer if decided is None else decided[1]
    ids = encode(tokenizer, example.prompt) + (encode_completion(tokenizer, before) if before else [])
    return Beginning(ids=ids, result=encode_completion(tokenizer, result))


def nearest(begun: Sequence[Beginning]) -> list[tuple[Beginning, Beginning]]:
    """Each beginning with the one of its length, and another result, that differs from it in fewest tokens."""
    by_length: dict[int, list[Beginning]] = defaultdict(list)
    for one in begun:
        by_length[len(one.ids)].append(one)
    pairs = []
    for partners in by_length.values():
        ids = torch.tensor([one.ids for one in partners])
        for place, one in enumerate(partners):
            far = (ids != ids[place]).sum(1).tolist()
            others = [other for other in range(len(partners)) if partners[other].result != one.result and far[other]]
            if others:
                pairs.append((one, partners[min(others, key=lambda other: far[other])]))
    return pairs


def labels(tokenizer: Any, rows: torch.Tensor) -> tuple[str, ...]:
    """A position where all prompts have one token is labelled by it, any other by its distance from the end."""
    alike = (rows == rows[0]).all(0).tolist()
    return tuple(
        tokenizer.decode([token]) if same else f"[{place - rows.shape[1]}]"
        for place, (token, same) in enumerate(zip(rows[0].tolist(), alike, strict=True))
    )
