"""Settings by environment: every one makes a system, and the command line begins from them."""

import json

import pytest

from rlhub.agents import A2C, A3C, DDPG, DQN, PPO, SAC, TD3, TRPO, VPG
from rlhub.agents.tuned import TUNED, tuned
from rlhub.core.run import find_run
from rlhub.core.system import load_system
from rlhub.hub.cli import main

KINDS = {kind.__name__.lower(): kind for kind in (A2C, A3C, DDPG, DQN, PPO, SAC, TD3, TRPO, VPG)}


@pytest.mark.parametrize(("algorithm", "env"), [(name, env) for name, entries in TUNED.items() for env in entries])
def test_every_entry_makes_a_system(algorithm, env):
    name = env + ("Freeway-v5" if env.endswith("/") else "")
    system = KINDS[algorithm](**KINDS[algorithm].tuned(name))
    assert system.env == name
    assert all(getattr(system, field) == value for field, value in TUNED[algorithm][env].items())


def test_options_after_the_question_mark_do_not_matter_and_a_stranger_gets_the_defaults():
    assert tuned("ppo", "LunarLander-v3?enable_wind=true") == {**tuned("ppo", "LunarLander-v3"), "env": "LunarLander-v3?enable_wind=true"}
    assert tuned("ppo", "MountainCar-v0") == {"env": "MountainCar-v0"}
    assert PPO(**PPO.tuned()) == PPO()


def test_the_command_line_begins_from_them_says_so_and_lets_a_person_decide(tmp_path, capsys):
    words = ["train", "ppo", "--env=Pendulum-v1", "--steps", "400", "--rollout", "10", "--name", "run", "--plain", "--runs", str(tmp_path)]
    assert main(words) == 0
    told = capsys.readouterr().out.splitlines()[0]
    assert told.startswith("settings for Pendulum-v1, unlike the defaults:")
    assert "discount 0.9" in told and "steps" not in told and "rollout" not in told
    system = load_system(json.loads((find_run("run", tmp_path) / "config.json").read_text()))
    assert (system.steps, system.rollout, system.discount) == (400, 10, 0.95)
