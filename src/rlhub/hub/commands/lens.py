"""``rlhub lens MEASUREMENT``: one measurement on any model or checkpoint, as a table, a figure and numbers for machines."""

import importlib
import sys
from dataclasses import dataclass
from typing import Any, Literal

from rlhub.core.errors import UserError
from rlhub.core.progress import use_plain_lines
from rlhub.hub.options import listing_as_json, near, parse


@dataclass(frozen=True, kw_only=True)
class Where:
    """What every measurement takes.

    Attributes:
        model: what to measure: smollm2, tiny, a hub id, a folder, a run, or RUN@STEP.
        base: the model to compare with; where a measurement needs one, by default the model that the run started from.
        output: the folder for results; by default lens/ in the run's folder, or in the current one.
        seed: decides which pairs are drawn, and the resampling.
        runs: the folder where runs live; by default RLHUB_RUNS, else ./runs.
        json: print the numbers as JSON.
        plain: print progress as lines instead of live bars.
    """

    model: str
    base: str | None = None
    output: str | None = None
    seed: int = 0
    runs: str | None = None
    json: bool = False
    plain: bool = False


@dataclass(frozen=True, kw_only=True)
class OnPairs(Where):
    """What a measurement on contrastive prompts takes besides.

    Attributes:
        contrast: capitals, currencies, languages, symbols, or a JSONL file with the columns clean, corrupt, correct, incorrect.
        pairs: how many pairs of prompts; by default 64, or every line of a file.
        facts: only the facts that training sees (train), only those it never sees (heldout), or both.
    """

    contrast: str = "capitals"
    pairs: int | None = None
    facts: Literal["train", "heldout", "all"] = "all"

    def __post_init__(self) -> None:
        """Refuse what no measurement can use."""
        if self.pairs is not None and self.pairs < 1:
            raise UserError(f"--pairs is {self.pairs}: a measurement needs at least 1 pair of prompts")


@dataclass(frozen=True, kw_only=True)
class Circuit(OnPairs):
    """The edges that carry a behaviour, how faithful circuits of each size are, and with --base what changed.

    Attributes:
        method: how edges are scored: integrated gradients (eap-ig), the gradient alone (eap), or patching each edge (exact, slow).
        steps: steps of the integrated gradients.
        selection: the best edges wherever they are (top), or a circuit grown backwards from the logits (greedy).
        ungroup: give each query head a key and value of its own where heads share them.
        faithful: the circuit shown is the smallest that is at least this faithful.
        edges: edges that are chosen for the circuit shown, instead of by faithfulness; before pruning.
    """

    method: Literal["eap-ig", "eap", "exact"] = "eap-ig"
    steps: int = 5
    selection: Literal["top", "greedy"] = "top"
    ungroup: bool = False
    faithful: float = 0.85
    edges: int | None = None


@dataclass(frozen=True, kw_only=True)
class Patch(OnPairs):
    """What patching the residual stream, attention or MLPs does, at each layer and token.

    Attributes:
        into: the run that is patched with values of the other: corrupt asks what restores the answer, clean what destroys it.
    """

    into: Literal["corrupt", "clean"] = "corrupt"


@dataclass(frozen=True, kw_only=True)
class Heads(OnPairs):
    """What patching each attention head does.

    Attributes:
        into: the run that is patched with values of the other: corrupt asks what restores the answer, clean what destroys it.
    """

    into: Literal["corrupt", "clean"] = "corrupt"


@dataclass(frozen=True, kw_only=True)
class Trace(OnPairs):
    """Where facts are recalled: causal tracing with noise on the subject and with another subject in its place.

    Attributes:
        draws: noise draws a prompt.
    """

    draws: int = 10


@dataclass(frozen=True, kw_only=True)
class LogitLens(OnPairs):
    """What the model would answer if it stopped after each layer."""


@dataclass(frozen=True, kw_only=True)
class Weights(Where):
    """How many parameters training changed, by how much and along how many directions.

    Attributes:
        spectra: measure singular values too, which takes the longest.
    """

    spectra: Literal["yes", "no"] = "yes"


@dataclass(frozen=True, kw_only=True)
class CKA(OnPairs):
    """How alike two models represent the same prompts, layer by layer.

    Attributes:
        sites: where to compare; by default the residual stream before each layer and at the end.
    """

    sites: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KL(OnPairs):
    """How far training moved what the model says: forward and reverse KL to the base on the contrast's clean prompts."""


@dataclass(frozen=True, kw_only=True)
class Record(OnPairs):
    """Activations at named places, written as safetensors.

    Attributes:
        sites: places such as resid.5, head.5.3, mlp.5, logits, or a module's path.
        positions: each prompt's last position, or all of them.
    """

    sites: tuple[str, ...] = ("resid.0",)
    positions: Literal["last", "all"] = "last"


@dataclass(frozen=True, kw_only=True)
class Units(Where):
    """What each hidden unit of a trained agent decides: its value is swapped with that of another moment.

    Attributes:
        observations: moments of the agent's own episodes.
        sites: modules whose units are swapped; by default everything after an activation on the way to the action.
        of: which of several seeds that trained together; by default the first.
    """

    observations: int = 512
    sites: tuple[str, ...] = ()
    of: int | None = None

    def __post_init__(self) -> None:
        """Refuse too few."""
        if self.observations < 2:
            raise UserError(f"--observations is {self.observations}: units are swapped between at least 2")


MEASUREMENTS: dict[str, tuple[type[Where], str, str]] = {
    "circuit": (Circuit, "rlhub.hub.measurements.circuit:circuit", "the edges that carry a behaviour, and how faithful they are"),
    "patch": (Patch, "rlhub.hub.measurements.patching:patch", "what each layer and token carries: activation patching"),
    "heads": (Heads, "rlhub.hub.measurements.patching:heads", "what each attention head carries: activation patching"),
    "trace": (Trace, "rlhub.hub.measurements.recall:trace", "where facts are recalled: causal tracing"),
    "logit-lens": (LogitLens, "rlhub.hub.measurements.recall:depths", "what the model would answer after each layer"),
    "weights": (Weights, "rlhub.hub.measurements.weights:weights", "which parameters training changed: sparsity, norms, spectra"),
    "cka": (CKA, "rlhub.hub.measurements.distance:cka", "how alike two models represent the same prompts"),
    "kl": (KL, "rlhub.hub.measurements.distance:kl", "how far training moved what the model says"),
    "units": (Units, "rlhub.hub.measurements.units:units", "what each hidden unit of a trained agent decides"),
    "record": (Record, "rlhub.hub.measurements.distance:recorded", "activations at named places, as safetensors"),
}


def run(arguments: list[str]) -> int:
    """Take the measurement named first, with the options that follow; without one, list the measurements."""
    if not arguments or arguments[0].startswith("-"):
        return _list(arguments)
    name, rest = arguments[0], arguments[1:]
    if name not in MEASUREMENTS:
        raise UserError(f"there is no measurement {name!r}{near(name, list(MEASUREMENTS))}: choose one of {', '.join(MEASUREMENTS)}")
    kind, place, _ = MEASUREMENTS[name]
    options: Any = parse(kind, rest, prog=f"rlhub lens {name}")
    use_plain_lines(options.plain)
    module, _, function = place.partition(":")
    measure = getattr(importlib.import_module(module), function)

    from rlhub.hub.measurements.result import save, show

    result = measure(options)
    folder = save(result, name, options)
    show(result, folder, as_json=options.json)
    return 0


def _list(arguments: list[str]) -> int:
    if listing_as_json("rlhub lens", "measurement", arguments):
        import json

        sys.stdout.write(json.dumps([{"name": name, "what": what} for name, (_, _, what) in MEASUREMENTS.items()]) + "\n")
        return 0
    width = max(map(len, MEASUREMENTS)) + 2
    lines = [f"  {name:{width}}{what}" for name, (_, _, what) in MEASUREMENTS.items()]
    sys.stdout.write(
        "usage: rlhub lens MEASUREMENT --model MODEL [options]\n\n"
        + "\n".join(lines)
        + "\n\nMODEL is smollm2, tiny, a hub id, a folder, a run, or RUN@STEP."
        + "\n`rlhub lens circuit --help` shows a measurement's options.\n"
    )
    return 0
