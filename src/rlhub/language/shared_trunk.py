"""A policy that is its own value model: one trunk, two heads (Ziegler et al. 2019, arXiv:1909.08593; their code, lm-human-preferences)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  its name everywhere
from jaxtyping import Float
from torch import Tensor, nn

from rlhub.language.hidden import apart, together
from rlhub.language.logprobs import Scored, causal_model, score_states, shares_prompts
from rlhub.language.model import Policy
from rlhub.language.rows import Group, micro_batches


@dataclass(frozen=True, kw_only=True)
class Valued(Scored):
    """What a policy with two heads says about completions.

    Attributes:
        values: before each token; 0 beyond.
    """

    values: Float[Tensor, "completions tokens"]


class TwoHeaded(Policy):
    """A policy with a value head on its last hidden state: all weights change in one step, by one loss.

    A checkpoint's model is the policy; its value head lies with the optimiser's state, for going on with only.

    Attributes:
        value_head: from a hidden state to the value there; 0 everywhere at first.
    """

    def __init__(self, policy: Policy) -> None:
        """Give a policy its second head.

        Args:
            policy: its model and optimiser are taken over, not copied.
        """
        super().__init__(policy.model, policy.tokenizer, policy.optimizer, precision=policy.precision)
        width = self.bare.config.get_text_config().hidden_size
        self.value_head = nn.Linear(width, 1).to(self.device)
        for parameter in self.value_head.parameters():
            nn.init.zeros_(parameter)
        self.optimizer.add_param_group({"params": list(self.value_head.parameters())})

    @property
    def trainable(self) -> list[nn.Parameter]:
        """The parameters that training changes, the value head's last."""
        return [*super().trainable, *self.value_head.parameters()]

    def read(self, model: nn.Module, groups: Sequence[Group], *, temperature: float = 1.0) -> Valued:
        """Log-probs and values of every completion token, from one forward pass.

        Args:
            model: this policy's.
            groups: prompts and completions.
            temperature: logits are divided by it.
        """
        inner = causal_model(model)
        hidden, placed = together(inner, groups) if shares_prompts(inner) else apart(inner, groups)
        scored = score_states(inner, hidden, placed, temperature=temperature)
        with torch.autocast(hidden.device.type, enabled=False):
            values = F.linear(hidden.float(), self.value_head.weight, self.value_head.bias)[:, 0]
        held = torch.zeros(scored.mask.shape, device=values.device).masked_scatter(scored.mask, values)
        return Valued(logprobs=scored.logprobs, entropy=scored.entropy, mask=scored.mask, values=held)

    @torch.no_grad()
    def values(self, groups: Sequence[Group], *, micro_tokens: int) -> Float[Tensor, "completions tokens"]:
        """The value before each token, without gradient, on the CPU."""
        with self.autocast():
            parts = [self.read(self.model, [groups[index] for index in part]).values for part in micro_batches(groups, micro_tokens)]
        longest = max(part.shape[1] for part in parts)
        return torch.cat([F.pad(part, (0, longest - part.shape[1])) for part in parts]).cpu()

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's state and the value head."""
        return super().state_dict() | {"value_head": self.value_head.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        super().load_state_dict(state)
        self.value_head.load_state_dict(state["value_head"])
