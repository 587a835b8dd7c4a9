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
from rlhub.language.reasoning import asked_for_thought
from rlhub.language.rule_rewards import check_template, has_form, spoken, wants_form
from rlhub.language.sft import SFT
from rlhub.language.stages import Stages
from rlhub.language.task import load_task, require_answer


@dataclass(frozen=True, kw_only=True)
class R1:
    """DeepSeek-R1's stages, or R1-Zero's one.

    Attributes:
        model: alias, hub id, folder or run of the starting model.
        task: a task that asks for a thought in tags, as one of reasoning-gym's does here if it doesn't say `think=false`; its worked
            solutions are the cold start.
        zero: only reinforcement learning, from the starting model as it is (R1-Zero).
        cold_start: a file of prompts and worked answers to begin with, in place of the task's.
        beside: a task of other things than reasoning, whose answers are imitated beside the samples, one for three, by the student, too;
            none by default.
        everything: a task of all kinds of prompts for the last reinforcement; by default the task.
        everything_reward: of the last reinforcement, as in `reward-model:RUN`; by default as of the others, or where `everything` names a
            task, that task's own.
        student: a smaller model to be taught in the end; none by default.
        reward: of the reinforcement; by default whether the answer is right, the form, and, but for R1-Zero, the language of the thought:
            `right+0.2*format+0.1*language`.
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

    @property
    def rewarded(self) -> str:
        """The reward of the reinforcement, as it was asked for or by default."""
        return self.reward or ("right+0.2*format" if self.zero else "right+0.2*format+0.1*language")

    @property
    def asked(self) -> str:
        """The task, asked for a thought in tags where that form is rewarded and nothing else teaches it."""
        return asked_for_thought(self.task) if wants_form(self.rewarded) and not self.cold_start else self.task

    def check(self, *, seed: int) -> None:
        """See at the start what else would be found out after the first reinforcement.

        Raises:
            UserError: there is nothing to begin with, or no answer will have the form that is rewarded.
        """
        first = load_task(self.asked, seed=seed).split("train")[0]
        check_template(self.rewarded, first.prompt, model=self.model)
        if self.zero:
            return
        if not self.cold_start and first.answer is None:
            raise UserError(
                f"the task {self.asked} has no worked solutions to begin with: give a file of prompts and answers (--cold-start)"
            )
        begun = require_answer(load_task(self.cold_start, seed=seed).split("train")[0] if self.cold_start else first)
        if wants_form(self.rewarded) and "<think>" not in spoken(first.prompt) and not has_form(begun):
            raise UserError(
                f"the task {self.asked} asks for no thought in tags, so that no answer has the form that the reward {self.rewarded} wants: "
                "give a task with think=true, a --cold-start of that form, or another --reward"
            )

    def train(self, run: Run) -> None:
        """Train all stages in a run."""
        self.check(seed=run.seed)
        stages = Stages(run)
        names = self.stages()
        for step in run.resume(len(names), stages=stages):
            name = names[step - 1]
            done = stages.train(name, self.system(stages, name), model=not name.startswith("collect"))
            last = {key: value for key, value in done.metrics()[-1].items() if key not in ("step", "time") and value is not None}
            run.log(step, **{f"{name}_{key}": value for key, value in last.items()})

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
                return SFT(model=self.model, task=self.cold_start or self.asked, steps=self.cold_steps, **imitation)
            case "reason":
                return GRPO(model=self.model if self.zero else stages.folder("cold-start"), task=self.asked, **reinforcement)
            case "collect":
                return Collect(model=stages.folder("reason"), task=self.asked, beside=self.beside, **sampled)
            case "refine":
                return SFT(model=self.model, task=str(stages.rows("collect", SAMPLES)), steps=self.sft_steps, **imitation)
            case "align":
                reinforcement["reward"] = self.everything_reward or ("task" if self.everything else self.rewarded)
                return GRPO(model=stages.folder("refine"), task=self.everything or self.asked, **reinforcement)
            case "collect-for-student":
                return Collect(model=stages.folder("align"), task=self.asked, beside=self.beside, **sampled)
        return SFT(model=self.student, task=str(stages.rows("collect-for-student", SAMPLES)), steps=self.sft_steps, **imitation)
