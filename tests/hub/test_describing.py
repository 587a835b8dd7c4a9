"""What systems are, told without torch: fields and their documentation, the cache, options checked and made into words."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, fields
from typing import Literal

import pytest

from rlhub.core.system import import_system
from rlhub.hub import describing
from rlhub.hub.checking import check, settings, words
from rlhub.hub.cli import main
from rlhub.hub.commands.train import RunOptions, tuned
from rlhub.hub.describing import attributes_of, describe, describe_all, fields_of
from rlhub.hub.measured import measured
from rlhub.hub.options import parse
from rlhub.hub.systems import SYSTEMS
from rlhub.language.cache import cache_folder


@dataclass(frozen=True, kw_only=True)
class Base:
    """Shared.

    Attributes:
        width: of the layer,
            told in two lines: with a colon.
    """

    width: int = 8


@dataclass(frozen=True, kw_only=True)
class Sample(Base):
    """A system. It has more to say.

    Attributes:
        name: needed.
        kinds: several.
        schedule: one of two.
        clip: may be left out.
    """

    name: str
    kinds: tuple[Literal["a", "b"], ...] = ("a",)
    schedule: Literal["constant", "linear"] = "linear"
    clip: float | None = None
    exact: bool = True


def test_fields_are_told_in_order_with_kinds_choices_defaults_and_inherited_documentation():
    told = {field["name"]: field for field in fields_of(Sample)}
    assert list(told) == ["width", "name", "kinds", "schedule", "clip", "exact"]
    assert told["width"]["doc"] == "of the layer, told in two lines: with a colon."
    assert told["name"] | {"type": ""} == {
        "name": "name", "type": "", "kind": "text", "many": False, "optional": False, "choices": [],
        "default": None, "required": True, "doc": "needed.",
    }  # fmt: skip
    assert (told["kinds"]["kind"], told["kinds"]["many"], told["kinds"]["choices"]) == ("choice", True, ["a", "b"])
    assert (told["clip"]["kind"], told["clip"]["optional"], told["clip"]["required"]) == ("number", True, False)
    assert (told["exact"]["kind"], told["exact"]["doc"]) == ("flag", "")
    assert attributes_of("No attributes.") == {}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """Every system, by the real process, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLHUB_CACHE", str(tmp_path_factory.mktemp("cache")))
        describing._described.cache_clear()
        yield describe_all()
    describing._described.cache_clear()


def test_every_system_is_described_as_its_class_is(described):
    assert list(described) == [entry.name for entry in SYSTEMS]
    for entry in SYSTEMS:
        told, kind = described[entry.name], import_system(entry.place)
        assert [field["name"] for field in told["fields"]] == [field.name for field in fields(kind)]
        assert all(field["doc"] for field in told["fields"]), entry.name
        assert f"class {kind.__name__}" in told["code"] and told["file"].endswith(".py") and told["idea"] and not told["lacking"]
    ppo = described["ppo"]
    assert ppo["tuned"]["LunarLander-v3"]["environments"] == 128
    assert next(field for field in ppo["fields"] if field["name"] == "hidden")["default"] == [64, 64]
    row = next(row for row in ppo["measured"]["learning"] if row["env"] == "LunarLander-v3")
    assert row["interval"][0] <= row["value"] <= row["interval"][1] and row["reference"] == 242.1 and row["verdict"] == "above"
    assert "Equations and lines" in ppo["docs"] and described["sft"]["docs"] is None


def test_what_is_in_the_cache_is_told_without_torch(described):
    code = (
        "import sys\nfrom rlhub.hub import describing\n"
        "describing._in_a_process = None\n"  # whoever calls it fails
        "assert describing.describe('sac')['fields']\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


@pytest.fixture
def counted(described, tmp_path, monkeypatch):
    """How often systems are imported anew, with a package and a cache that may be broken."""
    calls = []
    monkeypatch.setenv("RLHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(describing, "_in_a_process", lambda: calls.append(1) or described)
    monkeypatch.setattr(describing, "PACKAGE", tmp_path / "package")
    monkeypatch.setattr(describing, "CHECKOUT", tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "ppo.py").write_text("clip = 1")
    describing._described.cache_clear()
    yield calls
    describing._described.cache_clear()


def test_a_changed_source_file_makes_a_new_description(counted, tmp_path):
    describe("ppo")
    describing._described.cache_clear()
    describe("ppo")
    assert len(counted) == 1
    (tmp_path / "package" / "ppo.py").write_text("clip = 2")
    os.utime(tmp_path / "package" / "ppo.py", (1, 1))
    describe("ppo")
    assert len(counted) == 2
    (tmp_path / "package" / "new.py").touch()
    describe("ppo")
    assert len(counted) == 3
    assert len(list(cache_folder().iterdir())) == 1  # what is old is gone


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b'{"key": "other", "systems": {}}', b"\xff\xfe", None])
def test_a_broken_cache_is_made_anew(broken, counted):
    describe("ppo")
    place = next(cache_folder().iterdir())
    whole = place.read_bytes()
    place.write_bytes(whole[: len(whole) // 2] if broken is None else broken)
    describing._described.cache_clear()
    assert describe("ppo")["fields"]
    assert len(counted) == 2 and place.read_bytes() == whole


def test_a_cache_that_can_not_be_written_costs_only_time(counted, tmp_path):
    (tmp_path / "cache").write_text("a file is here")
    assert describe("ppo")["fields"]


def test_what_lacks_a_package_is_not_kept(counted, described, monkeypatch):
    lacking = described | {"ppo": described["ppo"] | {"lacking": "pip install 'rlhub[agents]'", "fields": []}}
    monkeypatch.setattr(describing, "_in_a_process", lambda: lacking)
    assert describe("ppo")["lacking"] == "pip install 'rlhub[agents]'"
    assert not cache_folder().exists()


def test_a_process_that_fails_is_one_sentence(described, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RLHUB_CACHE", str(tmp_path))
    monkeypatch.setattr(describing.sys, "executable", "/bin/false")
    describing._described.cache_clear()
    assert main(["systems", "ppo"]) == 2
    assert "the systems couldn't be described" in capsys.readouterr().err
    describing._described.cache_clear()


def test_options_are_checked_field_by_field(described):
    wrong = {"steps": "many", "clip": "nan", "schedule": "linea", "hiden": 3, "normalise_rewards": "maybe", "lstm": 1.5, "hidden": "64 x"}
    errors = check("ppo", {"env": "CartPole-v1", "decay": "0.9", **wrong})
    assert set(errors) == set(wrong)
    assert errors["steps"] == "steps takes a whole number, not 'many'"
    assert errors["schedule"] == "schedule can't be 'linea' (did you mean linear?): it is one of constant, linear"
    assert errors["hiden"] == "ppo has no option hiden (did you mean hidden?)"
    good = {"steps": "1_000", "hidden": [8, 8], "normalise_rewards": "on", "schedule": "constant", "clip": 1}
    assert check("ppo", good) == {}
    assert check("grpo", {"scale_rewards": None, "clip_low": ""}) == {}
    assert check("ppo", {"clip": None}) == {"clip": "clip needs a value"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ppo", {"env": "LunarLander-v3", "steps": "500", "hidden": "32, 16", "normalise_rewards": "false", "log_std": -0.5, "clip": ""}),
        ("ppo", {"normalise_advantages": False, "normalise_observations": True, "schedule": "constant"}),
        ("dqn", {"env": "ALE/Breakout-v5?repeat_action_probability=0", "double": "yes", "batch": 64}),
        ("grpo", {"task": "reasoning-gym:chain_sum?min_terms=2", "scale_rewards": True, "clip_low": "0.1", "mask_truncated": True}),
        ("dpo", {"loss": "ipo", "learning_rate": "1e-6"}),
    ],
)
def test_options_become_the_words_that_train_understands(name, options, described):
    assert check(name, options) == {}
    kind = import_system(described[name]["place"])
    typed = words(name, options)
    import dataclasses

    both = dataclasses.make_dataclass("Options", [("system", kind), ("run", RunOptions)])
    begins = both(system=tuned(kind, typed), run=RunOptions()) if hasattr(kind, "tuned") else None
    system = parse(both, typed, prog="rlhub train", default=begins).system
    wanted = settings(described[name], options.get("env"))
    for field in described[name]["fields"]:
        if options.get(field["name"], "") != "":
            wanted[field["name"]] = {"true": True, "yes": True, "false": False}.get(options[field["name"]], options[field["name"]])
    if "hidden" in options:
        wanted["hidden"] = [32, 16]
    for key, value in wanted.items():
        kept = getattr(system, key)
        assert (list(kept) if isinstance(kept, tuple) else kept) == (type(kept)(value) if isinstance(value, str) else value), key


def test_results_that_are_not_here_are_said_to_be_in_the_repository(monkeypatch):
    monkeypatch.setattr("rlhub.hub.measured.results_folder", lambda: None)
    assert "repository" in measured("ppo")["where"] and measured("ppo")["learning"] == []


def test_the_page_of_a_system_in_the_terminal(described, capsys):
    assert main(["systems", "ppo"]) == 0
    page = capsys.readouterr().out
    for part in ("--clip float [0.2]", "how far from 1 the ratio counts", "settings for LunarLander-v3", "reference 242.1", "ppo.py"):
        assert part in page
    assert main(["systems", "sft", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "sft"
    assert main(["systems", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(SYSTEMS)
    assert main(["systems", "pppo"]) == 2
    assert "did you mean ppo?" in capsys.readouterr().err
