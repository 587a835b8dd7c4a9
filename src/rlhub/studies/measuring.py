"""The measurements of a study: which instruments look at which checkpoints, each taken once and kept in the store."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from rlhub.core.errors import UserError
from rlhub.language.model import Policy, load_policy
from rlhub.language.rollout import Rollout
from rlhub.lens.contrast import Contrast
from rlhub.lens.faithfulness import SIZES
from rlhub.lens.graph import Graph
from rlhub.studies import behaviour, circuits, instruments
from rlhub.studies.arms import Size
from rlhub.studies.conduct import conduct
from rlhub.studies.question import Asked, Question, Wrong
from rlhub.studies.store import Store

SAMPLED = 32
"""Questions that KL and entropy are measured on."""


class Subject:
    """A model that is measured, loaded when something is measured that has not been measured before.

    Attributes:
        name: "base", or a run and step such as "sft-seed0@40".
        source: what it is loaded from.
    """

    def __init__(self, name: str, source: str | Path) -> None:
        self.name = name
        self.source = str(source)

    @cached_property
    def policy(self) -> Policy:
        """The model with its tokenizer."""
        policy = load_policy(self.source, learning_rate=0.0)
        policy.model.eval()
        return policy

    @property
    def model(self) -> Any:
        """The model."""
        return self.policy.model


class Measuring:
    """What is measured in a study of one base and one question.

    Attributes:
        store: where measurements are kept.
        base: the model that all runs started from.
        question: what is asked of every checkpoint.
        size: how much is measured.
    """

    def __init__(self, store: Store, base: Subject, question: Question, size: Size) -> None:
        self.store = store
        self.base = base
        self.question = question
        self.size = size

    def check(self) -> None:
        """See that there are pairs to look for circuits with."""
        _ = self.contrast

    @cached_property
    def contrast(self) -> Contrast:
        """The same pairs for every model: what is trained, equally long, told apart by the base in both directions.

        Raises:
            UserError: no two prompts make a pair, or the base tells none apart.
        """
        drawn = self.question.pairs(self.base.policy.tokenizer, 6 * self.size.pairs).to(self.base.policy.device)
        chosen = self.store.measured("base", "pairs", lambda: instruments.kept_pairs(self.base.model, drawn, pairs=self.size.pairs))
        if not chosen:
            raise UserError(
                f"the base tells none of {len(drawn)} pairs of prompts of {self.question.task.name} apart, so there is no circuit to find: "
                "begin from a model that knows more of it, or train the warm-up longer"
            )
        return drawn[chosen]

    @cached_property
    def patched(self) -> Contrast:
        """The first of these pairs, for what is measured place by place."""
        return self.contrast[: self.size.patched]

    @cached_property
    def traced(self) -> Contrast:
        """The pairs on which the base's first choice is right, as many as are patched."""
        right = self.store.measured("base", "known", lambda: instruments.known(self.base.model, self.contrast))
        return self.contrast[(right or [0])[: self.size.patched]]

    @cached_property
    def graph(self) -> Graph:
        """The edges, the same in all models."""
        return Graph.of(self.base.model)

    @cached_property
    def base_samples(self) -> Rollout:
        """The base's own completions of the trained questions."""
        return self.samples(self.base)

    def samples(self, subject: Subject) -> Rollout:
        """A model's completions of the trained questions."""
        chosen = behaviour.spread(self.question.splits["train"].examples, SAMPLED)
        return behaviour.samples(subject.policy, chosen, max_new_tokens=self.question.new_tokens, seed=0)

    def behaviour(self, subject: Subject) -> dict[str, Any]:
        """Right answers in every split, KL to the base, entropy; and how it conducts itself, where that is asked about."""

        def measure() -> dict[str, Any]:
            own = self.base_samples if subject is self.base else self.samples(subject)
            return self.answers(subject) | behaviour.divergences(self.base.model, subject.policy, self.base_samples, own)

        measured: dict[str, Any] = self.store.measured(subject.name, "behaviour", measure)
        return measured

    def answers(self, subject: Subject) -> dict[str, Any]:
        """The share of questions of each split that are answered rightly."""
        return {split: self.right(subject, asked) for split, asked in self.question.splits.items()}

    def right(self, subject: Subject, asked: Asked, *, drawn: bool = False) -> dict[str, Any]:
        """The share of questions that are answered rightly, by the likeliest answer or by one that is drawn."""
        hits = behaviour.recall(subject.policy, asked.task, asked.examples, max_new_tokens=asked.new_tokens, drawn=drawn)
        return behaviour.share(hits)

    def scores(self, subject: Subject) -> circuits.PerPair:
        """Edge scores, pair by pair."""
        return self.store.tensors(subject.name, "scores", lambda: circuits.scores(subject.model, self.contrast))["per_pair"]

    def circuit(self, subject: Subject) -> dict[str, Any]:
        """The model's own circuit, and its likeness to the base's."""
        measured = {
            "metric": self.store.measured(subject.name, "metric", lambda: instruments.metric(subject.model, self.contrast)),
            "own": self.store.measured(subject.name, "faithfulness", lambda: self.faithful(subject, self.scores(subject))),
        }
        if subject is self.base:
            measured["resampled"] = self.store.measured("base", "resampled", lambda: circuits.resampled(self.scores(subject), self.graph))
        else:
            measured["bases"] = self.store.measured(subject.name, "bases-circuit", lambda: self.bases_circuit(subject))
            measured["alike"] = self.store.measured(
                subject.name, "alike", lambda: circuits.compared(self.scores(self.base), self.scores(subject), self.graph)
            )
        return measured

    def faithful(self, subject: Subject, per_pair: circuits.PerPair, sizes: Sequence[float] = SIZES) -> dict[str, Any]:
        """Faithfulness in one model of circuits by scores that may be another's."""
        return circuits.faithful(subject.model, self.contrast, circuits.attribution(subject.model, per_pair), sizes)

    def bases_circuit(self, subject: Subject) -> dict[str, Any]:
        """The base's circuit in another model, at fewer sizes, the reference size among them."""
        return self.faithful(subject, self.scores(self.base), sorted({*circuits.OTHER_SIZES, self.reference_size}))

    @property
    def reference_size(self) -> float:
        """The size at which circuits are run in other models."""
        own = self.store.measured("base", "faithfulness", lambda: self.faithful(self.base, self.scores(self.base)))
        return circuits.reference_size(own)

    def weights(self, subject: Subject) -> dict[str, Any]:
        """How far the weights moved."""
        return self.store.measured(subject.name, "weights", lambda: instruments.weights(self.base.model, subject.model))

    def inside(self, subject: Subject) -> dict[str, Any]:
        """Everything that is measured at the end of training (and in the base) only."""
        size, store = self.size, self.store
        found = {
            "heads": store.measured(subject.name, "heads", lambda: instruments.heads(subject.model, self.patched)),
            "tokens": store.measured(subject.name, "tokens", lambda: instruments.tokens(subject.model, self.patched)),
        }
        if self.contrast.subject is not None:
            found["tracing"] = store.measured(
                subject.name,
                "tracing",
                lambda: instruments.tracing(
                    subject.model, self.traced, corruptions=size.corruptions, restored=size.restored, draws=size.draws
                ),
            )
        if (wrong := self.wrong) is not None:
            found["wrong"] = store.measured(subject.name, "wrong", lambda: instruments.wrong_answers(subject.model, *wrong))
        if self.question.conduct:
            store.measured(subject.name, "conduct", lambda: conduct(subject.policy, self.question.conduct))
        store.measured(
            subject.name, "random-circuits", lambda: circuits.random_circuits(subject.model, self.contrast, size=self.reference_size)
        )
        self.truth(subject)
        if subject is not self.base:
            found |= {
                "cka": store.measured(subject.name, "cka", lambda: instruments.similarity(self.base.model, subject.model, self.contrast)),
                "spectra": store.measured(subject.name, "spectra", lambda: instruments.spectra(self.base.model, subject.model)),
                "truth": store.measured(
                    subject.name, "transfer", lambda: instruments.truth_transfer(self.truth(self.base), self.truth(subject))
                ),
            }
        return found

    def truth(self, subject: Subject) -> Tensor:
        """Activations that tell true statements from false ones."""
        return self.store.tensors(subject.name, "truth", lambda: instruments.truth(subject.model, subject.policy.tokenizer))["difference"]

    @cached_property
    def wrong(self) -> Wrong | None:
        """Prompts that the base answers wrongly."""
        return self.question.wrong(self.base.policy, self.preferences)

    @cached_property
    def preferences(self) -> list[dict[str, Any]]:
        """A better and a worse answer to each question."""
        return self.store.measured("base", "preferences", lambda: self.question.preferences(self.base.policy))

    @property
    def preferences_file(self) -> Path:
        """The same as a file to train on."""
        return self.store.folder / "preferences.jsonl"


def accuracies(measured: Mapping[str, dict[str, Any]], names: Sequence[str], number: str) -> dict[str, dict[int, float]]:
    """Run -> step -> a number of behaviour, over all checkpoints of the runs named."""
    curves: dict[str, dict[int, float]] = {}
    for name, found in measured.items():
        run, _, step = name.partition("@")
        if run in names:
            curves.setdefault(run, {})[int(step)] = found[number]["value"]
    return curves
