"""One track from the micro cells to the macro base station (DC section IV-B)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cooperative_isac.estimation.recovery import statistic_threshold
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.evaluation.deep_cooperation.macro_micro import (
    DATA,
    FALSE_ALARM_RATE,
    FOUND_M,
    MACRO,
    MAX_SPEED_MPS,
    MICRO,
    SPREAD_M,
    SYMBOLS,
    Evidence,
    by_estimates,
    by_symbols,
    is_detection,
    observed,
    place_on_way,
    reporting_links,
)
from cooperative_isac.evaluation.deep_cooperation.stations import snr_of
from cooperative_isac.fusion.detection import Detection, detection_problem
from cooperative_isac.fusion.symbol_level import StateEstimate, state_information
from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.track import ESTABLISHED, Track
from cooperative_isac.tracking.tracker import Tracker

# The way of a pass, m, at a UAV's constant speed, and frames a second.
WAY_M = 120.0
SPEED_MPS = 10.0
FRAME_RATE_HZ = 2.0
NUM_FRAMES = round(WAY_M / SPEED_MPS * FRAME_RATE_HZ) + 1

# Tracks bridge up to three frames without a detection, as at the edge of a cell in
# `config/scenes/macro_micro.yaml`.
TRACKING = Tracking(max_coast_s=2.0)

# Frames until a track is confirmed at the latest; continuity counts from there on.
FIRST_FRAME = 4

# Doppler cells of the search, the more of both bands.
NUM_DOPPLERS = 15

# Variance of the coordinate that a plane does not have, m^2 and (m/s)^2.
UNUSED_VARIANCE = 1.0

# State of the target and the links that report it in one frame, or None.
Report = tuple[StateEstimate, Sequence[Evidence]] | None


def macro_micro_track() -> Experiment:
    """Continuity of the track of a target that leaves the micro base stations' common area."""
    return Experiment(
        name="macro_micro_track",
        title="DC IV-B: one track from the micro cells to the macro base station",
        axis="SNR beside that of the figure of locations (dB)",
        values=(-15.0, -12.0, -9.0, -6.0),
        quantities={
            "one_track": Quantity("share of passes in one track", "mean", logarithmic=False),
            "continuity": Quantity(
                f"share of frames with a track within {FOUND_M:g} m", "mean", logarithmic=False
            ),
        },
        trial=_trial,
    )


def _trial(level_db: float, generator: np.random.Generator) -> Errors:
    """One pass: all curves see the same echoes."""
    # A tracker in the plane for each curve.
    trackers = {curve: Tracker(TRACKING, 2) for curve in REPORTS}
    tracks: dict[str, list[list[Track]]] = {curve: [] for curve in REPORTS}

    # The pass: straight toward the macro base station, at a random distance from the axis.
    positions_m = []
    aside_m = generator.uniform(-SPREAD_M[1], SPREAD_M[1])
    velocity_mps = np.array([-SPEED_MPS, 0.0])
    for number in range(NUM_FRAMES):
        # Echoes of the frame.
        time_s = number / FRAME_RATE_HZ
        place_m = place_on_way(SPEED_MPS * time_s)
        position_m = place_m + np.array([0.0, aside_m])
        evidences = observed(place_m, position_m, velocity_mps, level_db, generator)
        positions_m.append(position_m)

        # Detections that the links locate, and tracks.
        for curve, report in REPORTS.items():
            found = report(evidences, place_m)
            reported = [] if found is None else [_detection(*found)]
            detections = [one for one in reported if detection_problem(one) is None]
            updated = trackers[curve].update(time_s, detections)
            tracks[curve].append([track for track in updated if track.status in ESTABLISHED])

    return {curve: _score(tracks[curve], positions_m) for curve in REPORTS}


def _of_micro(evidences: Sequence[Evidence], place_m: np.ndarray) -> Report:
    return _of_symbols(evidences[1:], place_m)


def _of_macro(evidences: Sequence[Evidence], place_m: np.ndarray) -> Report:
    return _of_symbols(evidences[:1], place_m)


def _of_symbols(evidences: Sequence[Evidence], place_m: np.ndarray) -> Report:
    """State from all given links, where their sum exceeds the threshold."""
    return (by_symbols(evidences, place_m), evidences) if is_detection(evidences) else None


def _of_estimates(evidences: Sequence[Evidence], place_m: np.ndarray) -> Report:
    """State from the links that exceed the threshold alone."""
    reporting = reporting_links(evidences)
    return (by_estimates(reporting, place_m), reporting) if reporting else None


REPORTS: dict[str, Callable[[Sequence[Evidence], np.ndarray], Report]] = {
    MICRO: _of_micro,
    MACRO: _of_macro,
    DATA: _of_estimates,
    SYMBOLS: _of_symbols,
}


def _detection(state: StateEstimate, evidences: Sequence[Evidence]) -> Detection:
    """Detection for the tracker: the state, with targets' speeds as prior of the velocity."""
    # Links that show the target; all where it shows in their sum alone. Noise that the fit of the
    # velocity has gathered is no information.
    links = [evidence.link for evidence in evidences]
    snrs = np.array([snr_of(link, state) for link in links])
    powers = snrs * np.array([link.num_elements for link in links])
    shows = powers > statistic_threshold(NUM_DOPPLERS, FALSE_ALARM_RATE, 1)
    used = np.flatnonzero(shows) if np.any(shows) else np.arange(len(links))

    # A single link measures one component of the velocity; the prior bounds the other.
    measured = state_information(
        [links[index] for index in used], snrs[used], state.position_m, state.velocity_mps
    )
    prior = np.diag([0.0, 0.0, 1 / MAX_SPEED_MPS**2, 1 / MAX_SPEED_MPS**2])
    covariance = np.linalg.inv(measured + prior)
    mean = covariance @ measured @ np.concatenate([state.position_m, state.velocity_mps])

    # In space, where a tracker's states are.
    axes = STATE_AXES[2]
    full_mean = np.zeros(6)
    full_mean[axes] = mean
    full_covariance = UNUSED_VARIANCE * np.eye(6)
    full_covariance[np.ix_(axes, axes)] = covariance
    return Detection(
        position_m=full_mean[:3],
        velocity_mps=full_mean[3:],
        covariance=full_covariance,
        snr_db=float(10 * np.log10(powers[used].sum())),
        sites=tuple(str(index) for index in used),
        num_paths=len(used),
    )


def _score(
    tracks: Sequence[Sequence[Track]], positions_m: Sequence[np.ndarray]
) -> dict[str, float]:
    """Continuity of a pass, and whether one identity stays with the target to its end."""
    # Identity of the track near the target in each frame, None without one.
    identities = []
    for established, position_m in zip(
        tracks[FIRST_FRAME:], positions_m[FIRST_FRAME:], strict=True
    ):
        near = [
            track.track_id
            for track in established
            if np.linalg.norm(track.position_m[:2] - position_m) < FOUND_M
        ]
        identities.append(near[0] if near else None)

    # One track: a single identity, which the target still has in the last frame.
    found = {identity for identity in identities if identity is not None}
    is_one = len(found) == 1 and identities[-1] is not None
    return {
        "one_track": float(is_one),
        "continuity": float(np.mean([identity is not None for identity in identities])),
    }
