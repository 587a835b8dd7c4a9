"""Distributions over actions: torch's own numbers, and draws as often as they are likely."""

import math

import pytest
import torch
from gymnasium import spaces

from rlhub.agents.continuous import Squashed
from rlhub.agents.distributions import Bernoulli, Categorical, DiagonalGaussian, MultiCategorical, distribution_over
from rlhub.core.errors import UserError

KINDS = [Categorical(5), MultiCategorical((2, 4)), Bernoulli(3), DiagonalGaussian(2)]


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters(kind, rows=6, seed=0):
    return torch.randn(rows, kind.width, generator=draws(seed))


def torchs(kind, numbers):
    """The same distribution in torch."""
    match kind:
        case Categorical():
            return [torch.distributions.Categorical(logits=numbers)]
        case MultiCategorical():
            return [torch.distributions.Categorical(logits=part) for part in numbers.split(kind.counts, -1)]
        case Bernoulli():
            return [torch.distributions.Bernoulli(logits=part) for part in numbers.unbind(-1)]
    mean, log_std = numbers.chunk(2, -1)
    return [torch.distributions.Normal(one, other.exp()) for one, other in zip(mean.unbind(-1), log_std.unbind(-1), strict=True)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_log_probabilities_entropies_and_divergences_are_torchs(kind):
    one, other = parameters(kind), parameters(kind, seed=1)
    actions = kind.sample(one, kind.noise((6,), draws(2)))
    parts = [actions] if isinstance(kind, Categorical) else list(actions.unbind(-1))
    wanted = sum(part.log_prob(action.float()) for part, action in zip(torchs(kind, one), parts, strict=True))
    torch.testing.assert_close(kind.log_prob(one, actions), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(kind.entropy(one), sum(part.entropy() for part in torchs(kind, one)), atol=1e-5, rtol=1e-5)
    divergence = sum(torch.distributions.kl_divergence(p, q) for p, q in zip(torchs(kind, one), torchs(kind, other), strict=True))
    torch.testing.assert_close(kind.kl(one, other), divergence, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_actions_are_drawn_as_often_as_they_are_likely(kind):
    numbers = parameters(kind, rows=1).expand(100_000, -1)
    found = kind.log_prob(numbers, kind.sample(numbers, kind.noise((100_000,), draws(3)))).mean()
    assert abs(float(found + kind.entropy(numbers[:1]))) < 0.02


def test_a_squashed_gaussians_density_is_the_change_of_variables():
    # Drawn from one seed: nearer to 1 than most draws come, 1 - tanh(u)^2 has too few digits left to compare with.
    outputs, noise = torch.randn(50, 6, dtype=torch.float64, generator=draws(0)).split((4, 2), -1)
    drawn = Squashed(outputs, noise)
    actions, log_probs = drawn.actions, drawn.log_probs
    mean, log_std = outputs.chunk(2, -1)
    gaussian = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp()).log_prob(actions.atanh())
    torch.testing.assert_close(log_probs, (gaussian - (1 - actions.square()).log()).sum(-1), atol=1e-6, rtol=1e-6)


def test_a_squashed_density_stays_finite_where_tanh_is_flat():
    outputs = torch.tensor([[30.0, 0.0]])
    drawn = Squashed(outputs, torch.zeros(1, 1))
    actions, log_probs = drawn.actions, drawn.log_probs
    assert actions.item() == 1.0 and math.isfinite(log_probs.item())


def test_the_distribution_is_the_spaces():
    assert distribution_over(spaces.Discrete(3, start=2), "ppo", "env") == Categorical(3)
    assert distribution_over(spaces.MultiDiscrete([2, 3]), "ppo", "env") == MultiCategorical((2, 3))
    assert distribution_over(spaces.MultiBinary(4), "ppo", "env") == Bernoulli(4)
    assert distribution_over(spaces.Box(-1, 1, (2, 3)), "ppo", "env") == DiagonalGaussian(6)
    with pytest.raises(UserError, match="ppo can't act in env"):
        distribution_over(spaces.Text(3), "ppo", "env")
