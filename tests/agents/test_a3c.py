"""Asynchronous workers learn together, say what went wrong, and go on from where they were."""

import signal
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest
import torch

from rlhub.agents.a3c import A3C, Learner, Shared, Workers
from rlhub.agents.actor_critic import ActorCritic
from rlhub.agents.environments import Environments
from rlhub.core.errors import UserError
from rlhub.core.training import train


def test_the_shared_step_is_rmsprops():
    environments = Environments("CartPole-v1", 1, seeds=[0])
    agent = ActorCritic(environments.observation_space, environments.action_space)
    mine = torch.nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in agent.parameters() if parameter.numel()]))
    shared = Shared(agent)
    torchs = torch.optim.RMSprop([mine], lr=0.01, alpha=0.9, eps=0.0)
    for seed in range(3):
        gradient = torch.randn(mine.shape, generator=torch.Generator().manual_seed(seed))
        shared.apply(gradient, learning_rate=0.01, smoothing=0.9, epsilon=0.0)
        mine.grad = gradient
        torchs.step()
    torch.testing.assert_close(shared.parameters.values, mine.detach(), atol=1e-5, rtol=1e-5)
    assert torch.equal(agent.actor[0].weight.flatten(), shared.parameters.values[: agent.actor[0].weight.numel()])


def test_workers_take_no_more_steps_than_there_are():
    environments = Environments("CartPole-v1", 1, seeds=[0])
    shared = Shared(ActorCritic(environments.observation_space, environments.action_space))
    assert [shared.take(5, 10) for _ in range(3)] == [0, 5, None]


def test_workers_learn_together(tmp_path):
    run = train(A3C(steps=40_000, workers=2, log_every=10_000), runs=tmp_path)
    returns = [line["episode_return"] for line in run.metrics()]
    assert returns[-1] > 2 * returns[0]
    assert run.checkpoint().name == "40000"


def test_what_a_worker_meets_is_told_in_its_words(tmp_path):
    with pytest.raises(UserError, match="there is no environment 'Nowhere-v0'"):
        train(A3C(env="Nowhere-v0"), runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_workers_know_of_rewards_is_kept():
    system = A3C(env="Pendulum-v1", workers=2, normalise_rewards=True)
    environments = Environments(system.env, 1, seeds=[0])
    agent = system.agent(environments, 0)
    with Workers(system, agent, Shared(agent), 0) as workers:
        workers.until(4_000)
        state = workers.state_dict()
    counts = [scale["moments"][0, 0].item() for scale in state["scales"]]
    assert sum(counts) == pytest.approx(4_000, abs=100)
    resumed = Workers(system, agent, Shared(agent), 0)
    resumed.load_state_dict(state)
    scale = Learner(system, agent, environments, resumed.state_dict()["scales"][1])._rollout.state_dict()["scale"]
    assert scale["moments"][0, 0].item() == counts[1]
    assert not scale["sums"].any()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_quietly_with_their_first_process(how, tmp_path):
    command = [sys.executable, "-m", "rlhub.hub.cli", "train", "a3c", "--steps", "10000000", "--workers", "2", "--log-every", "1000"]
    with subprocess.Popen(
        [*command, "--plain", "--name", "run", "--runs", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in its background ignores Ctrl-C, and so would what that starts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not (tmp_path / "run" / "metrics.jsonl").exists():
            time.sleep(0.1)
        workers = psutil.Process(process.pid).children(recursive=True)
        # As a terminal does: Ctrl-C goes to every process in it.
        for each in [process, *workers] if how is signal.SIGINT else [process]:
            each.send_signal(how)
        told = process.communicate(timeout=60)[1]
    assert process.returncode == (130 if how is signal.SIGINT else -9)
    assert "Traceback" not in told
    assert psutil.wait_procs(workers, timeout=20)[1] == []
