"""EAP-IG with 5 steps on 64 pairs of 12 tokens, SmolLM2 in fp32, against the public algorithm's cost model: 5 forward+backward passes.

The floor counts the plain model's passes and nothing else: no recorded activations, no contraction with the graph's 72,000 edges, no run on
the other prompts. `floor` is the model as a person holds it, its parameters' gradients included; `floor_inputs` asks for the gradient
at the embeddings alone and for the logits of the last position alone, which is the least that integrated gradients can do.
"""

from collections.abc import Callable

import torch
from harness import compare
from torch import nn

from rlhub.language.model import load_model
from rlhub.lens.attribution import attribute
from rlhub.lens.contrast import Contrast, logit_difference

PAIRS, POSITIONS, STEPS, REPEATS = 64, 12, 5, 3


def pairs() -> Contrast:
    """Repeatable random prompts that differ in three tokens."""
    draw = torch.Generator().manual_seed(0)
    clean = torch.randint(100, 40_000, (PAIRS, POSITIONS), generator=draw)
    corrupt = clean.clone()
    corrupt[:, 4:7] = torch.randint(100, 40_000, (PAIRS, 3), generator=draw)
    return Contrast(
        clean=clean,
        corrupt=corrupt,
        mask=torch.ones(PAIRS, POSITIONS, dtype=torch.bool),
        correct=torch.full((PAIRS,), 1000),
        incorrect=torch.full((PAIRS,), 2000),
    )


def ours() -> Callable[[], dict[str, float]]:
    """rlhub, every pair's own scores kept."""
    model, _ = load_model("smollm2")
    contrast = pairs()

    def run() -> dict[str, float]:
        scores = attribute(model, contrast, steps=STEPS, per_pair=True).scores
        return {"edges": float((scores != 0).sum()), "largest": scores.abs().max().item()}

    return run


def floor() -> Callable[[], dict[str, float]]:
    """The plain model's passes, gradients of its parameters included."""
    model, _ = load_model("smollm2")
    contrast = pairs()

    def run() -> dict[str, float]:
        total = 0.0
        for _ in range(STEPS):
            total += _pass(model, contrast, input_ids=contrast.clean)
            model.zero_grad(set_to_none=True)
        return {"metric": total}

    return run


def floor_inputs() -> Callable[[], dict[str, float]]:
    """The plain model's passes for the gradient at its embeddings only, with the logits of the last position only."""
    model, _ = load_model("smollm2")
    model.requires_grad_(False)
    contrast = pairs()

    def run() -> dict[str, float]:
        total = 0.0
        for _ in range(STEPS):
            embeddings = model.get_input_embeddings()(contrast.clean).requires_grad_()
            total += _pass(model, contrast, inputs_embeds=embeddings, logits_to_keep=1)
        return {"metric": total}

    return run


def _pass(model: nn.Module, contrast: Contrast, **inputs: object) -> float:
    logits = model(attention_mask=contrast.mask.long(), use_cache=False, **inputs).logits
    metric = logit_difference(logits, contrast).sum()
    metric.backward()
    return metric.item()


if __name__ == "__main__":
    compare(
        "lens_attribution",
        {"ours": ours, "floor": floor, "floor_inputs": floor_inputs},
        peer="floor",
        repeats=REPEATS,
        target=1 / 1.3,
        facts={"pairs": PAIRS, "positions": POSITIONS, "steps": STEPS, "dtype": "float32"},
    )
