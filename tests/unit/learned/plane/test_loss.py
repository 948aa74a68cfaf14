"""Parts of the loss of networks on planes."""

import torch

from cooperative_isac.learned.plane.loss import heatmap_loss, laplace


def test_an_empty_frame_has_least_loss_at_a_low_heatmap():
    squared = torch.full((1, 2, 4, 4), 1e9)
    nobody = torch.zeros(1, 2, dtype=torch.bool)
    cold, hot = torch.full((1, 4, 4), -8.0), torch.zeros(1, 4, 4)
    assert heatmap_loss(cold, squared, nobody) < 1e-3 < heatmap_loss(hot, squared, nobody)


def test_the_laplace_loss_is_least_at_the_mean_error():
    errors = torch.tensor([0.5, 1.5, 1.0])
    values = [laplace(errors, torch.tensor(spread).log()).mean() for spread in (0.7, 1.0, 1.4)]
    assert min(values) == values[1]
