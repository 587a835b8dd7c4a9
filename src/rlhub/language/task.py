"""Tasks: examples to learn from, in splits, and what a completion of one is worth."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.named import parted
from rlhub.core.seeding import derive, generator
from rlhub.language.facts import RELATIONS, facts
from rlhub.language.rewards import Reward, Text, call_reward, contains_answer, load_reward, normalise, starts_with_answer


@dataclass(frozen=True)
class Example:
    """One thing to learn from.

    Attributes:
        prompt: text to be continued, or a conversation to be answered as messages `{"role": ..., "content": ...}`.
        answer: the right completion, to the letter (with the space before it, where the prompt ends without one); None where there is none.
        columns: whatever else reward functions may read, by name.
    """

    prompt: Text
    answer: str | None
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Examples in splits, rewards, and measures that are reported beside them.

    Attributes:
        name: what it was loaded as.
        splits: examples by split; "train" is always there. Facts have "heldout" (other facts of the same relations) and "untouched" (other
            relations) too, other tasks may have "test".
        rewards: reward functions and their weights.
        measures: further functions with the same signature, reported but not trained on.
        seed: which wrong answers are drawn for preferences.
    """

    name: str
    splits: Mapping[str, Sequence[Example]]
    rewards: Sequence[tuple[Reward, float]]
    measures: Mapping[str, Reward] = field(default_factory=dict)
    seed: int = 0

    def split(self, name: str) -> Sequence[Example]:
        """A split's examples, made when they are looked at.

        Raises:
            UserError: the task has no such split.
        """
        if name not in self.splits:
            raise UserError(f"the task {self.name} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def examples(self, split: str) -> list[Example]:
        """All examples of a split, in a fixed order."""
        return list(self.split(split))

    def sample(self, count: int, *, step: int, seed: int, split: str = "train") -> list[Example]:
        """The examples of a step: epoch after epoch in a new shuffled order, so that none returns before all have been seen.

        The same step and seed give the same examples, whatever was asked for before.

        Args:
            count: how many; it should be the same at every step.
            step: counted from 1.
            seed: of the shuffles.
            split: where they are taken from.
        """
        examples = self.split(split)
        kind = Path(self.name).name  # a file gives the same order wherever it lies
        chosen: list[Example] = []
        position = (step - 1) * count
        while len(chosen) < count:
            epoch, start = divmod(position, len(examples))
            order = shuffled(len(examples), seed, kind, split, epoch)
            taken = order[start : start + count - len(chosen)].tolist()
            chosen += [examples[index] for index in taken]
            position += len(taken)
        return chosen

    def score(self, prompts: Sequence[Text], completions: Sequence[str], /, **columns: Any) -> list[float | None]:
        """The weighted sum of the task's rewards for each completion.

        Args:
            prompts: one a completion.
            completions: texts; for prompts that are messages, reward functions see each as one assistant message.
            columns: lists with one value a completion (see `columns_of`), and the numbers `step` and `seed` for rewards that draw.

        Returns:
            One number a completion; None where none of the rewards applies.

        Raises:
            UserError: a reward function gives something else than one number, or None, a completion.
        """
        spoken = as_messages(prompts, completions)
        given = [(call_reward(reward, prompts, spoken, **columns), weight) for reward, weight in self.rewards]
        totals: list[float | None] = []
        for index in range(len(completions)):
            applicable = [weight * value for values, weight in given if (value := values[index]) is not None]
            totals.append(sum(applicable) if applicable else None)
        return totals

    def right(self, examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
        """Whether each example's completion is right: of the task's rewards some apply, and each of these is full, that is at least 1.

        Their weights don't count: a bonus for form makes no wrong answer right.

        Args:
            examples: one a completion; none is fine.
            completions: texts.
        """
        if not examples:
            return []
        prompts = [example.prompt for example in examples]
        columns = columns_of(examples) | {"completion_ids": [[] for _ in examples], "step": 0, "seed": self.seed}
        spoken = as_messages(prompts, completions)
        return [bool(value) for value in full_credit([reward for reward, _ in self.rewards], prompts, spoken, **columns)]

    def measure(self, prompts: Sequence[Text], completions: Sequence[str], /, **columns: Any) -> dict[str, list[float | None]]:
        """Each measure's value for each completion (arguments as for `score`)."""
        spoken = as_messages(prompts, completions)
        return {name: call_reward(measure, prompts, spoken, **columns) for name, measure in self.measures.items()}

    def preference(self, examples: Sequence[Example], *, step: int = 0) -> tuple[list[str], list[str]]:
        """A better and a worse completion of each example: the named columns, or else its answer and another example's.

        The other answer comes from the same relation, where examples have one, and is drawn anew for each step.

        Raises:
            UserError: an example has neither `chosen` and `rejected` nor an answer, or all answers are the same.
        """
        pairs = [
            (example.columns["chosen"], example.columns["rejected"])
            if "chosen" in example.columns
            else (require_answer(example), self.wrong_answer(example, step))
            for example in examples
        ]
        return [chosen for chosen, _ in pairs], [rejected for _, rejected in pairs]

    def wrong_answer(self, example: Example, step: int) -> str:
        """Another example's answer, of the same relation, that is not this one's."""
        others = self.split("train")
        relation = example.columns.get("relation")
        for attempt in range(1000):
            other = others[derive(self.seed, "wrong answer", step, str(example.prompt), attempt) % len(others)]
            if other.columns.get("relation") == relation and normalise(require_answer(other)) != normalise(require_answer(example)):
                return require_answer(other)
        raise UserError(f"the task {self.name} has no second answer to prefer {example.answer!r} to; give columns chosen and rejected")


def require_answer(example: Example) -> str:
    """An example's answer.

    Raises:
        UserError: it has none.
    """
    if example.answer is None:
        raise UserError(f"the example {str(example.prompt)[:60]!r} has no answer; name the column that holds it (answer_column)")
    return example.answer


def as_messages(prompts: Sequence[Text], completions: Sequence[str]) -> list[Text]:
    """Completions in the form of their prompts: text for text, one assistant message for messages."""
    return [
        completion if isinstance(prompt, str) else [{"role": "assistant", "content": completion}]
        for prompt, completion in zip(prompts, completions, strict=True)
    ]


@lru_cache(maxsize=2)
def shuffled(count: int, seed: int, kind: str, split: str, epoch: int) -> Int[Tensor, " count"]:
    """The order of an epoch; kept from step to step, as that of half a million examples takes some of a small model's step to draw."""
    return torch.randperm(count, generator=generator(seed, "task", kind, split, epoch))


def columns_of(examples: Iterable[Example], *, repeat: int = 1) -> dict[str, list[Any]]:
    """The examples' columns as reward functions take them, `answer` among them, each value `repeat` times in a row.

    A column that an example lacks is None there.
    """
    rows = [{**example.columns, "answer": example.answer} for example in examples for _ in range(repeat)]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def load_task(
    spec: str,
    *,
    seed: int = 0,
    reward: str | Sequence[str] = "task",
    prompt_column: str = "prompt",
    answer_column: str = "answer",
) -> Task:
    """A task by its name, with options after a question mark, as in `reasoning-gym:chain_sum?min_terms=2&max_terms=2`.

    Args:
        spec: `facts:capitals` or several relations as `facts:capitals+currencies` (option `chat=true` asks in messages);
            `reasoning-gym:NAME` with that data set's own options and `size`; `bridges:BLOCKS` with the options `chain` and `size`;
            `PATH.jsonl` or `datasets:NAME_OR_FOLDER` with the options `prompt` and `answer` (columns), `test` (a second file) or `config`,
            `split` and `test` (of the data set).
        seed: of examples that are made, and of wrong answers.
        reward: the task's own reward ("task"), only its full credit ("right"), a reward's name, `path.py:function`, or several of these, in
            a list or joined by `+`; each may have a weight before it, as in `task+0.5*contains_answer`.
        prompt_column: the column of a file or data set that holds prompts.
        answer_column: the column that holds answers.

    Raises:
        UserError: there is no such task, or it can't be read.
    """
    name, options = parted(spec)
    kind, _, rest = name.partition(":")
    if kind == "facts":
        task = facts_task(spec, rest.split("+"), seed=seed, **known_options(spec, options, {"chat": bool}))
    elif kind == "reasoning-gym":
        from rlhub.language.reasoning import reasoning_task

        task = reasoning_task(spec, rest, options, seed=seed)
    elif kind == "bridges":
        from rlhub.language.bridge_task import bridges_task

        task = bridges_task(spec, rest, seed=seed, **known_options(spec, options, {"chain": str, "size": int}))
    elif kind == "datasets" or name.endswith((".jsonl", ".json")):
        from rlhub.language.files import file_task

        chosen = known_options(spec, options, dict.fromkeys(("prompt", "answer", "config", "split", "test"), str))
        columns = (str(chosen.pop("prompt", prompt_column)), str(chosen.pop("answer", answer_column)))
        task = file_task(spec, rest if kind == "datasets" else name, is_dataset=kind == "datasets", columns=columns, seed=seed, **chosen)
    else:
        raise UserError(
            f"there is no task {spec!r}; give facts:RELATION, reasoning-gym:NAME, bridges:BLOCKS, a PATH.jsonl or datasets:NAME"
        )
    wanted = reward.split("+") if isinstance(reward, str) else list(reward)
    return task if wanted == ["task"] else with_rewards(task, wanted)


def known_options(spec: str, options: dict[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
    """The options, if all are known and of their kinds."""
    for name, value in options.items():
        if name not in kinds:
            raise UserError(f"the task {spec!r} has no option {name!r}; it has {', '.join(kinds)}")
        if not isinstance(value, kinds[name]):
            raise UserError(f"the option {name!r} of the task {spec!r} is {value!r}, which is not a {kinds[name].__name__}")
    return options


def with_rewards(task: Task, specs: Sequence[str]) -> Task:
    """The task with other rewards; its own ones become measures."""
    rewards: list[tuple[Reward, float]] = []
    for spec in specs:
        weight, star, name = spec.partition("*")
        try:
            chosen, share = (name, float(weight)) if star else (spec, 1.0)
        except ValueError as error:
            raise UserError(f"the reward {spec!r} has {weight!r} for its weight, which is not a number") from error
        match chosen:
            case "task":
                rewards += [(own, share * its) for own, its in task.rewards]
            case "right":
                rewards.append((only_full([own for own, _ in task.rewards]), share))
            case _:
                rewards.append((load_reward(chosen), share))
    used = {reward for reward, _ in rewards}
    measures = {getattr(own, "__name__", "task"): own for own, _ in task.rewards if own not in used} | dict(task.measures)
    return Task(name=task.name, splits=task.splits, rewards=rewards, measures=measures, seed=task.seed)


def full_credit(rewards: Sequence[Reward], prompts: Sequence[Text], completions: Sequence[Text], /, **columns: Any) -> list[float | None]:
    """1 for each completion for which each of these rewards that applies is full, that is at least 1, else 0; None where none applies.

    Part of the credit for a part of the answer misleads a comparison within a group: where all are wrong, whoever earned a crumb stands as
    far above the others as a right answer does among wrong ones.
    """
    given = [call_reward(reward, prompts, completions, **columns) for reward in rewards]
    applying = [[value for value in values if value is not None] for values in zip(*given, strict=True)]
    return [float(min(values) >= 1) if values else None for values in applying]


def only_full(rewards: Sequence[Reward]) -> Reward:
    """Their full credit as a reward of its own."""

    def right(prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
        return full_credit(rewards, prompts, completions, **columns)

    return right


def facts_task(name: str, relations: Sequence[str], *, seed: int, chat: bool = False) -> Task:
    """Recalling facts: the given relations' trained facts, their held-out facts, and all other relations' facts."""
    chosen = [fact for relation in relations for fact in facts(relation)]
    others = [fact for relation in RELATIONS if relation not in relations for fact in facts(relation)]
    groups = {
        "train": [fact for fact in chosen if fact.trained],
        "heldout": [fact for fact in chosen if not fact.trained],
        "untouched": others,
    }
    splits = {
        split: [
            Example(
                [{"role": "user", "content": f"Complete the sentence: {fact.prompt}"}] if chat else fact.prompt,
                fact.answer.strip() if chat else fact.answer,
                {"relation": fact.relation, "subject": fact.subject},
            )
            for fact in group
        ]
        for split, group in groups.items()
    }
    return Task(name=name, splits=splits, rewards=[(contains_answer if chat else starts_with_answer, 1.0)], seed=seed)
