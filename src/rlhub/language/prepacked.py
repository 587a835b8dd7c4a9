"""Linear layers whose weights lie in memory as products with few rows read them best.

Decoding multiplies the same weights with a few rows again and again. On a CPU such a product takes a fifth to a half less time from weights
that MKL (float32) or oneDNN (bfloat16) has put in its own order once; `torch.compile` does the same when it freezes a model. It needs no
compiler to do so here, and the parameters stay as they are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from jaxtyping import Float
from torch import Tensor, nn

PAYS = 12
"""Products from which on putting a weight in order costs less than it gains."""


class Float32Product:
    """x W^T + b in float32 by MKL, whose order of the weight is for one number of rows; with others the weight itself is taken."""

    def __init__(self, module: nn.Linear) -> None:
        self.weight, self.bias = module.weight.detach(), module.bias
        self.rows = 0
        self.packed: Tensor | None = None

    def expect(self, rows: int, products: int) -> None:
        """See `Prepacked.expect`."""
        if rows == self.rows:
            return
        pays = products >= PAYS
        self.rows = rows
        self.packed = torch.ops.mkl._mkl_reorder_linear_weight(self.weight, rows) if pays else None

    def __call__(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        """As the layer's forward."""
        # MKL believes what it is told about sizes, so anything that isn't as expected goes the checked way.
        if self.packed is None or x.numel() != self.rows * self.weight.shape[1] or x.shape[-1] != self.weight.shape[1]:
            return F.linear(x, self.weight, self.bias)
        product: Tensor = torch.ops.mkl._mkl_linear(x, self.packed, self.weight, self.bias, self.rows)
        return product


class BFloat16Product:
    """The same in bfloat16 by oneDNN, whose order serves any number of rows; the weight is rounded once instead of at each product."""

    def __init__(self, module: nn.Linear) -> None:
        self.bias = None if module.bias is None else module.bias.to(torch.bfloat16)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach().to(torch.bfloat16))

    def expect(self, rows: int, products: int) -> None:
        """See `Prepacked.expect`."""

    def __call__(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        """As the layer's forward."""
        nothing: list[Any] = []
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x.to(torch.bfloat16), self.packed, self.bias, "none", nothing, "")
        return product


Product = Float32Product | BFloat16Product


class Prepacked:
    """A model's linear layers for the time of a roll-out.

    Attributes:
        layers: one product for each linear layer that can be prepacked; none on other devices or builds.
    """

    def __init__(self, layers: dict[nn.Linear, Product]) -> None:
        self.layers = layers

    def expect(self, rows: int, *, products: int) -> None:
        """From now on products have this many rows, and about so many are still to come."""
        for product in self.layers.values():
            product.expect(rows, products)


@contextmanager
def prepacked(model: nn.Module) -> Iterator[Prepacked]:
    """Within the block, the model's linear layers multiply with prepacked weights once `Prepacked.expect` has said how many rows there are.

    Parameters keep their memory and values; without gradients only, as the products know nothing of them.
    """
    layers: dict[nn.Linear, Product] = {}
    for module in model.modules():
        kind = product_kind(module)
        if isinstance(module, nn.Linear) and kind is not None:
            layers[module] = kind(module)
    try:
        for module, product in layers.items():
            vars(module)["forward"] = product
        yield Prepacked(layers)
    finally:
        for module in layers:
            vars(module).pop("forward", None)


def product_kind(module: nn.Module) -> type[Product] | None:
    """How this layer's weight can be prepacked, if it can: a plain linear layer on the CPU whose forward nobody has replaced."""
    if type(module) is not nn.Linear or "forward" in vars(module) or module.weight.device.type != "cpu":
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else module.weight.dtype
    if dtype == torch.float32 and torch.backends.mkl.is_available() and hasattr(torch.ops.mkl, "_mkl_linear"):
        return Float32Product
    if dtype == torch.bfloat16 and has_bfloat16_products():
        return BFloat16Product
    return None


@cache
def has_bfloat16_products() -> bool:
    """Whether oneDNN multiplies bfloat16 on this processor; one without AVX-512 is left to torch's own products."""
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
