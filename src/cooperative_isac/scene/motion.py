"""How targets move: one protocol, several kinds."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Motion(Protocol):
    """A motion knows its state at any time."""

    def state(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] m and velocity [3] m/s in map, time_s after the scene's start."""

    @property
    def duration_s(self) -> float:
        """How long the motion is defined; inf for one that never ends."""
