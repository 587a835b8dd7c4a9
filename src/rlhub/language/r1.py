"""DeepSeek-R1's recipe (DeepSeek-AI 2025, arXiv:2501.12948): reasoning from reinforcement learning, in stages.

R1-Zero is reinforcement learning by rules on the base alone (Sec. 2.2). R1 begins from a few worked solutions (cold start), learns to
reason by reinforcement, samples from what it has become, imitates the right samples anew from the base, and learns by reinforcement on all
prompts (Sec. 2.3); a smaller model is then taught by its samples (Sec. 2.4). Each stage is a run of its own.
"""

from dataclasses import dataclass
from typing import Any

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.collect import SAMPLES, Collect
from rlhub.language.grpo import GRPO
from rlhub.language.model import encode, load_tokenizer, model_source
from rlhub.language.rule_rewards import has_form
from rlhub.language.sft import SFT
from rlhub.language.stages import Stages
from rlhub.language.task import load_task

REWARD, ZERO_REWARD = "right+0.2*format+0.1*language", "right+0.2*format"


@dataclass(frozen=True, kw_only=True)
class R1:
    """DeepSeek-R1's stages, or R1-Zero's one.

    Attributes:
        model: alias, hub id, folder or run of the starting model.
        task: a task that asks for a thought in tags, as in `reasoning-gym:chain_sum?think=true`; its worked solutions are the cold start.
        zero: only reinforcement learning, from the starting model as it is (R1-Zero).
        cold_start: a file of prompts and worked answers to begin with, in place of the task's.
        beside: a task of other things than reasoning, whose answers are imitated beside the samples, one for three, by the student, too;
            none by default.
        everything: a task of all kinds of prompts for the last reinforcement; by default the task.
        everything_reward: of the last reinforcement, as in `reward-model:RUN`; by default as of the others, or where `everything` names a
            task, that task's own.
        student: a smaller model to be taught in the end; none by default.
        reward: of the reinforcement; by default whether the answer is right, the form, and the language of the thought, of R1-Zero without
            the language, as in the paper; how much each counts is our own choice.
        cold_steps: optimisation steps of the cold start.
        rl_steps: roll-outs of each reinforcement.
        collect_steps: batches of prompts that are sampled.
        sft_steps: optimisation steps of the imitation of samples, and of the student.
        prompts: prompts in one roll-out.
        group: answers per prompt.
        learning_rate: AdamW's step size of the imitations.
        rl_learning_rate: AdamW's step size of the reinforcements.
        kl: coefficient of the KL to the reference, at first the model that a reinforcement begins from.
        reference_every: steps of a reinforcement after which the reference becomes the policy as it is; 0 never.
        max_new_tokens: longest answer, in tokens.
    """

    model: str = "smollm2"
    task: str = "reasoning-gym:chain_sum?think=true&min_terms=2&max_terms=2&min_digits=1&max_digits=2"
    zero: bool = False
    cold_start: str = ""
    beside: str = ""
    everything: str = ""
    everything_reward: str = ""
    student: str = ""
    reward: str = ""
    cold_steps: int = 40
    rl_steps: int = 50
    collect_steps: int = 8
    sft_steps: int = 40
    prompts: int = 16
    group: int = 8
    learning_rate: float = 3e-5
    rl_learning_rate: float = 3e-6
    kl: float = 0.001
    reference_every: int = 400
    max_new_tokens: int = 96

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        counts = "cold_steps rl_steps collect_steps sft_steps prompts max_new_tokens"
        check_fields(self, at_least={1: counts, 2: "group", 0: "learning_rate rl_learning_rate kl reference_every"})
        if self.zero and (self.cold_start or self.beside or self.everything or self.everything_reward or self.student):
            raise UserError("R1-Zero has one stage: it takes no cold_start, beside, everything, everything_reward or student")

    def train(self, run: Run) -> None:
        """Train all stages in a run."""
        self.check_form()
        stages = Stages(run)
        names = self.stages()
        for step in run.resume(len(names), stages=stages):
            name = names[step - 1]
            done = stages.train(name, self.system(stages, name), model=not name.startswith("collect"))
            last = {key: value for key, value in done.metrics()[-1].items() if key not in ("step", "time") and value is not None}
            run.log(step, **{f"{name}_{key}": value for key, value in last.items()})

    @property
    def rewarded(self) -> str:
        """The reward of reasoning."""
        return self.reward or (ZERO_REWARD if self.zero else REWARD)

    def check_form(self) -> None:
        """Refuse what would end without a single answer to learn from, after stages that take long.

        Raises:
            UserError: thoughts in tags are asked for where the answers to be imitated have none, there are none, or the model's chat
                template opens the thought itself.
        """
        if "format" not in self.rewarded:
            return
        example = load_task(self.task).split("train")[0]
        source = model_source(self.model)
        asked = load_tokenizer(self.model, source)
        if str(asked.decode(encode(asked, example.prompt))).rstrip().endswith("<think>"):
            raise UserError(
                f"the chat template of {self.model} opens the thought itself, so that no completion has the form which the reward format "
                "asks for: give --reward right"
            )
        if self.zero or self.cold_start:
            return
        if example.answer is None:
            raise UserError(f"the task {self.task} has no worked answers to imitate first: give a file of some as --cold-start")
        if not has_form(example.answer):
            raise UserError(
                f"the answers of {self.task} are no thoughts and answers in tags, which the reward format asks for: add ?think=true to the "
                "task, give --cold-start, or --reward right"
            )

    def stages(self) -> list[str]:
        """The stages' names, in order."""
        if self.zero:
            return ["reason"]
        taught = ["collect-for-student", "distil"] if self.student else []
        return ["cold-start", "reason", "collect", "refine", "align", *taught]

    def system(self, stages: Stages, name: str) -> SFT | GRPO | Collect:
        """What trains a stage."""
        imitation: dict[str, Any] = {"learning_rate": self.learning_rate, "schedule": "cosine", "warmup": 2}
        drawn: dict[str, Any] = {
            "reward": self.rewarded,
            "prompts": self.prompts,
            "group": self.group,
            "max_new_tokens": self.max_new_tokens,
        }
        reinforcement = drawn | {"steps": self.rl_steps, "learning_rate": self.rl_learning_rate, "kl": self.kl}
        reinforcement |= {"reference_every": self.reference_every if self.kl else 0}
        sampled = drawn | {"steps": self.collect_steps}
        match name:
            case "cold-start":
                return SFT(model=self.model, task=self.cold_start or self.task, steps=self.cold_steps, **imitation)
            case "reason":
                return GRPO(model=self.model if self.zero else stages.folder("cold-start"), task=self.task, **reinforcement)
            case "collect":
                return Collect(model=stages.folder("reason"), task=self.task, beside=self.beside, **sampled)
            case "refine":
                return SFT(model=self.model, task=str(stages.rows("collect", SAMPLES)), steps=self.sft_steps, **imitation)
            case "align":
                reinforcement["reward"] = self.everything_reward or ("task" if self.everything else self.rewarded)
                return GRPO(model=stages.folder("refine"), task=self.everything or self.task, **reinforcement)
            case "collect-for-student":
                return Collect(model=stages.folder("align"), task=self.task, beside=self.beside, **sampled)
        return SFT(model=self.student, task=str(stages.rows("collect-for-student", SAMPLES)), steps=self.sft_steps, **imitation)
