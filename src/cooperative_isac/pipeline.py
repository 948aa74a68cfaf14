"""The whole signal chain in one process, from targets to tracks.

Targets -> channel -> station -> fronthaul -> fusion center -> tracker. The ROS nodes call the same
stage functions, one each; everything random in frame k is a function of (seed, k, who), so that
they all agree and a replay gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cooperative_isac.channel.clocks import link_offsets
from cooperative_isac.channel.echo import DrawnNoise, Echo, apply_paths, draw_noise
from cooperative_isac.channel.fading import coherence_block, draw_key
from cooperative_isac.channel.interference import interference_echo
from cooperative_isac.channel.paths import PathSet, clutter_positions, draw_paths
from cooperative_isac.channel.traced import moving_paths, traced_matrix
from cooperative_isac.channel.users import user_channels
from cooperative_isac.channel.world import moving_static_paths, static_matrix
from cooperative_isac.fronthaul.delivery import deliver, result_sender
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.columns import joined_rows
from cooperative_isac.scene.draw import draw_users, frame_generator, scene_targets, true_poses
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.scene.station import Pose, Site
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
    """Truth, packets, detections and tracks of one frame.

    targets: states at time_s
    packets: sent ones, by name of the station
    undelivered: names of the stations whose packets are out of range of the fusion center
    fused_at: name of the station that fuses them; empty: all packets arrive, wherever it is
    result_sender: name of the station over whose uplink the result gets to the base station; empty:
    a UE that fuses keeps it, or all packets arrive
    """

    number: int
    time_s: float
    targets: tuple[TargetState, ...]
    packets: dict[str, bytes]
    detections: tuple[Detection, ...]
    tracks: tuple[Track, ...]
    undelivered: tuple[str, ...] = ()
    fused_at: str = ""
    result_sender: str = ""

    def __repr__(self) -> str:
        """Time and numbers of things; the bytes of the packets would fill pages."""
        return (
            f"Snapshot(frame {self.number}, {self.time_s:g} s, {len(self.targets)} targets, "
            f"{len(self.packets)} packets, {len(self.detections)} detections, "
            f"{len(self.tracks)} tracks)"
        )


def downlink_channels(scene: Scene, number: int) -> np.ndarray:
    """The users' channels of one frame.

    Returns [num_groups, num_users, num_tx_ant], complex128.
    """
    generator = frame_generator(scene.seed, number, "users")
    return user_channels(scene, draw_users(scene, generator), generator)


def transmit(scene: Scene, number: int) -> Signal:
    """The signal of all transmitters of a band in frame `number` (CF eqs. 3-5)."""
    waveform = scene.waveform
    antennas = antenna_slices(scene)

    # Precoders of the users' channels, within the power limit of each transmitter for data; MMSE
    # has the power of all transmitters per subcarrier.
    channels = downlink_channels(scene, number)
    total_power_w = waveform.data_power_w * len(scene.transmitters) / scene.grid.num_subcarriers
    precoders = precode(waveform.precoder, channels, scene.users.noise_power_w, total_power_w)
    precoders = limit_power(precoders, antennas, waveform.group_size, waveform.data_power_w)

    # Random payload.
    generator = frame_generator(scene.seed, number, draw_key(scene, "payload"))
    symbols = draw_symbols(waveform, scene.users.num_users, generator)

    signal = Signal(
        number=number,
        grid=scene.grid,
        modulation_order=waveform.modulation_order,
        indices=symbols,
        precoders=precoders.astype(np.complex64),
        antennas=antennas,
    )
    return with_reference(scene, signal)


class DrawnSignals(Mapping[str, Signal]):
    """The signals of one frame by band, each drawn when it is first used: many stages use none.

    scene: with the seed of the frame
    number: of the frame
    bands: names of those on the air, in the scene's order
    """

    def __init__(self, scene: Scene, number: int, bands: Sequence[str]):
        self.scene = scene
        self.number = number
        self._bands = tuple(bands)
        self._drawn: dict[str, Signal] = {}

    def __getitem__(self, band: str) -> Signal:
        if band not in self._bands:
            raise KeyError(band)
        if band not in self._drawn:
            self._drawn[band] = transmit(self.scene.on(band), self.number)
        return self._drawn[band]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bands)

    def __len__(self) -> int:
        return len(self._bands)


def make_frame(
    scene: Scene,
    number: int,
    time_s: float | None = None,
    reported: Mapping[str, Pose] | None = None,
    bands: Sequence[str] | None = None,
) -> Frame:
    """Frame `number` of the scene: the signals of the bands on the air, and poses of stations.

    Signals are a function of the seed and the number alone: their precoders are those of the
    transmitters' poses at the scene's start.

    time_s: from the start of consecutive frames, s; None: an independent draw, its stations at the
    scene's start
    reported: poses of the stations that follow odometry or /tf, by name
    bands: names of those on the air, as scheduled (tracking.schedule); None: all of the frame
    """
    signals = DrawnSignals(scene, number, scene.on_air(number) if bands is None else bands)
    return Frame(number, signals, time_s, scene.poses_at(time_s or 0.0, reported))


def receive(
    scene: Scene,
    frame: Frame,
    station: str,
    targets: Sequence[TargetState],
    noise: Mapping[str, DrawnNoise] | None = None,
) -> dict[str, Echo]:
    """The echoes at one station by band, of the bands on the air on which it receives.

    noise: by band, drawn before (noise_ahead); None: none was
    """
    posed = scene.posed(true_poses(scene, frame.number, frame.poses))
    drawn = noise or {}
    echoes = {}
    for band in frame.bands:
        view = posed.on(band)
        if station not in [site.name for site in view.receivers]:
            continue
        signal = frame.on(band)
        samples = receive_echo(view, signal, station, targets, frame.time_s, drawn.get(band))
        noise_power_w = receiver_noise_w(view, view.receiver(station))
        echoes[band] = Echo(station, band, frame.number, samples, noise_power_w)
    return echoes


def noise_ahead(
    scene: Scene, frame: Frame, station: str, targets: Sequence[TargetState]
) -> dict[str, DrawnNoise]:
    """The noise at one station in a frame by band, before it is known where the targets will be.

    It is that of `receive` as long as there are as many targets.
    """
    posed = scene.posed(true_poses(scene, frame.number, frame.poses))
    drawn = {}
    for band in frame.bands:
        view = posed.on(band)
        if station in [site.name for site in view.receivers]:
            site = view.receiver(station)
            _, generator = paths_to(view, frame.number, site, targets, frame.time_s)
            drawn[band] = draw_noise(view, frame.on(band).grid, site, generator)
    return drawn


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


def sum_rate(scene: Scene, signal: Signal) -> float:
    """Sum spectral efficiency of all users on one band, bit/s/Hz: the communication half of ISAC.

    Reference symbols carry no payload. Code words beside data only take a share of the power: users
    know them, and cancel them before they decode.
    """
    channels = downlink_channels(scene, signal.number)
    rates = user_rates(channels, signal.precoders, scene.users.noise_power_w)
    return signal.payload_share * float(rates.sum())


def mean_sum_rate(scene: Scene, frame: Frame) -> float:
    """Sum spectral efficiency of a frame, mean over the bands on the air, bit/s/Hz."""
    rates = [sum_rate(scene.on(band), signal) for band, signal in frame.signals.items()]
    return sum(rates) / len(rates)


def paths_to(
    scene: Scene,
    number: int,
    receiver: Site,
    targets: Sequence[TargetState],
    time_s: float | None = None,
) -> tuple[PathSet, np.random.Generator]:
    """The paths of frame `number` to one receiver, and the generator of its noise.

    They are those of targets and drawn clutter, and on links with a moving end those of the static
    world; on links at rest the static world is a channel matrix (channel.world). With a path file
    they are the moving paths of the file's frame, whatever the targets. Clock offsets are applied
    later (channel.clocks).

    time_s: from the start of consecutive frames, s, which gives the coherence block of the
    reflections; None: an independent draw
    Source: CF eq. (6).
    """
    generator = frame_generator(scene.seed, number, draw_key(scene, f"channel/{receiver.name}"))
    if scene.propagation.paths is not None:
        return moving_paths(scene, number, receiver), generator

    # Clutter: drawn anew in every frame or coherence block, as reflections are.
    block = coherence_block(scene, time_s)
    clutter_number = number if block is None else block
    clutter_generator = frame_generator(scene.seed, clutter_number, "clutter")
    clutter_m = clutter_positions(scene, clutter_generator)
    paths = draw_paths(scene, receiver, targets, clutter_m, generator, block)

    # Static world over links with a moving end; its scatterers count after targets and clutter.
    static = moving_static_paths(scene, receiver)
    if static is not None:
        num_before = len(targets) + len(clutter_m)
        static = replace(static, scatterer=num_before + static.scatterer)
        paths = joined_rows([paths, static])
    return paths, generator


def receive_echo(
    scene: Scene,
    signal: Signal,
    receiver: str,
    targets: Sequence[TargetState],
    time_s: float | None = None,
    noise: DrawnNoise | None = None,
) -> np.ndarray:
    """The echo at one receiver of a view of the scene.

    receiver: name of the station
    time_s: from the start of consecutive frames, s; None: an independent draw, with clocks as they
    are at the start
    noise: drawn before (noise_ahead); None: none was
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W).
    Source: CF eq. (6).
    """
    site = scene.receiver(receiver)
    paths, generator = paths_to(scene, signal.number, site, targets, time_s)
    static = static_channel(scene, site)
    offsets = link_offsets(scene, site, time_s or 0.0)
    echo = apply_paths(scene, signal, site, paths, generator, static, offsets, noise)

    # Signals of other networks.
    other = interference_echo(scene, signal, site, targets, time_s)
    return echo if other is None else echo + other


def static_channel(scene: Scene, receiver: Site) -> np.ndarray | None:
    """Channel matrix of all paths at rest to one receiver, of the path file or the static world.

    Links with a moving end are not in it: their paths are in paths_to.

    Returns [num_rx_ant, num_subcarriers, num_tx_ant], complex64; None without such paths.
    """
    if scene.propagation.paths is not None:
        return traced_matrix(scene, receiver)
    return static_matrix(scene, receiver)


def frame_count(scene: Scene, requested: int | None) -> int:
    """Number of frames to run: the requested one, at most that of the scene's path file.

    requested: number of frames; None: all frames of the file
    Raises ValueError: no number is requested of a scene without end.
    """
    if scene.num_frames is None:
        if requested is None:
            raise ValueError(f"scene '{scene.name}' has no end; give the number of frames to run")
        return requested
    return scene.num_frames if requested is None else min(requested, scene.num_frames)


def run(
    scene: Scene, num_frames: int | None = None, scheme_name: str | None = None
) -> Iterator[Snapshot]:
    """Run the scene frame by frame at its update rate: an iterator over a snapshot of each.

    num_frames: None: all frames of the scene's path file
    scheme_name: None: the scene's scheme
    """
    return run_scheme(make_scheme(scheme_name or scene.sensing.scheme, scene), num_frames)


def run_scheme(scheme: Scheme, num_frames: int | None = None) -> Iterator[Snapshot]:
    """Run the scene of a scheme frame by frame, with new ends and a new tracker.

    Returns an iterator over a snapshot of each frame.
    Raises ValueError at once: the scene has no end and num_frames is None, or its motion filter
    cannot be made.
    """
    # Loads slowly, and most nodes have no tracker.
    from cooperative_isac.tracking.tracker import Tracker

    tracker = Tracker(scheme.scene.tracking, scheme.scene.dimension)
    return _snapshots(scheme, tracker, frame_count(scheme.scene, num_frames))


def _snapshots(scheme: Scheme, tracker: Tracker, num_frames: int) -> Iterator[Snapshot]:
    """Snapshots of the first num_frames frames."""
    from cooperative_isac.tracking.schedule import scheduled_bands  # as the tracker

    scene = scheme.scene
    encoders = make_encoders(scheme)
    decoder = scheme.center()
    period_s = 1 / scene.update_rate_hz
    tracks: tuple[Track, ...] = ()
    for number in range(num_frames):
        # Targets and transmitted signals.
        time_s = number / scene.update_rate_hz
        targets = scene_targets(scene, time_s)
        bands = scheduled_bands(scene, number, tracks, period_s)
        frame = make_frame(scene, number, time_s, bands=bands)

        # Echoes and packets of each station.
        packets = {
            station: encoders[station].encode(echoes, frame)
            for station, echoes in receive_all(scene, frame, targets).items()
        }

        # Fusion and tracking.
        delivery = deliver(scene, frame, packets)
        detections = decoder.decode(delivery.packets, frame)
        answered = 1 - len(delivery.undelivered) / len(encoders)
        tracks = tracker.update(time_s, detections, answered)
        sender = result_sender(scene, frame, delivery.fused_at, len(detections))
        yield Snapshot(
            number,
            time_s,
            targets,
            packets,
            detections,
            tracks,
            delivery.undelivered,
            delivery.fused_at,
            sender,
        )
