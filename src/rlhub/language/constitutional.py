"""Constitutional AI (Bai et al. 2022, arXiv:2212.08073): a model that is taught by principles in place of raters.

First the model criticises and revises its own answers by principles drawn at random and imitates the revisions (Sec. 3, SL-CAI). Then a
judge says by a principle which of two of its answers is better, a preference model learns from that, and PPO learns from the preference
model (Sec. 4, RLAIF). Each stage is a run of its own.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.ai_preferences import PREFERENCES, Compare, pairs_that_are_known
from rlhub.language.ppo_rlhf import PPORLHF
from rlhub.language.revisions import REVISIONS, Revise
from rlhub.language.reward_model import RewardModel
from rlhub.language.sft import SFT
from rlhub.language.stages import Stages


@dataclass(frozen=True, kw_only=True)
class Constitutional:
    """Constitutional AI from revisions to reinforcement learning: five stages, each a run within this one's folder.

    Attributes:
        model: alias, hub id, folder or run of the starting model.
        constitution: a TOML file of principles; by default the one that comes with rlhub.
        prompts: a task whose prompts are answered; by default the constitution's own.
        judge: who criticises, revises and compares: by default the model of the stage; another one, or `http://HOST/v1#MODEL`.
        known: a task of pairs whose better answer is known, which the judge's confidence is calibrated on; none by default.
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
    known: str = ""
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
            if self.known and step < 3:
                # Pairs that can't be read should be told of before anything is paid for, not once the third stage asks for them.
                pairs_that_are_known(self.known, Compare().known_pairs, seed=run.seed)
            match step:
                case 1:
                    done = stages.train("revise", Revise(model=self.model, revisions=self.revisions, **made), model=False)
                case 2:
                    revisions = str(stages.rows("revise", REVISIONS))
                    done = stages.train("imitate", SFT(model=self.model, task=revisions, steps=self.sft_steps, **tuned))
                case 3:
                    done = stages.train("compare", Compare(model=stages.folder("imitate"), known=self.known, **made), model=False)
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
