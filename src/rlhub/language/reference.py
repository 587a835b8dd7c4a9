"""The model that a policy is kept near, where that may change in the course of training."""

from typing import Any

from peft import PeftModel

from rlhub.language.model import Policy, load_model, merged_weights
from rlhub.language.update import load_reference


class Reference:
    """The starting model, until it is reset to the policy as it then is.

    As a part of checkpoints it holds its weights once it has been reset; before, the starting model's name says them.

    Attributes:
        model: the frozen model; None while it is the policy without its adapters.
    """

    def __init__(self, policy: Policy, name: str) -> None:
        """Begin with the starting model.

        Args:
            policy: what is kept near it.
            name: of the starting model.
        """
        self.model = load_reference(policy, name)
        self._name, self._was_reset = name, False

    def reset(self, policy: Policy) -> None:
        """Become the policy as it is."""
        self._take(merged_weights(policy.model) if isinstance(policy.model, PeftModel) else policy.model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Its weights, if they are no longer the starting model's."""
        return {"weights": self.model.state_dict() if self.model is not None and self._was_reset else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        if state["weights"] is not None:
            self._take(state["weights"])

    def _take(self, weights: dict[str, Any]) -> None:
        # adapters go on changing, so that switching them off no longer gives the model that was theirs at the reset
        self.model = load_model(self._name)[0].requires_grad_(False) if self.model is None else self.model
        self.model.load_state_dict(weights)
        self._was_reset = True
