"""Constitutional AI (Bai et al. 2022, arXiv:2212.08073): a model that is taught by principles in place of raters.

First the model criticises and revises its own answers by principles drawn at random and imitates the revisions (Sec. 3, SL-CAI). Then a
judge says by a principle which of two of its answers is better, a preference model learns from that, and PPO learns from the preference
model (Sec. 4, RLAIF). Each stage is a run of its own.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.seeding import derive
from rlhub.core.system import check_fields
from rlhub.language.constitution import Constitution, comparing, criticising, load_constitution, revising
from rlhub.language.judge import Judge, load_judge
from rlhub.language.model import Policy, encode_completion, load_policy
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.reward_model import RewardModel
from rlhub.language.rollout import generate
from rlhub.language.sft import SFT
from rlhub.language.stages import Rows, Stages
from rlhub.language.task import Task, load_task

REVISIONS, PREFERENCES, ANSWERS = "revisions.jsonl", "preferences.jsonl", "judge.jsonl"


@dataclass(frozen=True, kw_only=True)
class Principled:
    """What making revisions and making preferences ask alike.

    Attributes:
        model: who answers: alias, hub id, folder or run.
        constitution: a TOML file of principles; by default the one that comes with rlhub.
        prompts: a task whose prompts are answered; by default the constitution's own.
        judge: who judges by the principles: by default the model; another one, or `http://HOST/v1#MODEL`.
        steps: batches of prompts.
        batch: prompts in one step.
        max_new_tokens: longest text, in tokens.
    """

    model: str = "smollm2"
    constitution: str = ""
    prompts: str = ""
    judge: str = ""
    steps: int = 8
    batch: int = 16
    max_new_tokens: int = 96

    def __post_init__(self) -> None:
        """Refuse what can't be made with."""
        check_fields(self, at_least={1: "steps batch max_new_tokens"})

    def begin(self, run: Run) -> tuple[Constitution, Task, Policy, Judge]:
        """The principles, the prompts, who answers and who judges."""
        principles = load_constitution(self.constitution)
        task = prompts_of(self.prompts, principles, run.seed)
        policy = load_policy(self.model, learning_rate=0.0)
        return principles, task, policy, load_judge(self.judge, record=run.folder / ANSWERS, policy=lambda: policy)


@dataclass(frozen=True, kw_only=True)
class Revise(Principled):
    """Answers, critiques of them by principles, and revisions, which are what is imitated.

    Every revision is a row. Prompts of the kind `helpful` need none: their first answers are rows, so that helpfulness isn't lost
    (Bai et al. 2022, Sec. 3.1 and 3.2).

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
            critiques: list[list[str]] = [[] for _ in examples]
            by = [[principles.drawn(run.seed, step, place, turn) for turn in range(self.revisions)] for place in range(len(examples))]
            for turn in range(self.revisions):
                places = [place for place, kept in enumerate(helpful) if not kept]
                lines = [(asked[place], answers[place], by[place]) for place in places]
                seeds = [derive(run.seed, what, step, turn) % 2**31 for what in ("critiques", "revisions")]
                told = judge.write([criticising(one, said[-1], law[turn]) for one, said, law in lines], seed=seeds[0], **written)
                better = judge.write(
                    [revising(one, said[-1], word, law[turn]) for (one, said, law), word in zip(lines, told, strict=True)],
                    seed=seeds[1],
                    **written,
                )
                for place, word, revision in zip(places, told, better, strict=True):
                    critiques[place].append(word)
                    answers[place].append(revision or answers[place][-1])
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
                    if turn or len(said) == 1
                ]
            )
            revised = [said for said in answers if len(said) > 1]
            lengths = [len(said[-1]) / max(len(said[0]), 1) for said in revised]
            texts = [text for said, words in zip(answers, critiques, strict=True) for text in (*said, *words)]
            tokens = sum(len(encode_completion(policy.tokenizer, text)) for text in texts)
            run.log(
                step,
                rows=len(made.rows),
                revised=mean([said[-1] != said[0] for said in revised]),
                relative_length=mean(lengths),
                tokens=tokens,
            )


@dataclass(frozen=True, kw_only=True)
class Compare(Principled):
    """Two answers to each prompt, and which of them a judge prefers by a principle.

    The judge is asked twice, with the answers in both orders, and what it says is averaged, so that a liking for (A) cancels out.

    Attributes:
        temperature: answers are sampled at.
        least: preferences that are no farther from 1/2 than this are left out.
    """

    temperature: float = 1.0
    least: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what can't be made with."""
        super().__post_init__()
        check_fields(self, at_least={0: "least"}, above={0: "temperature"})
        if self.least >= 0.5:
            raise UserError(f"least is {self.least}; no preference is further from 1/2 than 1/2")

    def train(self, run: Run) -> None:
        """Make the preferences in a run."""
        principles, task, policy, judge = self.begin(run)
        made = Rows(run, PREFERENCES)

        for step in run.resume(self.steps, rows=made):
            examples = task.sample(self.batch, step=step, seed=run.seed)
            drawn = generate(
                policy,
                examples,
                group=2,
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                generator=run.generator("answers", step),
            )
            by = [principles.drawn(run.seed, step, place) for place in range(len(examples))]
            lines = [
                (messages_of(example.prompt), one.strip(), other.strip(), law)
                for example, (one, other), law in zip(examples, drawn.texts, by, strict=True)
            ]
            options = {"first": "(A", "second": "(B"}
            straight = judge.choose([comparing(asked, one, other, law) for asked, one, other, law in lines], **options)
            swapped = judge.choose([comparing(asked, other, one, law) for asked, one, other, law in lines], **options)
            chances = [(there + 1 - back) / 2 for there, back in zip(straight, swapped, strict=True)]
            rows = [
                {
                    "prompt": example.prompt,
                    "chosen": one if chance >= 0.5 else other,
                    "rejected": other if chance >= 0.5 else one,
                    "probability": max(chance, 1 - chance),
                    "principle": law.name,
                }
                for example, (_, one, other, law), chance in zip(examples, lines, chances, strict=True)
                if one != other and abs(chance - 0.5) > self.least
            ]
            made.add(rows)
            if step == self.steps and not made.rows:
                raise UserError(
                    "the judge prefers neither of any two answers, so there is nothing to learn: ask another judge, or about more prompts"
                )
            agree = mean([(there > 0.5) == (back < 0.5) for there, back in zip(straight, swapped, strict=True)])
            run.log(
                step,
                rows=len(made.rows),
                first_preferred=mean([*straight, *swapped]),
                agrees_with_itself=agree,
                tokens=int(drawn.mask.sum()),
            )


@dataclass(frozen=True, kw_only=True)
class Constitutional:
    """Constitutional AI from revisions to reinforcement learning: five stages, each a run within this one's folder.

    Attributes:
        model: alias, hub id, folder or run of the starting model.
        constitution: a TOML file of principles; by default the one that comes with rlhub.
        prompts: a task whose prompts are answered; by default the constitution's own.
        judge: who criticises, revises and compares: by default the model of the stage; another one, or `http://HOST/v1#MODEL`.
        batches: batches of 16 prompts that are revised, and that are compared.
        revisions: times that each answer is criticised and revised.
        sft_steps: optimisation steps of the imitation of revisions.
        reward_steps: of the preference model.
        rl_steps: roll-outs of PPO.
        learning_rate: AdamW's step size, of all stages.
        kl: coefficient of PPO's divergence from the imitating model.
        max_new_tokens: longest text, in tokens.
    """

    model: str = "smollm2"
    constitution: str = ""
    prompts: str = ""
    judge: str = ""
    batches: int = 8
    revisions: int = 2
    sft_steps: int = 30
    reward_steps: int = 30
    rl_steps: int = 20
    learning_rate: float = 1e-5
    kl: float = 0.05
    max_new_tokens: int = 96

    stages: ClassVar[int] = 5

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        counts = "batches revisions sft_steps reward_steps rl_steps max_new_tokens"
        check_fields(self, at_least={1: counts, 0: "learning_rate kl"})

    def train(self, run: Run) -> None:
        """Train all stages in a run."""
        stages = Stages(run)
        said: dict[str, Any] = {"constitution": self.constitution, "prompts": self.prompts, "judge": self.judge}
        made: dict[str, Any] = {**said, "steps": self.batches, "max_new_tokens": self.max_new_tokens}
        tuned: dict[str, Any] = {"learning_rate": self.learning_rate}

        for step in run.resume(self.stages, stages=stages):
            match step:
                case 1:
                    done = stages.train("revise", Revise(model=self.model, revisions=self.revisions, **made), model=False)
                case 2:
                    revisions = str(stages.rows("revise", REVISIONS))
                    done = stages.train("imitate", SFT(model=self.model, task=revisions, steps=self.sft_steps, **tuned))
                case 3:
                    done = stages.train("compare", Compare(model=stages.folder("imitate"), **made), model=False)
                case 4:
                    preferences = str(stages.rows("compare", PREFERENCES))
                    judge = RewardModel(
                        model=stages.folder("imitate"),
                        task=preferences,
                        steps=self.reward_steps,
                        max_new_tokens=self.max_new_tokens,
                        **tuned,
                    )
                    done = stages.train("prefer", judge, model=False)
                case _:
                    policy = PPORLHF(
                        model=stages.folder("imitate"),
                        task=str(stages.rows("compare", PREFERENCES)),
                        reward_model=stages.folder("prefer"),
                        steps=self.rl_steps,
                        prompts=16,
                        kl=self.kl,
                        max_new_tokens=self.max_new_tokens,
                        **tuned,
                    )
                    done = stages.train("reinforce", policy)
            last = {name: value for name, value in done.metrics()[-1].items() if name not in ("step", "time") and value is not None}
            run.log(step, **{f"{done.name}_{name}": value for name, value in last.items()})


def prompts_of(prompts: str, principles: Constitution, seed: int) -> Task:
    """The task whose prompts are answered: the one that is named, or the constitution's own."""
    task = load_task(prompts, seed=seed) if prompts else principles.task(seed)
    if not task.splits["train"]:
        raise UserError("the constitution has no prompts of its own: give a task of prompts (--prompts)")
    return task


def messages_of(prompt: str | list[dict[str, str]]) -> list[dict[str, str]]:
    """A prompt as messages."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def mean(values: list[Any]) -> float:
    """Of numbers or truths."""
    return sum(map(float, values)) / max(len(values), 1)
