"""Independent random frames, and what schemes make of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.echo import Echo
from cooperative_isac.evaluation.live_bound import network_bound
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M
from cooperative_isac.pipeline import make_encoders, make_frame, mean_sum_rate, receive_all
from cooperative_isac.scene.draw import draw_targets, frame_generator
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.schemes.contract import Decoder, Encoder, Scheme
from cooperative_isac.waveform.frame import Frame


class SchemeFailure(RuntimeError):
    """A scheme that raised an error, or whose packets were refused; one message survives
    pickling.
    """


@dataclass(frozen=True)
class Draw:
    """One random frame: what was sent, where the targets are, and the echoes by station and band
    (pipeline.receive_all).
    """

    frame: Frame
    targets: tuple[TargetState, ...]
    echoes: Mapping[str, Mapping[str, Echo]]


@dataclass(frozen=True)
class Ends:
    """A scheme with its two ends: an encoder for each station, and the decoder."""

    scheme: Scheme
    encoders: Mapping[str, Encoder]
    decoder: Decoder


def make_ends(scheme: Scheme) -> Ends:
    """New ends of a scheme."""
    return Ends(scheme, make_encoders(scheme), scheme.center())


@dataclass(frozen=True)
class SchemeSample:
    """What one scheme made of one frame; D the scene's dimension.

    location_errors_m, velocity_errors_mps: [num_detected, D], float64; encode_s: mean over the
    receivers.
    """

    location_errors_m: np.ndarray
    velocity_errors_mps: np.ndarray
    num_false: int
    packet_bits: tuple[int, ...]
    downlink_bits: int
    encode_s: float
    decode_s: float


@dataclass(frozen=True)
class FrameSample:
    """One frame of all schemes.

    location_bounds_m, velocity_bounds_mps: [num_targets], float64, root CRLB of each target
    sum_rate: bit/s/Hz, mean over the bands on the air
    """

    location_bounds_m: np.ndarray
    velocity_bounds_mps: np.ndarray
    sum_rate: float
    schemes: Mapping[str, SchemeSample]


def draw_frame(scene: Scene, number: int) -> Draw:
    """Random targets, users, symbols and fading: a function of the scene's seed and the frame's
    number.
    """
    targets = draw_targets(scene, frame_generator(scene.seed, number, "targets"))
    frame = make_frame(scene, number)
    return Draw(frame, targets, receive_all(scene, frame, targets))


def measure_frame(scene: Scene, schemes: Mapping[str, Ends], number: int) -> FrameSample:
    """Run all schemes on the same draw, beside its bound. SchemeFailure names the scheme that
    failed.

    A scheme with stations of its own has the same targets and users there; the bound stays the
    scene's.
    """
    draw = draw_frame(scene, number)
    bound = network_bound(scene, draw.frame, draw.targets)
    samples = {}
    for name, ends in schemes.items():
        try:
            arranged = ends.scheme.scene
            own = draw if arranged is scene else draw_frame(arranged, number)
            samples[name] = measure_scheme(ends, own, scene.dimension)
        except Exception as error:
            raise SchemeFailure(
                f"scheme '{name}' failed in frame {number} of seed {scene.seed}: "
                f"{type(error).__name__}: {error}"
            ) from error
    rate = mean_sum_rate(scene, draw.frame)
    return FrameSample(bound.location_m, bound.velocity_mps, rate, samples)


def measure_scheme(ends: Ends, draw: Draw, dimension: int) -> SchemeSample:
    """Encode every station's echoes, decode the packets and score the detections of one draw."""
    began_s = time.process_time()
    packets = {
        station: ends.encoders[station].encode(echoes, draw.frame)
        for station, echoes in draw.echoes.items()
    }
    encoded_s = time.process_time()
    detections = ends.decoder.decode(packets, draw.frame)
    decoded_s = time.process_time()
    location, velocity, num_false = score(draw.targets, detections, dimension)
    return SchemeSample(
        location,
        velocity,
        num_false,
        tuple(8 * len(packet) for packet in packets.values()),
        ends.scheme.downlink_bits(draw.frame),
        (encoded_s - began_s) / len(packets),
        decoded_s - encoded_s,
    )


def score(
    targets: Sequence[TargetState], detections: Sequence[Detection], dimension: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Errors of the detected targets, [num_detected, dimension] in m and m/s, and the number of
    false alarms.

    Targets and detections are paired by optimal assignment within DETECTION_CUTOFF_M.
    """
    positions, velocities = _states(targets, dimension)
    found_positions, found_velocities = _states(detections, dimension)
    pairs = match_within(pairwise_distances(positions, found_positions), DETECTION_CUTOFF_M)
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    return (
        found_positions[columns] - positions[rows],
        found_velocities[columns] - velocities[rows],
        len(detections) - len(pairs),
    )


def _states(
    items: Sequence[TargetState | Detection], dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    positions = np.array([item.position_m for item in items], float).reshape(-1, 3)
    velocities = np.array([item.velocity_mps for item in items], float).reshape(-1, 3)
    return positions[:, :dimension], velocities[:, :dimension]
