"""Angle, range and range rate of each target from the echo of one access point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.detector import Detector
from cooperative_isac.sensing.path_finder import FoundPath, PathFinder, PathSearch, cancel_paths
from cooperative_isac.sensing.path_parameters import (
    INTERPOLATED_CELLS,
    PathParameters,
    accuracy_of,
    beam_width,
    location_information,
    parameters_of,
)
from cooperative_isac.sensing.static_paths import StaticNuisance
from cooperative_isac.waveform.signal import Component

# Ratio of the powers of two paths in one resolution cell from which on the weaker is a residue of
# the stronger: cancellation with the errors of its parameters leaves about 15 dB less.
RESIDUE_RATIO = 30.0

# Probability that two paths of one target lie within the gate that makes them one.
SAME_TARGET_PROBABILITY = 0.9999

# Standard deviation of a location along a direction that a path does not measure, m: far larger
# than an area, so that it carries no information.
UNMEASURED_M = 1e3


@dataclass(frozen=True)
class ParameterSensor(Detector):
    """A receiver that has side information of the frame, and its method of searching for paths.

    method: search for the strongest path of an echo
    """

    method: type[PathSearch]

    def sense(
        self,
        echo: np.ndarray,
        frame: Component,
        static: StaticNuisance | None = None,
        linked: Sequence[int] | None = None,
    ) -> tuple[PathParameters, ...]:
        """Parameters of the targets in an echo, strongest first.

        The number of targets is unknown: paths are canceled while they exceed the threshold of the
        scene's false-alarm probability. Of the paths of a target from several transmitters the one
        that locates it best is kept.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        frame: signal that was transmitted
        static: static paths that were suppressed in the echo, if any
        linked: indices of the transmitters whose paths are reported, all if None; paths of the
            others are only canceled
        """
        # Successive cancellation of the paths of all transmitters.
        most = self.scene.sensing.max_targets
        reference = stream_reference(frame, self.max_doppler_hz, static)
        finder = PathFinder(
            self.scene,
            self.receiver,
            reference,
            reference.correlate(echo),
            self.max_doppler_hz,
            self.detection_threshold(reference),
        )
        paths = cancel_paths(self.method(finder, self.search), most * len(self.scene.transmitters))
        if linked is not None:
            paths = [path for path in paths if path.transmitter in linked]

        # One path a target, as parameters.
        chosen = one_path_per_target(self.scene, self.receiver, paths)[:most]
        return tuple(
            parameters_of(
                self.scene, self.receiver, path.transmitter, path.point_m, path.doppler_hz
            )
            for path in chosen
        )


def one_path_per_target(scene: Scene, receiver: Site, paths: list[FoundPath]) -> list[FoundPath]:
    """The path of each target that locates it best, strongest first.

    Residues of much stronger paths in the same resolution cell are dropped.

    scene: seen on one band
    receiver: station that detected the paths
    paths: of all transmitters
    """
    # Paths that are no residue of another.
    true = [
        path
        for path in paths
        if not any(_is_residue(scene, receiver, path, other) for other in paths)
    ]

    # From the most certain on, each path outside the gates of those that are kept.
    covariances = [_covariance(scene, receiver, path) for path in true]
    gate = chdtri(2, 1 - SAME_TARGET_PROBABILITY)
    kept: list[int] = []
    for index in sorted(range(len(true)), key=lambda index: np.trace(covariances[index])):
        is_new = True
        for other in kept:
            offset_m = (true[index].point_m - true[other].point_m)[:2]
            covariance = covariances[index] + covariances[other]
            distance = offset_m @ np.linalg.solve(covariance, offset_m)
            is_new = is_new and distance > gate
        if is_new:
            kept.append(index)
    return sorted((true[index] for index in kept), key=lambda path: -path.power)


def _is_residue(scene: Scene, receiver: Site, path: FoundPath, other: FoundPath) -> bool:
    """Test for a residue: a path left by the imperfect cancellation of a much stronger one."""
    if path.power * RESIDUE_RATIO > other.power:
        return False

    # Distances and angles of both, in resolution cells.
    away_m = path.point_m - receiver.position_m
    other_away_m = other.point_m - receiver.position_m
    distance_m = np.linalg.norm(away_m)
    other_distance_m = np.linalg.norm(other_away_m)
    cosine = away_m @ receiver.axis / distance_m
    other_cosine = other_away_m @ receiver.axis / other_distance_m

    in_beam = abs(cosine - other_cosine) < beam_width(receiver, scene.grid.wavelength_m)
    in_range = abs(distance_m - other_distance_m) < scene.grid.range_resolution_m
    return bool(in_beam and in_range)


def _covariance(scene: Scene, receiver: Site, path: FoundPath) -> np.ndarray:
    """Covariance of the location of a path in the plane, [2, 2], m^2."""
    accuracy = accuracy_of(scene, receiver, INTERPOLATED_CELLS, INTERPOLATED_CELLS)
    information = location_information(scene, receiver, path.transmitter, path.point_m, accuracy)
    return np.linalg.inv(information + np.eye(2) / UNMEASURED_M**2)
