"""A system small enough to be killed a hundred times: a regression that draws its data, its noise and its dropout at random."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A small regression.

    Attributes:
        steps: optimisation steps.
        learning_rate: AdamW's step size.
        width: hidden units.
        schedule: whether the learning rate decays.
        poison: the step at which a weight becomes NaN.
        broken: the step at which a bug shows itself.
        data: a file; nothing reads it.
    """

    steps: int = 6
    learning_rate: float = 1e-2
    width: int = 16
    schedule: bool = True
    poison: int | None = None
    broken: int | None = None
    data: str = ""

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"width is {self.width}; a layer has at least 1 unit")

    def train(self, run):
        model = nn.Sequential(nn.Linear(4, self.width), nn.Tanh(), nn.Dropout(0.2), nn.Linear(self.width, 1))
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step) if self.schedule else 1)
        run.log(0, before=1.0)
        for step in run.resume(self.steps, model=model, optimizer=optimizer, schedule=schedule):
            x = torch.randn(8, 4, generator=run.generator("data", step))
            noise = random.random() + np.random.rand() + torch.rand(())
            loss = (model(x).squeeze(-1) - x.sum(-1) - noise).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step == self.broken:
                raise ZeroDivisionError("a bug")
            run.log(step, loss=loss)
            run.log(step, noise=noise)
            if step == self.poison:
                with torch.no_grad():
                    model[0].weight[0, 0] = torch.nan
        run.log(self.steps, after=2)
