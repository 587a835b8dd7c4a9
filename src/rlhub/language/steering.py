"""A coefficient that follows what it weighs."""


class Steering:
    """The divergence's coefficient, steered so that the divergence comes to a target (Ziegler et al. 2019, arXiv:1909.08593, Sec. 2.2).

    e = clip(KL / target - 1, -0.2, 0.2);  beta <- beta (1 + e * answers / horizon)

    Attributes:
        coefficient: beta.
    """

    def __init__(self, coefficient: float, *, target: float, horizon: int) -> None:
        """Begin with a coefficient; a target of 0 leaves it so."""
        self.coefficient = coefficient
        self._target, self._horizon = target, horizon

    def observe(self, divergence: float, *, answers: int) -> None:
        """Take a step's mean divergence, in nats an answer, into account."""
        if self._target:
            error = min(max(divergence / self._target - 1, -0.2), 0.2)
            self.coefficient *= 1 + error * answers / self._horizon

    def state_dict(self) -> dict[str, float]:
        """The coefficient."""
        return {"coefficient": self.coefficient}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Restore it."""
        self.coefficient = state["coefficient"]
