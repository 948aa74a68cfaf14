"""Echoes of one target at one receiver: fitted together over all transmitters, at a shared location."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Mapping

import numpy as np

from cooperative_isac.channel.echo import path_phases
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.sensing.matched_filter import MatchedFilter, PathEcho, PathFit, View

MAX_STEPS = 12
CONVERGED = 1e-2


@dataclass(frozen=True)
class EchoGroup:
    """point_m: [3]; doppler_hz and fits: by transmitter index, for the transmitters whose path was heard."""

    point_m: np.ndarray
    doppler_hz: dict[int, float]
    fits: dict[int, PathFit]

    @property
    def power(self) -> float:
        """Coherent SNR summed over the paths."""
        return sum(fit.power for fit in self.fits.values())

    @property
    def information(self) -> np.ndarray:
        """Fisher information of the location, [dimension, dimension], 1/m^2."""
        return sum(fit.information for fit in self.fits.values())


def match_group(matched: MatchedFilter, views: Mapping[int, View], point_m: np.ndarray,
                doppler_hz: dict[int, float]) -> EchoGroup:
    """Match the given transmitters' paths at one point; views: what each transmitter's path is matched against."""
    basis = matched.receive_basis(point_m)
    fits = {tx: matched.match(basis, views[tx].behind(basis), point_m, tx, shift)
            for tx, shift in doppler_hz.items()}
    return EchoGroup(point_m, dict(doppler_hz), fits)


def refine_group(matched: MatchedFilter, view: View, point_m: np.ndarray, doppler_hz: dict[int, float]) -> EchoGroup:
    """Climb to the peak of the joint likelihood of a group's paths, from a rough start.

    All transmitters send the same streams, so paths of one target leak into each other; after a first climb each is
    matched with the others' exact waveforms removed.
    """
    views = dict.fromkeys(doppler_hz, view)
    return settle_group(matched, view, _climb(matched, views, match_group(matched, views, point_m, doppler_hz)))


def settle_group(matched: MatchedFilter, view: View, group: EchoGroup) -> EchoGroup:
    """Climb once more with each path freed of the others' waveforms as they are fitted now."""
    echoes = {tx: path_echo(matched, group, tx) for tx in group.fits}
    views = {tx: view.without(echoes[other] for other in echoes if other != tx) for tx in echoes}
    return _climb(matched, views, match_group(matched, views, group.point_m, group.doppler_hz))


def _climb(matched: MatchedFilter, views: Mapping[int, View], group: EchoGroup) -> EchoGroup:
    """Fisher scoring with step halving."""
    scale = 1.0
    for _ in range(MAX_STEPS):
        step, shifts, gain = _scoring_step(group, matched.dimension)
        if gain < CONVERGED:
            break
        candidate = match_group(matched, views, group.point_m + scale * step,
                                {tx: group.doppler_hz[tx] + scale * shifts[tx] for tx in shifts})
        if candidate.power >= group.power:
            group, scale = candidate, min(2 * scale, 1.0)
        else:
            scale /= 4
    return group


def _scoring_step(group: EchoGroup, dimension: int) -> tuple[np.ndarray, dict[int, float], float]:
    """Newton step with the Fisher information: location [3], Doppler by transmitter, and the expected gain."""
    slope = sum(fit.gradient[:dimension] for fit in group.fits.values())
    information = group.information
    damping = 1e-6 * np.trace(information) * np.eye(dimension)
    step = np.zeros(3)
    step[:dimension] = np.linalg.solve(information + damping, slope)
    shifts = {tx: fit.gradient[dimension] / fit.doppler_information for tx, fit in group.fits.items()}
    gain = slope @ step[:dimension] + sum(shifts[tx] * group.fits[tx].gradient[dimension] for tx in shifts)
    return step, shifts, float(gain)


def path_echo(matched: MatchedFilter, group: EchoGroup, transmitter: int) -> PathEcho:
    """The exact waveform of one fitted path, as the correlation sees it."""
    scene, reference = matched.scene, matched.reference
    site = scene.transmitters[transmitter]
    path = bistatic_geometry(site.position_m, matched.receiver.position_m, group.point_m, np.zeros(3),
                             matched.wavelength_m)
    departure = steering_vectors(site.elements_m, path.aod, matched.wavelength_m)
    arrival = steering_vectors(matched.receiver.elements_m, path.aoa, matched.wavelength_m)
    over_subcarriers, over_symbols = path_phases(reference.frame.grid, path.delay_s[None],
                                                 np.array([group.doppler_hz[transmitter]]))
    signal = reference.frame.toward(transmitter, departure[None])[:, 0] * over_symbols
    signal *= group.fits[transmitter].amplitude * over_subcarriers
    return PathEcho(arrival.astype(np.complex64), reference.correlate(signal[None])[0])


def group_echoes(matched: MatchedFilter, group: EchoGroup) -> list[PathEcho]:
    """The exact waveforms of all paths of a group."""
    return [path_echo(matched, group, tx) for tx in group.fits]


def keep_paths(group: EchoGroup, threshold: float) -> EchoGroup:
    """The group without the paths that are weaker than threshold (in noise variances)."""
    kept = [tx for tx, fit in group.fits.items() if fit.power >= threshold]
    return replace(group, doppler_hz={tx: group.doppler_hz[tx] for tx in kept},
                   fits={tx: group.fits[tx] for tx in kept})
