"""What each unit of a network is for: its value is swapped with that of another example, and one sees what comes out."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from rlhub.lens.record import evaluating
from rlhub.lens.sites import site


@torch.no_grad()
def unit_effects(
    model: nn.Module,
    output: Callable[[], Shaped[Tensor, "examples ..."]],
    sites: Sequence[str],
    change: Callable[[Shaped[Tensor, "examples ..."], Shaped[Tensor, "examples ..."]], Float[Tensor, " examples"]],
    *,
    generator: torch.Generator,
) -> dict[str, Float[Tensor, " units"]]:
    """How far the output changes, in the mean over examples, when one unit has another example's value.

    Swapping keeps the values that a unit really takes, where setting it to zero may not (Chan et al. 2022, causal scrubbing).

    Args:
        model: any module; run in eval mode and left as it was found.
        output: runs it on all examples.
        sites: module paths; a unit is one place of the last axis, or a channel of images, [examples, channels, height, width].
        change: how far each example's output has moved, from before and after.
        generator: decides whose value each example gets.

    Returns:
        one number a unit, for each site.

    Raises:
        UserError: there is no such site.
    """
    places = {name: site(model, name) for name in sites}
    with evaluating(model):
        before = output()
        others = derangement(len(before), generator)
        effects = {}
        for name, place in places.items():
            widths: list[int] = []
            handle = place.attach(lambda value, widths=widths: widths.append(value.shape[axis_of(value)]))  # type: ignore[misc]
            output()
            handle.remove()
            found = []
            for unit in range(widths[0] if widths else 0):
                handle = place.attach(lambda value, unit=unit: swapped(value, unit, others))  # type: ignore[misc]
                try:
                    found.append(change(before, output()).mean())
                finally:
                    handle.remove()
            effects[name] = torch.stack(found) if found else torch.zeros(0)
    return effects


def swapped(value: Float[Tensor, "examples ..."], unit: int, others: Int[Tensor, " examples"]) -> Float[Tensor, "examples ..."]:
    """The values with one unit's taken from other examples."""
    new = value.clone()
    axis = axis_of(value)
    new.select(axis, unit).copy_(value.select(axis, unit)[others])
    return new


def axis_of(value: Float[Tensor, "..."]) -> int:
    """The axis whose places are units: channels of images, else the last."""
    return 1 if value.ndim == 4 else value.ndim - 1


def derangement(count: int, generator: torch.Generator) -> Int[Tensor, " count"]:
    """Places in an order in which none keeps its own (for two or more)."""
    order = torch.randperm(count, generator=generator)
    others = torch.empty_like(order)
    others[order] = order.roll(1)
    return others
