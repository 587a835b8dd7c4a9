"""A model's answers, criticised and revised by principles (Bai et al. 2022, arXiv:2212.08073, Sec. 3)."""

from dataclasses import dataclass
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.seeding import derive
from rlhub.core.system import check_fields
from rlhub.language.constitution import criticising, revising
from rlhub.language.model import encode_completion
from rlhub.language.principled import Principled, mean, messages_of
from rlhub.language.rollout import generate
from rlhub.language.stages import Rows

REVISIONS = "revisions.jsonl"


@dataclass(frozen=True, kw_only=True)
class Revise(Principled):
    """Answers, critiques of them by principles, and revisions, which are what is imitated.

    Every revision is a row. Prompts of the kind `helpful` need none: their first answers are rows, so that helpfulness isn't lost
    (Bai et al. 2022, Sec. 3.1 and 3.2). An empty text is no row: where a judge gives no revision, what it didn't revise isn't
    imitated. The log counts these (`left_out`).

    Attributes:
        revisions: times that each answer is criticised and revised.
        temperature: answers, critiques and revisions are sampled at.
    """

    revisions: int = 2
    temperature: float = 0.7

    def __post_init__(self) -> None:
        """Refuse what can't be made with."""
        super().__post_init__()
        check_fields(self, at_least={1: "revisions", 0: "temperature"})

    def train(self, run: Run) -> None:
        """Make the revisions in a run."""
        principles, task, policy, judge = self.begin(run)
        made = Rows(run, REVISIONS)
        written: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "temperature": self.temperature}

        for step in run.resume(self.steps, rows=made):
            examples = task.sample(self.batch, step=step, seed=run.seed)
            drawn = generate(policy, examples, generator=run.generator("answers", step), **written)
            asked = [messages_of(example.prompt) for example in examples]
            helpful = [example.columns.get("kind") == "helpful" for example in examples]
            answers = [[texts[0].strip()] for texts in drawn.texts]
            latest = [said[0] for said in answers]
            critiques: list[list[str]] = [[] for _ in examples]
            by = [[principles.drawn(run.seed, step, place, turn) for turn in range(self.revisions)] for place in range(len(examples))]
            for turn in range(self.revisions):
                places = [place for place, kept in enumerate(helpful) if not kept]
                lines = [(asked[place], latest[place], by[place][turn]) for place in places]
                seeds = [derive(run.seed, what, step, turn) % 2**31 for what in ("critiques", "revisions")]
                told = judge.write([criticising(*line) for line in lines], seed=seeds[0], **written)
                better = judge.write(
                    [revising(one, said, word, law) for (one, said, law), word in zip(lines, told, strict=True)],
                    seed=seeds[1],
                    **written,
                )
                for place, word, revision in zip(places, told, better, strict=True):
                    critiques[place].append(word)
                    answers[place].append(revision.strip())
                    latest[place] = answers[place][-1] or latest[place]
            made.add(
                [
                    {
                        "prompt": example.prompt,
                        "answer": answer if texts[0] == texts[0].lstrip() else f" {answer}",
                        "first": said[0],
                        "turn": turn,
                        "critique": words[turn - 1] if turn else "",
                        "principle": laws[turn - 1].name if turn else "",
                    }
                    for example, said, words, laws, texts in zip(examples, answers, critiques, by, drawn.texts, strict=True)
                    for turn, answer in enumerate(said)
                    if answer and (turn or len(said) == 1)
                ]
            )
            if step == self.steps and not made.rows:
                raise UserError(
                    "all answers and revisions are empty, so there is nothing to imitate: ask another judge, or about more prompts"
                )
            revised = [(said[0], last) for said, last, kept in zip(answers, latest, helpful, strict=True) if not kept]
            lengths = [len(last) / max(len(first), 1) for first, last in revised]
            texts = [text for said, words in zip(answers, critiques, strict=True) for text in (*said, *words)]
            tokens = sum(len(encode_completion(policy.tokenizer, text)) for text in texts)
            run.log(
                step,
                rows=len(made.rows),
                left_out=sum(not answer for said in answers for answer in said[len(said) > 1 :]),
                revised=mean([last != first for first, last in revised]),
                relative_length=mean(lengths),
                tokens=tokens,
            )
