"""Asynchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783, Algorithm S3).

Several processes act in environments of their own. Each takes the shared parameters, acts for t_max steps, forms the gradient of its few
rows and applies it to the shared parameters through RMSProp whose running squares are shared as well (Eq. S2-S3), without a lock: what
another process wrote in the meantime is built upon, and now and then lost. So two trainings are never the same, not even from one seed, and
a resumed one goes on from its parameters and its rewards' scales in fresh environments.
"""

import copy
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.multiprocessing as processes
from jaxtyping import Float
from torch import Tensor

from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.agent import Crew, first_agent, load_agent
from rlhub.agents.environments import Environments
from rlhub.agents.parameters import Parameters
from rlhub.agents.rollout import Batch, Rollout, row_weights
from rlhub.agents.tuned import tuned_for
from rlhub.core.errors import UserError
from rlhub.core.processor import small_networks
from rlhub.core.run import Run
from rlhub.core.seeding import derive
from rlhub.core.system import check_fields


@dataclass(frozen=True, kw_only=True)
class A3C:
    """Asynchronous advantage actor-critic.

    Attributes:
        env: Gymnasium id of the environment; options of its constructor follow a question mark.
        steps: steps in environments, of all workers together.
        workers: processes.
        rollout: steps of a worker before each of its updates (t_max).
        log_every: steps of all workers between two lines of the log.
        learning_rate: RMSProp's step size at the beginning; it falls to 0 as a straight line.
        smoothing: RMSProp's decay of the running squares (alpha).
        epsilon: what is added to them.
        discount: gamma.
        value_weight: the value loss's coefficient.
        entropy_weight: the entropy bonus's coefficient (beta).
        max_norm: gradients are scaled down to this norm; 0 never.
        hidden: widths of the hidden layers, for observations that are vectors.
        activation: tanh, relu, elu or silu.
        normalise_rewards: divide rewards by the standard deviation of their discounted sums so far, each worker by its own.
        log_std: log standard deviation of continuous actions to begin with.
    """

    env: str = "CartPole-v1"
    steps: int = 500_000
    workers: int = 4
    rollout: int = 20
    log_every: int = 5_000
    learning_rate: float = 1e-3
    smoothing: float = 0.99
    epsilon: float = 1e-5
    discount: float = 0.99
    value_weight: float = 0.5
    entropy_weight: float = 0.01
    max_norm: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu", "elu", "silu"] = "tanh"
    normalise_rewards: bool = False
    log_std: float = 0.0

    load_model = staticmethod(load_agent)
    tuned: ClassVar[Any] = classmethod(tuned_for)

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        amounts = "smoothing discount value_weight entropy_weight max_norm"
        check_fields(
            self, at_least={1: "steps workers rollout log_every", 0: amounts}, above={0: "learning_rate epsilon"}, at_most={1: "discount"}
        )

    def agent(self, environments: Environments, seed: int) -> ActorCritic:
        """The first agent of a seed."""
        return first_agent(ActorCritic, self, environments, seed, log_std=self.log_std)

    def train(self, run: Run) -> None:
        """Train in a run: this process only waits, writes the log and keeps the checkpoints."""
        environments = Environments(self.env, 1, seeds=run.seeds)
        crew = Crew([self.agent(environments, run.seed)], run.seeds)
        environments.close()
        shared = Shared(crew.together)

        with Workers(self, crew.together, shared, run.seed) as workers:
            for step in run.resume(self.steps, by=self.log_every, agent=crew, shared=shared, workers=workers):
                told = workers.until(step)
                run.log(step, **told)

    def loss(self, agent: ActorCritic, batch: Batch) -> Float[Tensor, ""]:
        """-log pi(a|s) (R - V) + value_weight (R - V)^2 - entropy_weight H, meant over the rows."""
        policy, values = agent(batch.observations)
        losses = -agent.distribution.log_prob(policy, batch.actions) * batch.advantages
        losses = losses + self.value_weight * (values - batch.returns).square()
        losses = losses - self.entropy_weight * agent.distribution.entropy(policy)
        return (losses * row_weights(batch.happened)).sum()


class Learner:
    """One worker: its copy of the agent, and its environment."""

    def __init__(self, system: A3C, agent: ActorCritic, environments: Environments, scale: dict[str, Any] | None) -> None:
        """Make the copy; `scale` is that of the rewards as it was left."""
        self._system = system
        self._agent = copy.deepcopy(agent)
        self._local = Parameters([self._agent])
        self._environments = environments
        discount = system.discount if system.normalise_rewards else None
        self._rollout = Rollout(environments, self._agent, steps=system.rollout, scale=discount)
        if scale is not None:
            # Of episodes that went on nothing is left in fresh environments; what they told of rewards' spread is.
            fresh = self._rollout.state_dict()
            self._rollout.load_state_dict(fresh | {"scale": fresh["scale"] | {"moments": scale["moments"]}})

    def work(self, shared: "Shared", until: int) -> dict[str, Any]:
        """A worker's thread of Algorithm S3: take the parameters, act, form the gradient, apply it to what is shared."""
        system, losses = self._system, []
        while (done := shared.take(self._rollout.rows, until)) is not None:
            self._local.values.copy_(shared.parameters.values)
            self._rollout.collect(done)
            self._local.gradients.zero_()
            loss = system.loss(self._agent, self._rollout.batch(discount=system.discount, decay=1.0))
            loss.backward()
            losses.append(loss.item())
            self._local.clip(system.max_norm)
            shared.apply(
                self._local.gradients,
                learning_rate=system.learning_rate * max(0.0, 1 - done / system.steps),
                smoothing=system.smoothing,
                epsilon=system.epsilon,
            )
        ended = self._environments.take_episodes()
        return {"returns": ended.returns, "lengths": ended.lengths, "losses": losses[-1:], "scale": self._rollout.state_dict().get("scale")}


class Shared:
    """What all workers read and write: parameters, the running squares of their gradients, and how many steps were taken.

    Attributes:
        parameters: of the agent, in shared memory.
        squares: g.
    """

    def __init__(self, agent: ActorCritic) -> None:
        """Move an agent's parameters into shared memory."""
        self.parameters = Parameters([agent], share=True)
        self.squares = torch.zeros_like(self.parameters.values).share_memory_()
        self._steps = processes.get_context("spawn").Value("q", 0)

    @property
    def steps(self) -> int:
        """How many were taken."""
        return int(self._steps.value)

    def take(self, steps: int, until: int) -> int | None:
        """Count steps that are about to be taken; how many there were before, or None where there were `until` already."""
        with self._steps.get_lock():
            before = int(self._steps.value)
            if before >= until:
                return None
            self._steps.value = before + steps
            return before

    @torch.no_grad()
    def apply(self, gradient: Float[Tensor, " numbers"], *, learning_rate: float, smoothing: float, epsilon: float) -> None:
        """g <- smoothing g + (1 - smoothing) dtheta^2, theta <- theta - learning_rate dtheta / sqrt(g + epsilon)   (Eq. S2, S3)"""
        self.squares.mul_(smoothing).addcmul_(gradient, gradient, value=1 - smoothing)
        self.parameters.values.addcdiv_(gradient, (self.squares + epsilon).sqrt_(), value=-learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """The running squares; parameters are the agent's."""
        return {"squares": self.squares, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put them back."""
        self.squares.copy_(state["squares"])
        self._steps.value = state["steps"]


class Workers:
    """The processes of an asynchronous training, which work in bouts: between two of them all stand still."""

    def __init__(self, system: A3C, agent: ActorCritic, shared: Shared, seed: int) -> None:
        """Say who works on what; the first bout starts them, with what a checkpoint has brought back."""
        self._context = processes.get_context("spawn")
        self._system, self._agent, self._shared, self._seed = system, agent, shared, seed
        self._processes: list[Any] = []
        self._pipes: list[Any] = []
        self._scales: list[dict[str, Any] | None] = [None] * system.workers

    def __enter__(self) -> "Workers":
        """Promise to stop them."""
        return self

    def start(self) -> None:
        """Start a process for each worker."""
        for place, scale in enumerate(self._scales):
            ours, theirs = self._context.Pipe()
            seed = derive(self._seed, "worker", place)
            told = (self._system, self._agent, self._shared, seed, scale, theirs)
            process = self._context.Process(target=serve, args=told, daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)

    def state_dict(self) -> dict[str, Any]:
        """The scale of each worker's rewards."""
        return {"scales": self._scales}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put them back, for the workers that will be started."""
        self._scales = state["scales"]

    def __exit__(self, *_: object) -> None:
        """Stop them."""
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            pipe.close()
            process.terminate()
            process.join()

    def until(self, steps: int) -> dict[str, float]:
        """Let all work until they have taken so many steps together; what the log says of it.

        Raises:
            UserError: what a worker met that a person can mend.
            RuntimeError: a worker died.
        """
        if not self._processes:
            self.start()
        for pipe in self._pipes:
            pipe.send(steps)
        returns, lengths, losses = [], [], []
        for place, (process, pipe) in enumerate(zip(self._processes, self._pipes, strict=True)):
            try:
                told = pipe.recv()
            except EOFError:
                process.join()
                raise RuntimeError(f"worker {place} of {self._system.workers} died with exit code {process.exitcode}") from None
            if isinstance(told, UserError):
                raise told
            returns += told["returns"]
            lengths += told["lengths"]
            losses += told["losses"]
            self._scales[place] = told["scale"]
        means = {"episode_return": returns, "episode_length": lengths, "loss": losses}
        return {name: sum(values) / len(values) for name, values in means.items() if values}


def serve(system: A3C, agent: ActorCritic, shared: Shared, seed: int, scale: dict[str, Any] | None, pipe: Any) -> None:
    """A worker's process: bouts of work for as long as the other end asks for them."""
    # Ctrl-C reaches all processes of a terminal; it is the first one that ends the others, and says so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    # An end of the pipe that is gone is a first process that was killed.
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            with small_networks():
                work_for(system, agent, shared, seed, scale, pipe)
        except UserError as error:
            pipe.send(error)


def work_for(system: A3C, agent: ActorCritic, shared: Shared, seed: int, scale: dict[str, Any] | None, pipe: Any) -> None:
    """Bouts of work, until the pipe is closed."""
    environments = Environments(system.env, 1, seeds=[derive(seed, "from", shared.steps)])
    learner = Learner(system, agent, environments, scale)
    while True:
        pipe.send(learner.work(shared, pipe.recv()))
