"""Peaks of the likelihood surface: candidates for the targets of one receiver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.sensing.correlation import StreamReference
from cooperative_isac.sensing.detector import Detector
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.surface import LEAST_STATIC_SHARE, Surface


@dataclass(frozen=True)
class Peak:
    """Peak of the likelihood surface, and the filters matched to it.

    transmitter: index of the transmitting site
    point_m: [3], float64, m, map
    doppler_hz: Doppler shift, Hz
    beam: [num_rx_ant], complex64, conjugate receive steering
    filter: [num_subcarriers, num_streams], complex64, stream weights of its path
    doppler_phase: [num_blocks], complex64, exp(-j 2 pi f t) at the blocks' centers
        (StreamReference.doppler_phases)
    noise_w: power of noise after all three, static paths suppressed, W
    reference: known streams of the frame
    """

    transmitter: int
    point_m: np.ndarray
    doppler_hz: float
    beam: np.ndarray
    filter: np.ndarray
    doppler_phase: np.ndarray
    noise_w: float
    reference: StreamReference

    def power(self, correlation: np.ndarray) -> float:
        """Matched-filter power in noise variances.

        It falls when stronger paths are subtracted of which the peak was a side lobe.

        correlation: [num_rx_ant, num_subcarriers, num_streams, num_blocks], complex64
        """
        in_beam = self.beam @ correlation.reshape(len(self.beam), -1)
        in_beam = in_beam.reshape(correlation.shape[1:])
        in_bin = self.reference.at_shift(in_beam, self.doppler_phase)
        return float(np.abs(np.vdot(self.filter.ravel(), in_bin)) ** 2 / self.noise_w)


def find_peaks(detector: Detector, maker: ReplicaMaker, surface: Surface, most: int) -> list[Peak]:
    """Peaks of a likelihood surface, no two within one main lobe.

    The strongest transmitter of a peak exceeds the detection threshold. Peaks are ordered by the
    power over all transmitters, largest first.

    detector: search grid and thresholds of the receiver
    maker: replicas of the frame
    surface: likelihood over the cells
    most: number of peaks, at most
    """
    search = detector.search.behind(maker.whitening)
    reference = maker.reference
    threshold = detector.detection_threshold(reference)
    path_threshold = detector.path_threshold(reference)

    # Cells, each with its strongest transmitter.
    power = np.where(surface.power > path_threshold, surface.power, 0)
    cells = []
    transmitters = []
    for _ in range(most):
        cell = int(power.sum(axis=0).argmax())
        transmitter = int(power[:, cell].argmax())
        if power[transmitter, cell] < threshold:
            break
        cells.append(cell)
        transmitters.append(transmitter)
        power[:, search.neighbors(cell)] = 0

    # Matched filters of all of them.
    points_m = search.points_m[cells]
    doppler_hz = surface.doppler_hz[transmitters, cells]
    doppler_phases = reference.doppler_phases(doppler_hz)
    filters, energy = maker.filters_at(np.array(transmitters, int), points_m)

    # Noise behind the filters, without the share of suppressed static paths.
    shares = np.maximum(reference.static_share(doppler_hz), LEAST_STATIC_SHARE)
    noise_w = shares * energy * detector.scene.propagation.noise_power_w

    return [
        Peak(
            transmitter=transmitter,
            point_m=points_m[place],
            doppler_hz=float(doppler_hz[place]),
            beam=search.beams[search.beam_of_cell[cell]],
            filter=filters[place],
            doppler_phase=doppler_phases[place],
            noise_w=float(noise_w[place]),
            reference=reference,
        )
        for place, (cell, transmitter) in enumerate(zip(cells, transmitters))
    ]
