"""A run that is killed with -9, anywhere, ends with the very bits of one that was not."""

import json
import random
from pathlib import Path

import pytest

TOY = f"{Path(__file__).with_name('toy.py')}:Toy"


def outcome(folder):
    """Everything that training left behind, but the times."""
    checkpoints = sorted((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return (
        {f"{path.name}/{file}": (path / file).read_bytes() for path in checkpoints for file in ("state.safetensors", "state.json")},
        [{name: value for name, value in line.items() if name != "time"} for line in lines],
    )


def arguments(root, *, steps=6, every=2):
    return ["train", TOY, "--runs", root, "--name", "toy", "--steps", steps, "--checkpoint-every", every, "--keep", "3", "--plain"]


@pytest.fixture(scope="module")
def whole(rlhub, tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    ended = rlhub(*arguments(root), root=str(root))
    assert ended["code"] == 0, ended["err"]
    return outcome(root / "toy"), ended["operations"]


def finish(rlhub, root, killed, **settings):
    """Resume a killed run to its end; one killed before its folder had its name is begun anew."""
    begun = (root / "toy").exists()
    ended = rlhub("resume", root / "toy") if begun else rlhub(*arguments(root, **settings))
    assert ended["code"] == 0, (killed, ended["err"])
    assert "damaged" not in ended["err"]
    return outcome(root / "toy")


def test_killed_before_any_file_operation_it_resumes_to_the_same_bits(rlhub, whole, tmp_path):
    expected, operations = whole
    assert operations > 100
    for place in range(1, operations + 1, 7):
        root = tmp_path / str(place)
        assert rlhub(*arguments(root), root=str(root), kill_at=place)["code"] == -9
        assert finish(rlhub, root, place) == expected, place


def test_killed_again_while_it_resumes_it_still_resumes_to_the_same_bits(rlhub, whole, tmp_path):
    expected, operations = whole
    moments = random.Random(0)
    rlhub(*arguments(tmp_path), root=str(tmp_path), kill_at=operations // 3)
    for _ in range(12):
        rlhub("resume", tmp_path / "toy", root=str(tmp_path), kill_at=moments.randrange(10, 60))
    assert finish(rlhub, tmp_path, "again") == expected


def test_killed_from_outside_at_random_moments_it_resumes_to_the_same_bits(rlhub, tmp_path):
    long = {"steps": 80, "every": 1}
    assert rlhub(*arguments(tmp_path / "whole", **long))["code"] == 0
    moments, ends = random.Random(1), []
    for _ in range(6):
        begun = (tmp_path / "toy").exists()
        command = ["resume", tmp_path / "toy"] if begun else arguments(tmp_path, **long)
        ends.append(rlhub(*command, kill_after=moments.uniform(0.05, 0.3))["code"])
    assert ends.count(-9) >= 2
    assert finish(rlhub, tmp_path, ends, **long) == outcome(tmp_path / "whole" / "toy")
