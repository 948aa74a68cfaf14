"""The whole chain in one process: targets -> channel -> station -> fronthaul -> fusion center
-> tracker.

The ROS nodes call the same stage functions, one each; everything random in frame k is a function of
(seed, k, who), so that they all agree and a replay gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cooperative_isac.channel.clocks import link_offsets
from cooperative_isac.channel.echo import Echo, apply_paths
from cooperative_isac.channel.fading import coherence_block, draw_key
from cooperative_isac.channel.paths import PathSet, clutter_positions, draw_paths, joined_paths
from cooperative_isac.channel.traced import moving_paths, traced_matrix
from cooperative_isac.channel.users import user_channels
from cooperative_isac.channel.world import moving_static_paths, static_matrix
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.draw import draw_users, frame_generator, scene_targets
from cooperative_isac.scene.model import Scene, Site, TargetState
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.scene.station import Pose
from cooperative_isac.schemes.contract import Encoder, Scheme
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.tracking.track import Track
from cooperative_isac.waveform.frame import Frame
from cooperative_isac.waveform.precoding import limit_power, precode, user_rates
from cooperative_isac.waveform.signal import (
    Signal,
    antenna_slices,
    draw_symbols,
    with_reference,
)

if TYPE_CHECKING:
    from cooperative_isac.tracking.tracker import Tracker


@dataclass(frozen=True)
class Snapshot:
    """All that one frame brought: truth, packets by station, detections and tracks."""

    number: int
    time_s: float
    targets: tuple[TargetState, ...]
    packets: dict[str, bytes]
    detections: tuple[Detection, ...]
    tracks: tuple[Track, ...]


def downlink_channels(scene: Scene, number: int) -> np.ndarray:
    """The users' channels of one frame, [num_groups, num_users, num_tx_ant]."""
    generator = frame_generator(scene.seed, number, "users")
    return user_channels(scene, draw_users(scene, generator), generator)


def transmit(scene: Scene, number: int) -> Signal:
    """What all transmitters send in frame `number` (CF eqs. 3-5)."""
    waveform, antennas = scene.waveform, antenna_slices(scene)
    per_subcarrier_w = waveform.power_w * len(scene.transmitters) / scene.grid.num_subcarriers
    precoders = precode(
        waveform.precoder,
        downlink_channels(scene, number),
        scene.users.noise_power_w,
        per_subcarrier_w,
    )
    precoders = limit_power(precoders, antennas, waveform.group_size, waveform.power_w).astype(
        np.complex64
    )
    symbols = draw_symbols(
        waveform,
        scene.users.num_users,
        frame_generator(scene.seed, number, draw_key(scene, "payload")),
    )
    frame = Signal(number, scene.grid, waveform.modulation_order, symbols, precoders, antennas)
    return with_reference(scene, frame)


def make_frame(
    scene: Scene,
    number: int,
    time_s: float | None = None,
    reported: Mapping[str, Pose] | None = None,
) -> Frame:
    """Frame `number` of the scene: the signals of the bands on the air, and where stations are.

    Signals are a function of the seed and the number alone: users are served as seen from where
    the transmitters are at the scene's start.

    time_s: from the start of consecutive frames; None: an independent draw, its stations at the
    scene's start
    reported: poses of the stations that follow odometry or /tf
    """
    signals = {
        band.name: transmit(scene.on(band.name), number)
        for band in scene.bands
        if band.is_on_air(number)
    }
    return Frame(number, signals, time_s, scene.poses_at(time_s or 0.0, reported))


def receive(
    scene: Scene, frame: Frame, station: str, targets: Sequence[TargetState]
) -> dict[str, Echo]:
    """The echoes at one station by band, of the bands on the air on which it receives."""
    posed = scene.posed(frame.poses)
    echoes = {}
    for band, signal in frame.signals.items():
        view = posed.on(band)
        if station not in [site.name for site in view.receivers]:
            continue
        samples = hear(view, signal, station, targets, frame.time_s)
        noise_power_w = receiver_noise_w(view, view.receiver(station))
        echoes[band] = Echo(station, band, frame.number, samples, noise_power_w)
    return echoes


def receive_all(
    scene: Scene, frame: Frame, targets: Sequence[TargetState]
) -> dict[str, dict[str, Echo]]:
    """The echoes at all stations that receive on a band that is on the air, by station and band."""
    received = {
        station.name: receive(scene, frame, station.name, targets)
        for station in scene.receiving_stations
    }
    return {station: echoes for station, echoes in received.items() if echoes}


def make_encoders(scheme: Scheme) -> dict[str, Encoder]:
    """A new encoder for every receiving station of a scheme's scene."""
    return {station.name: scheme.at(station.name) for station in scheme.scene.receiving_stations}


def sum_rate(scene: Scene, frame: Signal) -> float:
    """Sum spectral efficiency of all users in a frame [bit/s/Hz]: the communication half of ISAC.

    Reference symbols carry nothing to the users.
    """
    channels = downlink_channels(scene, frame.number)
    rates = user_rates(channels, frame.precoders, scene.users.noise_power_w)
    return frame.payload_share * float(rates.sum())


def mean_sum_rate(scene: Scene, frame: Frame) -> float:
    """Sum spectral efficiency of a frame, mean over the bands on the air [bit/s/Hz]."""
    rates = [sum_rate(scene.on(band), signal) for band, signal in frame.signals.items()]
    return sum(rates) / len(rates)


def paths_to(
    scene: Scene,
    number: int,
    receiver: Site,
    targets: Sequence[TargetState],
    time_s: float | None = None,
) -> tuple[PathSet, np.random.Generator]:
    """The paths of frame `number` to one receiver (CF eq. 6), and the generator of its noise.

    Those of targets and drawn clutter, and of the static world where a link has an end that may
    move; that of the other links is a matrix of its own (channel.world). With a path file they are
    the moving ones of the file's frame, whatever the targets. Clocks have no part in them
    (channel.clocks).

    time_s: from the start of consecutive frames, of whose coherence block the reflections are;
    None: an independent draw
    """
    generator = frame_generator(scene.seed, number, draw_key(scene, f"channel/{receiver.name}"))
    if scene.propagation.paths is not None:
        return moving_paths(scene, number, receiver), generator

    # Drawn clutter stands still as long as reflections are constant.
    block = coherence_block(scene, time_s)
    clutter_number = number if block is None else block
    clutter = clutter_positions(scene, frame_generator(scene.seed, clutter_number, "clutter"))
    paths = draw_paths(scene, receiver, targets, clutter, generator, block)

    # The static world, as a moving station sees it.
    static = moving_static_paths(scene, receiver)
    if static is not None:
        num_before = len(targets) + len(clutter)
        paths = joined_paths([paths, replace(static, scatterer=num_before + static.scatterer)])
    return paths, generator


def hear(
    scene: Scene,
    frame: Signal,
    receiver: str,
    targets: Sequence[TargetState],
    time_s: float | None = None,
) -> np.ndarray:
    """The echo at one receiver of a view of the scene (CF eq. 6).

    time_s: from the start of consecutive frames; None: an independent draw, with clocks as they are
    at the start
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    """
    site = scene.receiver(receiver)
    paths, generator = paths_to(scene, frame.number, site, targets, time_s)
    offsets = link_offsets(scene, site, time_s or 0.0)
    static = static_channel(scene, site)
    return apply_paths(scene, frame, site, paths, generator, static, offsets)


def static_channel(scene: Scene, receiver: Site) -> np.ndarray | None:
    """Channel matrix of all paths at rest to one receiver: of the path file or the world, if any.

    Links with an end that may move are not in it: their paths are in paths_to.

    Returns [num_rx_ant, num_subcarriers, num_tx_ant], complex64.
    """
    if scene.propagation.paths is not None:
        return traced_matrix(scene, receiver)
    return static_matrix(scene, receiver)


def frame_count(scene: Scene, wanted: int | None) -> int:
    """Number of frames to run: as many as wanted, but no more than the scene's path file has.

    wanted: None for all frames of the file
    """
    if scene.num_frames is None:
        if wanted is None:
            raise ValueError(f"scene '{scene.name}' has no end; say how many frames to run")
        return wanted
    return scene.num_frames if wanted is None else min(wanted, scene.num_frames)


def run(
    scene: Scene, num_frames: int | None = None, scheme_name: str | None = None
) -> Iterator[Snapshot]:
    """Run the scene for num_frames at its update rate: an iterator over every frame's snapshot.

    A scene with a path file ends with it.
    """
    return run_scheme(make_scheme(scheme_name or scene.sensing.scheme, scene), num_frames)


def run_scheme(scheme: Scheme, num_frames: int | None = None) -> Iterator[Snapshot]:
    """Run the scene of a scheme for num_frames, with new ends and a new tracker.

    Returns an iterator over every frame's snapshot.
    Raises ValueError at once: the scene has no end and num_frames is None, or its motion filter
    cannot be made.
    """
    # Loads slowly, and most nodes have no tracker.
    from cooperative_isac.tracking.tracker import Tracker

    tracker = Tracker(scheme.scene.tracking, scheme.scene.dimension)
    return _snapshots(scheme, tracker, frame_count(scheme.scene, num_frames))


def _snapshots(scheme: Scheme, tracker: Tracker, num_frames: int) -> Iterator[Snapshot]:
    """Snapshots of the first num_frames frames."""
    scene = scheme.scene
    encoders = make_encoders(scheme)
    decoder = scheme.center()
    for number in range(num_frames):
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        frame = make_frame(scene, number, time_s)
        packets = {
            station: encoders[station].encode(echoes, frame)
            for station, echoes in receive_all(scene, frame, targets).items()
        }
        detections = decoder.decode(packets, frame)
        yield Snapshot(
            number, time_s, targets, packets, detections, tracker.update(time_s, detections)
        )
