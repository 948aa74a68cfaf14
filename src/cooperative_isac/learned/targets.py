"""From a network's numbers to targets and back: min-max normalized labels, and a loss that knows no
order.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.learned.network import Predictions, Truth
from cooperative_isac.scene.model import Scene

PRESENCE_WEIGHT = 0.1


def label_range(scene: Scene) -> tuple[Tensor, Tensor]:
    """Minimum and maximum of the labels (location [m], velocity [m/s]), each [2 dimension],
    float32.
    """
    size, draw = scene.dimension, scene.draw
    speed = np.maximum([draw.max_speed_mps, draw.max_speed_mps, draw.max_climb_mps][:size], 1.0)
    low = np.concatenate([scene.box.low_m[:size], -speed])
    high = np.concatenate([scene.box.high_m[:size], speed])
    return torch.tensor(low, dtype=torch.float32), torch.tensor(high, dtype=torch.float32)


class TargetHead(nn.Module):
    """The last layer Phi_out: features [batch, num_features] to Q targets [batch, Q, 1 + 2
    dimension].

    The first number of a target is the log-odds of its presence, the others its normalized state.
    """

    def __init__(self, scene: Scene, num_features: int, num_targets: int):
        super().__init__()
        low, high = label_range(scene)
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.out = nn.Linear(num_features, num_targets * (1 + len(low)))
        nn.init.constant_(self.out.bias, 0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Targets of features, as the class has them."""
        return self.out(features).reshape(len(features), -1, 1 + len(self.low))

    def normalized(self, state: Tensor) -> Tensor:
        """States [..., 2 dimension] in m and m/s between 0 and 1."""
        return (state - self.low) / (self.high - self.low)

    def decode(self, output: Tensor, deviation: Tensor) -> Predictions:
        """The targets that an output tells, each with the same deviation [2 dimension]."""
        state = self.low + output[..., 1:].float() * (self.high - self.low)
        return Predictions(output[..., 0].float().sigmoid(), state, deviation.expand_as(state))

    def loss(self, output: Tensor, truth: Truth, error: str = "squared") -> Tensor:
        """Loss of a batch, a scalar: set_loss on normalized labels."""
        return set_loss(
            output[..., 0], output[..., 1:], truth.present, self.normalized(truth.state), error
        )


def set_loss(
    log_odds: Tensor, state: Tensor, present: Tensor, label: Tensor, error: str = "squared"
) -> Tensor:
    """Squared or absolute error of states plus cross-entropy of presence in the best order, mean of
    the batch.

    CF eq. 17 for targets without an order: they are told apart by place, as speeds alone would sort
    targets that
    nobody can locate yet. log_odds, present: [batch, Q]; state, label: [batch, Q, size], half of it
    the place.
    """
    wanted = present.to(log_odds.dtype)
    differences = state[:, :, None] - label[:, None]
    errors = (differences.abs() if error == "absolute" else differences.square()) * wanted[
        :, None, :, None
    ]
    doubts = PRESENCE_WEIGHT * nn.functional.binary_cross_entropy_with_logits(
        log_odds[:, :, None].expand_as(errors[..., 0]),
        wanted[:, None].expand_as(errors[..., 0]),
        reduction="none",
    )
    places = errors[..., : errors.shape[-1] // 2].mean(-1) + doubts
    costs = torch.stack([places, errors.mean(-1) + doubts])
    outputs = torch.arange(present.shape[1], device=state.device)
    orders = torch.stack(
        [
            costs[:, :, outputs, list(order)].mean(-1)
            for order in permutations(range(present.shape[1]))
        ]
    )
    by_place, whole = orders.unbind(1)
    return whole.gather(0, by_place.argmin(0, keepdim=True)).mean()
