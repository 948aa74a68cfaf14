"""Links whose paths are in an echo: those of targets, and the evidence of each.

A target is out of sight of some links: behind the elements of an array, or too far away. What noise
has there at the best Doppler shift would count as a measurement of its velocity. So a path counts
where the smallest targets of the scene have more power than the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cooperative_isac.channel.gain import expected_power, expected_snr
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.fit import Fit
from cooperative_isac.sensing.path_state import PathState

# Expected SNR after coherent integration from which a path counts: it then has as much power as
# noise. Far below it adds noise alone, far above it is a measurement.
LEAST_EXPECTED_SNR = 1.0

# Added to the diagonal of the paths' coherence, so that identical replicas can be inverted; far
# above the rounding of single precision.
COHERENCE_LOADING = 1e-6


class EchoName(NamedTuple):
    """Name of an echo: its band, and the station that received it."""

    band: str
    receiver: str


@dataclass(frozen=True)
class Targets:
    """Locations and velocities of several targets.

    points_m: [num_targets, 3], float64, m, map
    velocities_mps: [num_targets, 3], float64, m/s, map
    """

    points_m: np.ndarray
    velocities_mps: np.ndarray

    def __len__(self) -> int:
        return len(self.points_m)

    def keep(self, chosen: np.ndarray) -> Targets:
        """Only the chosen targets.

        chosen: mask [num_targets], bool, or indices [num], int
        """
        return Targets(self.points_m[chosen], self.velocities_mps[chosen])

    def and_also(self, others: Targets) -> Targets:
        """These targets, then others."""
        return Targets(
            np.concatenate([self.points_m, others.points_m]),
            np.concatenate([self.velocities_mps, others.velocities_mps]),
        )

    def moved(self, steps: np.ndarray) -> Targets:
        """The targets after a step each.

        steps: [num_targets, 2 D], float64, of location (m) and velocity (m/s)
        """
        size = steps.shape[1] // 2
        points_m = self.points_m.copy()
        points_m[:, :size] += steps[:, :size]
        velocities_mps = self.velocities_mps.copy()
        velocities_mps[:, :size] += steps[:, size:]
        return Targets(points_m, velocities_mps)


@dataclass(frozen=True)
class EchoLinks:
    """Links whose paths are in the echo of one receiver on one band.

    view: the scene on the band
    receiver: receiving station
    linked: [num_linked], int, indices of the transmitters in use
    """

    view: Scene
    receiver: Site
    linked: np.ndarray

    @staticmethod
    def of(view: Scene, receiver: str) -> EchoLinks:
        """The links in use to the receiver of a name."""
        linked = np.array(view.linked_transmitters(receiver), int)
        return EchoLinks(view, view.receiver(receiver), linked)

    def expected(self, points_m: np.ndarray) -> np.ndarray:
        """Mask of the paths that the smallest targets have above the noise.

        points_m: [num_points, 3], float64, m, map
        Returns [num_points, num_linked], bool.
        """
        expected = np.empty((len(points_m), len(self.linked)), bool)
        for place, index in enumerate(self.linked):
            site = self.view.transmitters[index]
            path = bistatic_geometry(
                site.position_m, self.receiver.position_m, points_m, np.zeros(3), 1.0
            )
            snr = expected_snr(self.view, site, self.receiver, path)
            expected[:, place] = snr >= LEAST_EXPECTED_SNR
        return expected

    def paths(self, targets: Targets) -> tuple[PathState, np.ndarray]:
        """Expected paths of all links over every target.

        Returns the paths, target by target, and the derivatives of their Doppler shifts with
        location and velocity, [num_paths, 2 D].
        """
        size = self.view.dimension
        wavelength_m = self.view.grid.wavelength_m
        sites = [self.view.transmitters[index] for index in self.linked]
        velocities_mps = targets.velocities_mps[:, None]
        site_velocities_mps = np.array([site.velocity_mps for site in sites])
        receiver_mps = self.receiver.velocity_mps
        paths = bistatic_geometry(
            np.array([site.position_m for site in sites]),
            self.receiver.position_m,
            targets.points_m[:, None],
            velocities_mps,
            wavelength_m,
            site_velocities_mps,
            receiver_mps,
        )

        # Derivatives of the Doppler shifts.
        with_location = paths.doppler_location_gradient(
            velocities_mps, wavelength_m, site_velocities_mps, receiver_mps
        )[..., :size]
        with_velocity = -paths.range_gradient[..., :size] / wavelength_m
        slopes = np.concatenate([with_location, with_velocity], axis=-1)

        # Without paths below the noise.
        is_expected = self.expected(targets.points_m)
        owner, place = np.nonzero(is_expected)
        shifts_hz = paths.doppler_hz[is_expected]
        state = PathState(targets.points_m, owner, self.linked[place], shifts_hz)
        return state, slopes[is_expected]

    def evidence(self, fit: Fit) -> np.ndarray:
        """Log-likelihood ratio of each path to noise, [num_paths], float64.

        The reflection of a path is CN(0, chi^2); with the radar equation chi^2 is the mean radar
        cross section of the smallest class. The power z that a path adds to what all others explain
        is Exp(1) in noise and Exp(1 + m) for a path of mean SNR m, so the ratio is
        z m / (1 + m) - ln(1 + m): negative where a path that should be detected is missing.
        """
        # Mean SNR of every path.
        noise_power_w = self.view.propagation.noise_power_w
        state = fit.state
        points_m = state.points_m[state.owner]
        gain = np.empty(len(points_m))
        for index, site in enumerate(self.view.transmitters):
            chosen = state.transmitter == index
            path = bistatic_geometry(
                site.position_m, self.receiver.position_m, points_m[chosen], np.zeros(3), 1.0
            )
            gain[chosen] = expected_power(self.view, site, self.receiver, path)
        mean_snr = gain * fit.replica.gram[:, 0, 0].real / noise_power_w

        # Power that a path shares with the others: the variance inflation of its amplitude.
        num_paths = len(fit.coherence)
        loaded = fit.coherence + COHERENCE_LOADING * np.eye(num_paths)
        inflation = np.maximum(np.diag(np.linalg.inv(loaded)).real, 1)
        own_power = fit.power / inflation
        return own_power * mean_snr / (1 + mean_snr) - np.log1p(mean_snr)
