"""What every classical search for targets in the echoes of one receiver begins with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.model import Scene, Site
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.search_grid import SearchGrid, search_grid
from cooperative_isac.sensing.surface import doppler_bins

# Per location, over its Doppler shifts, of a path that a detected target may have.
PATH_FALSE_ALARM = 0.01


@dataclass(frozen=True)
class Detector:
    """The search grid and the thresholds of one receiver on one band.

    scene: seen on the band, with the transmitters whose echoes the receiver uses
    grid: the resource grid that is sensed: of the band, or a comb of it
    """

    scene: Scene
    receiver: Site
    grid: OfdmGrid

    @cached_property
    def search(self) -> SearchGrid:
        """The cells in which the receiver looks for targets."""
        return search_grid(self.scene, self.receiver, self.grid)

    @property
    def max_doppler_hz(self) -> float:
        """Largest bistatic Doppler shift of a target at the scene's maximum speed."""
        sites_mps = np.linalg.norm(self.receiver.velocity_mps) + max(
            np.linalg.norm(site.velocity_mps) for site in self.scene.transmitters
        )
        return float(2 * self.scene.sensing.max_speed_mps + sites_mps) / self.grid.wavelength_m

    @property
    def frame_stride(self) -> int:
        """Frames of the scene from one of this band to the next."""
        return next(b.frame_stride for b in self.scene.bands if b.name == self.scene.band)

    def detection_threshold(self, reference: StreamReference) -> float:
        """Power that noise alone exceeds anywhere with the scene's false-alarm probability (Exp(1)
        per cell).

        Without any cell in front of the array it is infinite: nothing is detected.
        """
        if not len(self.search.points_m):
            return math.inf
        bins, _ = doppler_bins(reference, self.max_doppler_hz)
        trials = len(self.search.points_m) * len(self.scene.transmitters) * len(bins) / 2
        probability = self.scene.sensing.false_alarm_probability
        return float(-np.log(-np.expm1(np.log1p(-probability) / trials)))

    def path_threshold(self, reference: StreamReference) -> float:
        """Power that noise exceeds at a known location, at any Doppler shift, with
        PATH_FALSE_ALARM.
        """
        bins, _ = doppler_bins(reference, self.max_doppler_hz)
        return float(-np.log(PATH_FALSE_ALARM / len(bins)))
