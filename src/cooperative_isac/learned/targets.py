"""Head and loss of networks whose targets are min-max normalized labels without an order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from torch import Tensor, nn

from cooperative_isac.learned.network import Predictions, Truth
from cooperative_isac.scene.model import Scene

# Weight of the cross-entropy of presence against errors of normalized states, whose weight is 1.
PRESENCE_WEIGHT = 0.1
# Smallest range of a velocity label, m/s: a scene at rest has no range to normalize by.
MIN_SPEED_MPS = 1.0


def label_range(scene: Scene) -> tuple[Tensor, Tensor]:
    """Minimum and maximum of the labels: location [m], then velocity [m/s].

    Returns two tensors [2 dimension], float32.
    """
    size = scene.dimension
    draw = scene.draw
    speeds = [draw.max_speed_mps, draw.max_speed_mps, draw.max_climb_mps][:size]
    speed = np.maximum(speeds, MIN_SPEED_MPS)
    low = np.concatenate([scene.box.low_m[:size], -speed])
    high = np.concatenate([scene.box.high_m[:size], speed])
    return torch.tensor(low, dtype=torch.float32), torch.tensor(high, dtype=torch.float32)


class TargetHead(nn.Module):
    """The last layer Phi_out: features to log-odds and normalized states of Q targets."""

    def __init__(self, scene: Scene, num_features: int, num_targets: int):
        super().__init__()
        low, high = label_range(scene)
        self.register_buffer("low", low)
        self.register_buffer("high", high)
        self.out = nn.Linear(num_features, num_targets * (1 + len(low)))
        # Begin in the middle of the normalized range.
        nn.init.constant_(self.out.bias, 0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Targets of features.

        features: [batch, num_features], float32
        Returns [batch, Q, 1 + 2 dimension], float32: log-odds of presence, normalized state.
        """
        return self.out(features).reshape(len(features), -1, 1 + len(self.low))

    def normalized(self, state: Tensor) -> Tensor:
        """States [..., 2 dimension], m and m/s, scaled to the range from 0 to 1."""
        return (state - self.low) / (self.high - self.low)

    def decode(self, output: Tensor, std: Tensor) -> Predictions:
        """Predicted targets of an output.

        output: [batch, Q, 1 + 2 dimension], float32, as from forward
        std: [2 dimension], float32, standard deviations that every target has, m and m/s
        """
        state = self.low + output[..., 1:].float() * (self.high - self.low)
        return Predictions(output[..., 0].float().sigmoid(), state, std.expand_as(state))

    def loss(self, output: Tensor, truth: Truth, error: str = "squared") -> Tensor:
        """Loss of a batch, a scalar: set_loss on normalized labels."""
        return set_loss(
            output[..., 0], output[..., 1:], truth.present, self.normalized(truth.state), error
        )


def set_loss(
    log_odds: Tensor, state: Tensor, present: Tensor, label: Tensor, error: str = "squared"
) -> Tensor:
    """Error of states plus cross-entropy of presence in the best order, mean over the batch.

    CF eq. 17 for targets without an order. Outputs are assigned to targets by location: velocities
    alone would sort targets before the network can locate any.

    log_odds: [batch, Q], float32
    state: [batch, Q, size], float32, the first half is the location
    present: [batch, Q], bool
    label: [batch, Q, size], float32
    error: squared | absolute
    """
    # Errors of every output (axis 1) against every target (axis 2); none against an absent target.
    presence_label = present.to(log_odds.dtype)
    differences = state[:, :, None] - label[:, None]
    errors = differences.abs() if error == "absolute" else differences.square()
    errors = errors * presence_label[:, None, :, None]

    # Cross-entropy of presence, for the same pairs.
    pairs = errors.shape[:-1]
    presence = PRESENCE_WEIGHT * nn.functional.binary_cross_entropy_with_logits(
        log_odds[:, :, None].expand(pairs),
        presence_label[:, None].expand(pairs),
        reduction="none",
    )

    # Cost of each pair: by location alone, and by the whole state.
    location_error = errors[..., : errors.shape[-1] // 2].mean(-1)
    costs = torch.stack([location_error + presence, errors.mean(-1) + presence])

    # Mean cost of each order of targets, [num_orders, 2, batch].
    num_targets = present.shape[1]
    outputs = torch.arange(num_targets, device=state.device)
    orders = torch.stack(
        [costs[:, :, outputs, list(order)].mean(-1) for order in permutations(range(num_targets))]
    )

    # The loss of the order that is best by location.
    by_location, whole = orders.unbind(1)
    return whole.gather(0, by_location.argmin(0, keepdim=True)).mean()
