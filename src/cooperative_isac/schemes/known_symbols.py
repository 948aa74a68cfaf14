"""The part of a frame that is known at an access point: all of it, or the public reference
symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.fronthaul.downlink import downlink_size
from cooperative_isac.scene.model import OfdmGrid, Scene
from cooperative_isac.waveform.signal import Signal, comb

# sqrt(W): no receiver delivers it, and matched filters of more overflow in float32.
LARGEST_SAMPLE = 1e9


def without_overflow(echo: np.ndarray) -> np.ndarray:
    """The echo with zeros where a sample is too large to be one.

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    Returns the same shape; the same array where no sample is too large.
    """
    with np.errstate(over="ignore"):
        lost = np.abs(echo) > LARGEST_SAMPLE
    return np.where(lost, np.zeros((), echo.dtype), echo) if lost.any() else echo


@dataclass(frozen=True)
class KnownSymbols:
    """The resource elements of a scene's frames that can be sensed, as its `sensing.symbols`
    says.
    """

    scene: Scene

    @property
    def reference_only(self) -> bool:
        """Whether nothing but the public reference symbols is known."""
        return self.scene.sensing.symbols == "reference_only"

    @property
    def strides(self) -> tuple[int, int]:
        """Every n-th subcarrier and every m-th symbol of the scene's grid."""
        waveform = self.scene.waveform
        if not self.reference_only:
            return 1, 1
        return waveform.reference_subcarrier_stride, waveform.reference_symbol_stride

    @property
    def grid(self) -> OfdmGrid:
        """The sensed resource elements."""
        return comb(self.scene.grid, *self.strides)

    def of_frame(self, frame: Signal) -> Signal:
        """The known part of a frame."""
        if not self.reference_only:
            return frame
        assert frame.reference is not None  # the scene's waveform has a comb of them
        return frame.reference

    def of_echo(self, echo: np.ndarray) -> np.ndarray:
        """The sensed part of an echo [num_rx_ant, num_subcarriers, num_symbols], without samples
        that overflow.
        """
        return without_overflow(echo[:, :: self.strides[0], :: self.strides[1]])

    @property
    def downlink_bits(self) -> int:
        """Bits of the payload of a frame, packed; 0 with reference symbols only."""
        return 0 if self.reference_only else 8 * downlink_size(self.scene)
