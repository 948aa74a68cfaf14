"""The known symbols of a frame at an access point: payload, public reference symbols, or both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.fronthaul.downlink import downlink_size
from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.signal import Component, Signal, comb, whole_signal

# Largest amplitude of a sample, sqrt(W): no receiver delivers more, and matched filters of more
# overflow in float32.
LARGEST_SAMPLE = 1e9


def without_overflow(echo: np.ndarray) -> np.ndarray:
    """The echo with zeros in place of samples above LARGEST_SAMPLE.

    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
    Returns the same shape; the same array where no sample is too large.
    """
    with np.errstate(over="ignore"):
        is_too_large = np.abs(echo) > LARGEST_SAMPLE
    if not is_too_large.any():
        return echo
    return np.where(is_too_large, np.zeros((), echo.dtype), echo)


@dataclass(frozen=True)
class KnownSymbols:
    """The resource elements of a scene's frames with known symbols, from its `sensing.symbols`."""

    scene: Scene

    @property
    def reference_only(self) -> bool:
        """True where only the public reference symbols are known."""
        return self.scene.sensing.symbols == "reference_only"

    @property
    def strides(self) -> tuple[int, int]:
        """Steps from one known resource element to the next: subcarriers, symbols."""
        return self.scene.waveform.reference_strides if self.reference_only else (1, 1)

    @property
    def grid(self) -> OfdmGrid:
        """Grid of the known resource elements."""
        return comb(self.scene.grid, *self.strides)

    def of_frame(self, frame: Signal) -> Component:
        """The known part of a frame."""
        # Payload and reference symbols together, or payload only.
        if self.scene.sensing.symbols == "all":
            return whole_signal(frame)
        if not self.reference_only:
            return frame

        # Reference symbols only.
        assert frame.reference is not None  # the scene's waveform has some
        return frame.reference

    def of_echo(self, echo: np.ndarray) -> np.ndarray:
        """The known part of an echo, with zeros in place of samples that overflow.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        """
        subcarrier_stride, symbol_stride = self.strides
        return without_overflow(echo[:, ::subcarrier_stride, ::symbol_stride])

    @property
    def downlink_bits(self) -> int:
        """Size of the packed symbols and precoders; zero with reference symbols only."""
        return 0 if self.reference_only else 8 * downlink_size(self.scene)


def frame_downlink_bits(scene: Scene, frame: Frame) -> int:
    """Size of the packed symbols and precoders of all bands on the air, bits."""
    return sum(KnownSymbols(scene.on(band)).downlink_bits for band in frame.bands)
