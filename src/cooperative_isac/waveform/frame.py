"""A frame of the scene: the signals of all bands that are on the air in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cooperative_isac.scene.station import Pose
from cooperative_isac.waveform.signal import Signal


@dataclass(frozen=True)
class Frame:
    """The signals of one frame of the scene, and the poses of its moving stations.

    number: counts the frames of all bands together
    signals: by name of the band, of the bands that are on the air in this frame
    time_s: from the start of consecutive frames of one scene, s, so that earlier frames may be
    used; None: an independent draw
    poses: by name of the station, of those that move
    """

    number: int
    signals: Mapping[str, Signal]
    time_s: float | None = None
    poses: Mapping[str, Pose] = field(default_factory=dict)

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that are on the air, in their order."""
        return tuple(self.signals)

    def on(self, band: str) -> Signal:
        """The signal on a band.

        Raises KeyError: the band is not on the air; the message names the bands that are.
        """
        if band not in self.signals:
            raise KeyError(f"frame {self.number} has no band '{band}'; it has {list(self.bands)}")
        return self.signals[band]
