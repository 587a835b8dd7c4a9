"""Facts as a study's question: which of them a model recalls, and pairs of sentences about two subjects."""

from typing import Any

import torch

from rlhub.language.model import Policy
from rlhub.language.rollout import generate
from rlhub.language.task import load_task
from rlhub.lens.contrast import Contrast
from rlhub.studies import behaviour
from rlhub.studies.contrasts import load_contrast, of_common_length
from rlhub.studies.question import Asked, Question, Wrong


class FactsQuestion(Question):
    """Facts of one relation; those of all others are the untouched ones.

    Attributes:
        relation: capitals, currencies, languages or symbols.
    """

    def __init__(self, relation: str, *, untouched: int, new_tokens: int) -> None:
        """Ask for all facts of a relation and some of the others."""
        self.relation = relation
        self.task = load_task(f"facts:{relation}")
        self.new_tokens = new_tokens
        most = {"train": 10**9, "heldout": 10**9, "untouched": untouched}
        self.splits = {
            split: Asked(task=self.task, examples=behaviour.spread(self.task.examples(split), most[split]), new_tokens=new_tokens)
            for split in behaviour.SPLITS
        }
        self.conduct = {}

    def pairs(self, tokenizer: Any, count: int) -> Contrast:
        """Pairs of trained facts."""
        return of_common_length(load_contrast(self.relation, tokenizer, pairs=count, facts="train"), tokenizer)

    def preferences(self, policy: Policy) -> list[dict[str, Any]]:
        """For each trained fact, the right answer and what the base says instead: greedily where that is wrong, else in a sample.

        Facts that the base is never wrong on are left out.
        """
        examples = self.task.examples("train")
        greedy = [texts[0] for texts in generate(policy, examples, max_new_tokens=self.new_tokens, temperature=0.0).texts]
        right = self.task.right(examples, greedy)
        drawn = [texts[0] for texts in behaviour.samples(policy, examples, max_new_tokens=self.new_tokens, seed=1).texts]
        rows = []
        for example, said, hit, other in zip(examples, greedy, right, drawn, strict=True):
            rejected = first_phrase(other if hit else said)
            if rejected.strip() and not begins_alike(rejected, example.answer or ""):
                rows.append(
                    {"prompt": example.prompt, "answer": example.answer, "chosen": example.answer, "rejected": rejected, "greedy": not hit}
                )
        return rows

    def wrong(self, policy: Policy, preferences: list[dict[str, Any]]) -> Wrong | None:
        """The trained facts that the base gets wrong: the right answers' first tokens, and those of what it says instead."""
        rows = [row for row in preferences if row["greedy"]]
        if not rows:
            return None
        tokenizer = policy.tokenizer
        batch = tokenizer([row["prompt"] for row in rows], return_tensors="pt", padding=True, padding_side="left")
        mask = batch["attention_mask"]
        inputs = {"input_ids": batch["input_ids"], "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}
        right, wrong = (
            torch.tensor([tokenizer(row[side], add_special_tokens=False)["input_ids"][0] for row in rows])
            for side in ("chosen", "rejected")
        )
        differ = right != wrong
        if not differ.any():
            return None
        kept = {name: tensor[differ].to(policy.device) for name, tensor in inputs.items()}
        return kept, right[differ].to(policy.device), wrong[differ].to(policy.device)


def first_phrase(text: str) -> str:
    """What comes before the first full stop, comma or line end."""
    for end in ("\n", ".", ",", "("):
        text = text.partition(end)[0]
    return text.rstrip()


def begins_alike(one: str, other: str) -> bool:
    """Whether one answer begins with the other."""
    one, other = one.strip().casefold(), other.strip().casefold()
    return one.startswith(other) or other.startswith(one)
