"""The layer that networks on planes are built of."""

from torch import Tensor, nn

GROUPS = 8


class PlaneResidual(nn.Module):
    """Two convolutions beside an identity, normalized first."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            *(
                layer
                for _ in range(2)
                for layer in (
                    nn.GroupNorm(GROUPS, channels),
                    nn.ReLU(),
                    nn.Conv2d(channels, channels, 3, padding=1),
                )
            )
        )

    def forward(self, plane: Tensor) -> Tensor:
        """Planes [batch, channels, rows, columns] to others of the same shape."""
        return plane + self.body(plane)
