"""Sampling answers of a model and keeping the good ones in a file: rejection sampling, and what a smaller model is distilled from."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.system import check_fields
from rlhub.language.judged import describe, rewards_of
from rlhub.language.model import Policy, load_policy
from rlhub.language.rollout import Rollout, generate
from rlhub.language.rule_rewards import check_template
from rlhub.language.stages import Rows
from rlhub.language.task import Task, load_task, require_answer

SAMPLES = "samples.jsonl"


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Answers of a model that are right, as prompts and answers in `samples.jsonl`.

    Attributes:
        model: alias, hub id, folder or run of the model that answers.
        task: where prompts and rewards come from (docs/training.md).
        reward: the task's own (`task`), or several, as in `task+format`; an answer is right where each that applies is full, that is at
            least 1, whatever its weight.
        steps: batches of prompts.
        prompts: prompts in one step.
        group: answers per prompt.
        keep: most answers that are kept of a prompt.
        beside: a task whose worked answers are added in the end, for what the model should not unlearn; none by default.
        beside_share: how many of those for each row that was kept; 1/3 is DeepSeek-R1's 200,000 beside 600,000 (Sec. 2.3.3).
        max_new_tokens: longest answer, in tokens.
        temperature: answers are sampled at.
    """

    model: str = "smollm2"
    task: str = "facts:capitals"
    reward: str = "task"
    steps: int = 8
    prompts: int = 32
    group: int = 4
    keep: int = 1
    beside: str = ""
    beside_share: float = 1 / 3
    max_new_tokens: int = 96
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what can't be collected with."""
        check_fields(self, at_least={1: "steps prompts group keep max_new_tokens", 0: "temperature beside_share"})

    def train(self, run: Run) -> None:
        """Collect in a run."""
        task = load_task(self.task, seed=run.seed, reward=self.reward)
        beside = load_task(self.beside, seed=run.seed) if self.beside else None
        check_template(self.reward, task.split("train")[0].prompt, model=self.model)
        policy = load_policy(self.model, learning_rate=0.0)
        made = Rows(run, SAMPLES)

        for step in run.resume(self.steps, rows=made):
            drawn, rewards, measures = self.sample(policy, task, run, step)
            flat = [example for example in drawn.examples for _ in range(self.group)]
            right = torch.tensor(task.right(flat, [text for texts in drawn.texts for text in texts])).view(-1, self.group)
            good = (right & drawn.ended).tolist()
            for example, texts, chosen in zip(drawn.examples, drawn.texts, good, strict=True):
                answers = list(dict.fromkeys(text for text, keep in zip(texts, chosen, strict=True) if keep))
                made.add([{"prompt": example.prompt, "answer": answer} for answer in answers[: self.keep]])
            if step == self.steps and not made.rows:
                raise UserError(
                    f"no answer of {self.model} to {self.task} is right by {self.reward}, so there is nothing to imitate: begin from a "
                    "model that is trained further, or sample more (prompts, group)"
                )
            if step == self.steps and beside is not None:
                examples = beside.sample(round(self.beside_share * len(made.rows)), step=1, seed=run.seed)
                made.add([{"prompt": example.prompt, "answer": require_answer(example)} for example in examples])
            run.log(step, rows=len(made.rows), **measures, **describe(drawn, rewards), tokens=int(drawn.mask.sum()))

    def sample(self, policy: Policy, task: Task, run: Run, step: int) -> tuple[Rollout, Float[Tensor, "prompts group"], dict[str, float]]:
        """A step's answers, their rewards, and the means of what the task measures of them."""
        drawn = generate(
            policy,
            task.sample(self.prompts, step=step, seed=run.seed),
            group=self.group,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            generator=run.generator("samples", step),
        )
        return drawn, *rewards_of(task, drawn, step=step, seed=run.seed)
