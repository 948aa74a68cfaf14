"""Monte Carlo evaluation: independent random frames, and the output of each scheme for them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cooperative_isac.channel.echo import Echo
from cooperative_isac.evaluation.live_bound import network_bound
from cooperative_isac.fronthaul.delivery import deliver
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.metrics.assignment import match_within, pairwise_distances
from cooperative_isac.metrics.run_score import DETECTION_CUTOFF_M
from cooperative_isac.pipeline import make_encoders, make_frame, mean_sum_rate, receive_all
from cooperative_isac.scene.draw import draw_targets, frame_generator
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.schemes.contract import Decoder, Encoder, Scheme
from cooperative_isac.waveform.frame import Frame


class SchemeFailure(RuntimeError):
    """An error of a scheme, or packets that its decoder refused.

    It holds a single message, so that it can be pickled between processes.
    """


@dataclass(frozen=True)
class Draw:
    """One random frame.

    frame: the transmitted signals
    targets: true states of the targets
    echoes: by station and band, as pipeline.receive_all returns them
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
    """Make new ends of a scheme, without any state of earlier frames."""
    return Ends(scheme, make_encoders(scheme), scheme.center())


@dataclass(frozen=True)
class SchemeSample:
    """Result of one scheme for one frame; D is the dimension of the scene.

    location_errors_m: [num_detected, D], float64, m
    velocity_errors_mps: [num_detected, D], float64, m/s
    num_false: number of false alarms
    packet_bits: size of the packet of each station
    downlink_bits: side information that each station needs for the frame
    encode_s: processor time of the encoders, mean over the stations
    decode_s: processor time of the decoder
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
    """Results of all schemes for one frame.

    location_bounds_m: [num_targets], float64, m, root CRLB of each target
    velocity_bounds_mps: [num_targets], float64, m/s, root CRLB of each target
    sum_rate: bit/s/Hz, mean over the bands that transmit in this frame
    schemes: samples by name of the scheme
    """

    location_bounds_m: np.ndarray
    velocity_bounds_mps: np.ndarray
    sum_rate: float
    schemes: Mapping[str, SchemeSample]


def draw_frame(scene: Scene, number: int) -> Draw:
    """Draw targets, users, symbols and fading of a frame from the scene's seed and its number."""
    targets = draw_targets(scene, frame_generator(scene.seed, number, "targets"))
    frame = make_frame(scene, number)
    echoes = receive_all(scene, frame, targets)
    return Draw(frame, targets, echoes)


def measure_frame(scene: Scene, schemes: Mapping[str, Ends], number: int) -> FrameSample:
    """Run all schemes on the same random frame, and compute its bound.

    A scheme that rearranges the stations gets the same targets and users with its own stations.
    The bound is always that of the scene as given.

    Raises SchemeFailure: a scheme failed; the message names it
    """
    draw = draw_frame(scene, number)
    bound = network_bound(scene, draw.frame, draw.targets)

    samples = {}
    for name, ends in schemes.items():
        try:
            arranged = ends.scheme.scene
            scheme_draw = draw if arranged is scene else draw_frame(arranged, number)
            samples[name] = measure_scheme(ends, scheme_draw, scene.dimension)
        except Exception as error:
            raise SchemeFailure(
                f"scheme '{name}' failed in frame {number} of seed {scene.seed}: "
                f"{type(error).__name__}: {error}"
            ) from error

    return FrameSample(
        location_bounds_m=bound.location_m,
        velocity_bounds_mps=bound.velocity_mps,
        sum_rate=mean_sum_rate(scene, draw.frame),
        schemes=samples,
    )


def measure_scheme(ends: Ends, draw: Draw, dimension: int) -> SchemeSample:
    """Encode the echoes of every station, decode the packets, and score the detections.

    dimension: 2 scores horizontal errors only

    Returns accuracy and cost; times are processor times of this process.
    """
    # Stations.
    start_s = time.process_time()
    packets = {
        station: ends.encoders[station].encode(echoes, draw.frame)
        for station, echoes in draw.echoes.items()
    }
    encoded_s = time.process_time()

    # Fusion center.
    delivery = deliver(ends.scheme.scene, draw.frame, packets)
    detections = ends.decoder.decode(delivery.packets, draw.frame)
    decoded_s = time.process_time()

    # Accuracy and cost.
    location_errors_m, velocity_errors_mps, num_false = score(draw.targets, detections, dimension)
    return SchemeSample(
        location_errors_m=location_errors_m,
        velocity_errors_mps=velocity_errors_mps,
        num_false=num_false,
        packet_bits=tuple(8 * len(packet) for packet in packets.values()),
        downlink_bits=ends.scheme.downlink_bits(draw.frame),
        encode_s=(encoded_s - start_s) / len(packets),
        decode_s=decoded_s - encoded_s,
    )


def score(
    targets: Sequence[TargetState], detections: Sequence[Detection], dimension: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Errors of the detected targets, and the number of false alarms.

    Targets and detections are paired by optimal assignment within DETECTION_CUTOFF_M.

    Returns location errors [num_detected, dimension], float64, m; velocity errors of the same
    shape, m/s; number of detections without a target.
    """
    positions_m, velocities_mps = states(targets, dimension)
    found_positions_m, found_velocities_mps = states(detections, dimension)

    # Pair targets (rows) with detections (columns).
    distances_m = pairwise_distances(positions_m, found_positions_m)
    pairs = match_within(distances_m, DETECTION_CUTOFF_M)
    rows = [row for row, _ in pairs]
    columns = [column for _, column in pairs]

    # Errors of the pairs; the other detections are false alarms.
    location_errors_m = found_positions_m[columns] - positions_m[rows]
    velocity_errors_mps = found_velocities_mps[columns] - velocities_mps[rows]
    return location_errors_m, velocity_errors_mps, len(detections) - len(pairs)


def states(
    items: Sequence[TargetState | Detection], dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities of targets or detections.

    Returns positions [num_items, dimension], float64, m, and velocities of the same shape, m/s.
    """
    positions_m = np.array([item.position_m for item in items], float).reshape(-1, 3)
    velocities_mps = np.array([item.velocity_mps for item in items], float).reshape(-1, 3)
    return positions_m[:, :dimension], velocities_mps[:, :dimension]
