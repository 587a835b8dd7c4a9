"""Prepacked weights give the products of the layers themselves and leave no trace."""

import pytest
import torch
from torch import nn

from rlhub.language.prepacked import PAYS, Float32Product, has_bfloat16_products, prepacked, product_kind


def layers():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(96, 160), nn.GELU(), nn.Linear(160, 48, bias=False))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(16, 96), (16, 1, 96), (5, 96), (1, 7, 96), (96,)])
@torch.no_grad()
def test_products_are_the_layers_own(shape, precision):
    model, x = layers(), torch.randn(shape)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        wanted = model(x)
        with prepacked(model) as products:
            products.expect(16, products=PAYS)
            assert len(products.layers) == (2 if precision is torch.float32 or has_bfloat16_products() else 0)
            got = model(x)
            products.expect(5, products=1)
            again = model(x)
    assert got.dtype == wanted.dtype
    tolerance = 1e-6 if precision is torch.float32 else 2e-2
    torch.testing.assert_close(got, wanted, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(again, wanted, atol=tolerance, rtol=tolerance)


def test_layers_are_as_before_even_after_a_failure():
    model = layers()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    places = [parameter.data_ptr() for parameter in model.parameters()]
    with pytest.raises(RuntimeError), torch.no_grad(), prepacked(model) as products:
        products.expect(4, products=PAYS)
        model(torch.randn(4, 7))
    assert all("forward" not in vars(module) for module in model.modules())
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert places == [parameter.data_ptr() for parameter in model.parameters()]
    assert model(torch.randn(4, 96)).requires_grad


def test_few_products_are_not_worth_the_packing():
    model = layers()
    with torch.no_grad(), prepacked(model) as products:
        products.expect(4, products=PAYS - 1)
        assert all(product.packed is None for product in products.layers.values() if isinstance(product, Float32Product))


def test_a_layer_with_a_forward_of_its_own_is_left_alone():
    class Halved(nn.Linear):
        def forward(self, x):
            return super().forward(x) / 2

    assert product_kind(Halved(4, 4)) is None
    replaced = nn.Linear(4, 4)
    replaced.forward = lambda x: x
    assert product_kind(replaced) is None
    assert product_kind(nn.Linear(4, 4)) is not None
