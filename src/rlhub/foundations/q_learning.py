"""Q-learning with a table (Watkins 1989; Sutton & Barto 2018, Sec. 6.5), in any Gymnasium environment of Discrete spaces.

Q(S, A) <- Q(S, A) + alpha (R + gamma max_a Q(S', a) - Q(S, A)), Eq. 6.8, exploring less and less. The defaults are those of the Deep RL
course's second unit, whose mark is a mean return less one standard deviation of 4.5 on Taxi.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlhub.core.errors import UserError
from rlhub.core.named import parted
from rlhub.core.run import Run
from rlhub.core.seeding import derive
from rlhub.core.system import check_fields
from rlhub.foundations.gymnasium_q_learning import empty_table, learn_episode, make_discrete

FILE = "table.safetensors"


class Table(nn.Module):
    """Action values, as an ordinary module that checkpoints and the lens can open.

    Attributes:
        worth: the values.
    """

    worth: Float[Tensor, "states actions"]

    def __init__(self, worth: Float[Tensor, "states actions"]) -> None:
        """Hold these values."""
        super().__init__()
        self.register_buffer("worth", worth)

    def forward(self, states: Any) -> Float[Tensor, "... actions"]:
        """The values of states, given by their numbers."""
        return self.worth[torch.as_tensor(states)]

    def act(self, observation: Any) -> int:
        """The best action, counted from 0, the first of equals."""
        return int(self(observation).argmax())

    def save_model(self, folder: Path) -> None:
        """Write the values into a checkpoint's folder."""
        save_file({"worth": self.worth}, folder / FILE)

    def load_model(self, folder: Path) -> None:
        """Take the values of a checkpoint, into the memory that is there."""
        self.worth.copy_(load_file(folder / FILE)["worth"])


@dataclass(frozen=True, kw_only=True)
class QLearning:
    """Learn what each action is worth in each state, from the reward and the best value of the state that follows.

    Attributes:
        env: a Gymnasium id whose observations and actions are numbers from a finite set; options follow a question mark, as in
            `FrozenLake-v1?is_slippery=false`.
        steps: episodes to learn from.
        learning_rate: how far a value moves towards its target (alpha).
        discount: gamma.
        epsilon: the share of random actions in the first episode.
        least_epsilon: the share that it sinks to.
        decay: how fast it sinks: by e to the power of -decay an episode.
    """

    env: str = "Taxi-v4"
    steps: int = 10_000
    learning_rate: float = 0.7
    discount: float = 0.95
    epsilon: float = 1.0
    least_epsilon: float = 0.05
    decay: float = 0.005

    def __post_init__(self) -> None:
        """Refuse what can't be learnt with.

        Raises:
            UserError: a setting is out of its range.
        """
        check_fields(
            self,
            at_least={1: "steps", 0: "discount epsilon least_epsilon decay"},
            above={0: "learning_rate"},
            at_most={1: "learning_rate discount epsilon least_epsilon"},
        )

    def train(self, run: Run) -> None:
        """Learn, several episodes between two lines of metrics."""
        name, options = parted(self.env)
        environment = make_discrete(name, **options)
        table = Table(torch.from_numpy(empty_table(environment)))
        worth = table.worth.numpy()
        together = max(1, self.steps // 1000)
        for last in run.resume(self.steps, by=together, table=table):
            returns = []
            for episode in range(last - together, last):
                share = self.least_epsilon + (self.epsilon - self.least_epsilon) * np.exp(-self.decay * episode)
                returns.append(
                    learn_episode(
                        environment,
                        worth,
                        epsilon=share,
                        step_size=self.learning_rate,
                        gamma=self.discount,
                        source=np.random.default_rng(derive(run.seed, "actions", episode)),
                        # Each episode has draws of its own, so that a resumed run's are the same.
                        seed=derive(run.seed, "environment", episode) % 2**31,
                    )
                )
            run.log(last, episode_return=float(np.mean(returns)), epsilon=float(share), value=float(worth.max(1).mean()))
        environment.close()

    @staticmethod
    def load_model(folder: Path) -> Table:
        """The table in a checkpoint's folder.

        Raises:
            UserError: there is none.
        """
        if not (folder / FILE).is_file():
            raise UserError(f"{folder} holds no table of action values ({FILE})")
        return Table(load_file(folder / FILE)["worth"])
