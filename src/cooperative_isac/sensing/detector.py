"""Search grid and thresholds of one receiver, the base of every classical detector."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cooperative_isac.scene.band import OfdmGrid
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.search_grid import SearchGrid, search_grid
from cooperative_isac.sensing.surface import doppler_bins

# Probability that noise alone exceeds the threshold of a further path of a detected target, at one
# location and any Doppler shift.
PATH_FALSE_ALARM = 0.01


@dataclass(frozen=True)
class Detector:
    """Search grid and thresholds of one receiver on one band.

    scene: seen on the band, with the transmitters whose echoes the receiver uses
    receiver: receiving station
    grid: resource grid of the known symbols: that of the band, or a comb of it
    cells: of the search, where they are computed already; None: computed with the first search
    """

    scene: Scene
    receiver: Site
    grid: OfdmGrid
    cells: SearchGrid | None = field(default=None, kw_only=True)

    @cached_property
    def search(self) -> SearchGrid:
        """Cells in which the receiver searches for targets."""
        if self.cells is not None:
            return self.cells
        return search_grid(self.scene, self.receiver, self.grid)

    @property
    def max_doppler_hz(self) -> float:
        """Largest bistatic Doppler shift of a target at the scene's maximum speed, Hz."""
        receiver_mps = np.linalg.norm(self.receiver.velocity_mps)
        transmitters = self.scene.transmitters
        transmitter_mps = max(np.linalg.norm(site.velocity_mps) for site in transmitters)

        # Rate of a path's length: a target changes both of its legs, a site one.
        sites_mps = receiver_mps + transmitter_mps
        rate_mps = 2 * self.scene.sensing.max_speed_mps + sites_mps
        return float(rate_mps) / self.grid.wavelength_m

    @property
    def frame_stride(self) -> int:
        """Number of frames of the scene from one frame of this band to the next."""
        return next(b.frame_stride for b in self.scene.bands if b.name == self.scene.band)

    def detection_threshold(self, reference: StreamReference) -> float:
        """Power that noise alone exceeds anywhere with the scene's false-alarm probability.

        The power of a cell is Exp(1) in noise. Without any cell in front of the array the threshold
        is infinite.

        reference: known streams of the frame
        """
        if not len(self.search.points_m):
            return math.inf
        bins, _ = doppler_bins(reference, self.max_doppler_hz)

        # Independent trials; neighboring Doppler bins overlap by half.
        num_filters = len(self.search.points_m) * len(self.scene.transmitters)
        num_trials = num_filters * len(bins) / 2

        # False-alarm probability of one trial, 1 - (1 - P)^(1 / num_trials), and its power.
        probability = self.scene.sensing.false_alarm_probability
        of_trial = -np.expm1(np.log1p(-probability) / num_trials)
        return float(-np.log(of_trial))

    def path_threshold(self, reference: StreamReference) -> float:
        """Power that noise exceeds at one location with PATH_FALSE_ALARM, at any Doppler shift.

        reference: known streams of the frame
        """
        bins, _ = doppler_bins(reference, self.max_doppler_hz)
        return float(-np.log(PATH_FALSE_ALARM / len(bins)))
