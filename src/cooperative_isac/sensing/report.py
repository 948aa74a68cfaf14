"""Reports of the targets in one echo: location, and Doppler shift and SNR of each path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.band import ONLY_BAND
from cooperative_isac.sensing.fit import Fit


@dataclass(frozen=True)
class PathReport:
    """One path from a transmitter over a target to a receiver.

    transmitter: index of the transmitting site
    doppler_hz: Doppler shift, Hz
    power: coherent SNR, linear, at which a single path has this accuracy of its Doppler shift
    information: [D, D], float64, 1/m^2, of the location with all other paths unknown
    snr_loss: measured coherent SNR over power, linear: above 1 where the Doppler shift has other
        errors than those of noise, as rounding
    """

    transmitter: int
    doppler_hz: float
    power: float
    information: np.ndarray
    snr_loss: float = 1.0

    @property
    def snr(self) -> float:
        """Measured coherent SNR, linear."""
        return self.power * self.snr_loss


@dataclass(frozen=True)
class EchoReport:
    """Paths of one target at one receiver on one band, fitted with a shared location.

    receiver: name of the receiving station
    point_m: [3], float64, m, map
    paths: over the target
    band: name of the band, among whose transmitters the paths are counted
    surface: index of the surface of the world that reflects all paths before and behind the target
    (sensing.reflected_reports); None: they are direct
    """

    receiver: str
    point_m: np.ndarray
    paths: tuple[PathReport, ...]
    band: str = ONLY_BAND
    surface: int | None = None

    @cached_property
    def power(self) -> float:
        """Coherent SNR summed over the paths, linear."""
        return sum(path.power for path in self.paths)

    @property
    def snr(self) -> float:
        """Measured coherent SNR summed over the paths, linear."""
        return sum(path.snr for path in self.paths)

    @cached_property
    def information(self) -> np.ndarray:
        """Fisher information of the location, [D, D], float64, 1/m^2."""
        parts = [path.information for path in self.paths]
        return sum(parts, np.zeros_like(parts[0]))

    @cached_property
    def covariance(self) -> np.ndarray:
        """Covariance of the location, [D, D], float64, m^2."""
        return np.linalg.inv(self.information)


def report_fit(receiver: str, fit: Fit | None, band: str = ONLY_BAND) -> tuple[EchoReport, ...]:
    """The targets of a fit as reports, strongest first.

    receiver: name of the receiving station
    fit: of its echo; None: no target
    band: name of the band
    """
    if fit is None:
        return ()

    # Paths of each target, in the order of transmitters.
    paths: list[list[PathReport]] = [[] for _ in range(fit.state.num_targets)]
    for index in np.argsort(fit.state.transmitter, kind="stable"):
        paths[fit.state.owner[index]].append(
            PathReport(
                int(fit.state.transmitter[index]),
                float(fit.state.doppler_hz[index]),
                float(fit.marginal_share[index] * fit.power[index]),
                fit.information[index],
            )
        )
    reports = (
        EchoReport(receiver, point, tuple(own), band)
        for point, own in zip(fit.state.points_m, paths)
    )
    return tuple(sorted(reports, key=lambda report: -report.power))
