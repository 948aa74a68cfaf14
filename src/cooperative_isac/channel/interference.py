"""Signals of other networks at a receiver (DC section IV-A)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.channel.echo import path_blocks, paths_echo, with_delay_rates
from cooperative_isac.channel.fading import coherence_block, draw_key
from cooperative_isac.channel.paths import PathSet, draw_paths
from cooperative_isac.channel.world import mirror_paths, path_set
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.band import Interferer, OfdmGrid
from cooperative_isac.scene.columns import joined_rows
from cooperative_isac.scene.draw import frame_generator
from cooperative_isac.scene.model import Scene, TargetState
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.scene.station import Site
from cooperative_isac.waveform.qam import constellation
from cooperative_isac.waveform.signal import Signal


@dataclass(frozen=True)
class InterferenceSignal:
    """What interferers of one antenna each send in a frame.

    grid: of the band
    samples: [num_interferers, num_subcarriers, num_symbols], complex64, sqrt(W)
    """

    grid: OfdmGrid
    samples: np.ndarray

    def toward(self, transmitter: int, steering: np.ndarray) -> np.ndarray:
        """Transmitted signal in given directions, as Component.toward."""
        return steering.astype(np.complex64) * self.samples[transmitter][:, None, :]


def interference_echo(
    scene: Scene,
    signal: Signal,
    receiver: Site,
    targets: Sequence[TargetState],
    time_s: float | None,
) -> np.ndarray | None:
    """Signals of interferers at one receiver: directly, by the world, and by way of targets.

    Random parts are functions of the seed, the frame's number and the names at both ends.

    scene: seen on one band
    signal: of the band's own transmitters, with the number of the frame
    time_s: from the start of consecutive frames, s; None: an independent draw
    Returns [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W); None: nobody interferes.
    Source: DC section IV-A.
    """
    interferers = scene.propagation.on_own_elements
    if not interferers:
        return None
    view = _other_network(scene)

    # Paths by way of targets, and those without.
    who = draw_key(scene, f"interference/{receiver.name}")
    generator = frame_generator(scene.seed, signal.number, who)
    block = coherence_block(scene, time_s)
    by_targets = draw_paths(view, receiver, targets, np.zeros((0, 3)), generator, block)
    direct = _direct_paths(view, receiver, len(targets))
    paths = with_delay_rates(scene, joined_rows([by_targets, direct]))

    # Their signals.
    samples = [_sent(scene, signal, interferer) for interferer in interferers]
    sent = InterferenceSignal(scene.grid, np.stack(samples))
    parts = [paths_echo(view, sent, receiver, part) for part in path_blocks(paths, scene.grid)]
    return np.sum(parts, axis=0)


def arrivals(scene: Scene, receiver: Site) -> np.ndarray:
    """Amplitudes at the antennas of all paths of interferers that do not pass a target.

    scene: seen on one band, with interferers on its resource elements
    Returns [num_paths, num_rx_ant], complex128, sqrt(W) on each subcarrier.
    """
    return _at_antennas(scene, receiver, arriving_paths(scene, receiver))


def arriving_paths(scene: Scene, receiver: Site) -> PathSet:
    """All paths of interferers that do not pass a target; the transmitters are interferers.

    scene: seen on one band, with interferers on its resource elements
    Returns paths with amplitudes in sqrt(W) on each subcarrier, for unit-norm steering vectors.
    """
    paths = _direct_paths(_other_network(scene), receiver, 0)
    sent_w = [one.power_w for one in scene.propagation.on_own_elements]
    power_w = np.array(sent_w) / scene.grid.num_subcarriers
    return replace(paths, amplitude=paths.amplitude * np.sqrt(power_w)[paths.transmitter])


def interference_covariance(scene: Scene, receiver: Site) -> np.ndarray:
    """Covariance over the antennas of the interferers' symbols of their own, mean of a frame.

    scene: seen on one band, with interferers on its resource elements
    Returns [num_rx_ant, num_rx_ant], complex128, W on each resource element.
    """
    paths = arriving_paths(scene, receiver)
    amplitudes = _at_antennas(scene, receiver, paths)
    covariance = np.zeros((receiver.num_ant, receiver.num_ant), complex)

    # Paths of one interferer are coherent, with the phases of their delays on each subcarrier.
    offsets_hz = scene.grid.subcarrier_offsets_hz
    for index, interferer in enumerate(scene.propagation.on_own_elements):
        if interferer.signal != "coded":
            continue
        chosen = paths.transmitter == index
        phases = np.exp(-2j * np.pi * offsets_hz[:, None] * paths.delay_s[chosen])
        channel = phases @ amplitudes[chosen]
        covariance += channel.T @ channel.conj() / len(channel)
    return covariance


def interference_over_noise(scene: Scene, receiver: Site) -> dict[str, float]:
    """Power of each interferer over the noise of a receiver, mean over antennas and elements.

    scene: seen on one band, with interferers on its resource elements
    Returns power ratios, by name.
    """
    paths = arriving_paths(scene, receiver)
    noise_w = receiver_noise_w(scene, receiver)
    powers_w = np.abs(paths.amplitude) ** 2 / receiver.num_ant
    return {
        interferer.name: float(powers_w[paths.transmitter == index].sum() / noise_w)
        for index, interferer in enumerate(scene.propagation.on_own_elements)
    }


def _other_network(scene: Scene) -> Scene:
    """The scene with the interferers in place of its own transmitters."""
    sites = tuple(
        Site(
            name=interferer.name,
            position_m=interferer.position_m,
            rotation=np.eye(3),
            elements_m=np.zeros((1, 3)),
            kind="custom",
        )
        for interferer in scene.propagation.on_own_elements
    )
    return replace(scene, transmitters=sites)


def _direct_paths(view: Scene, receiver: Site, num_targets: int) -> PathSet:
    """Lines of sight and specular reflections of all transmitters of a view.

    num_targets: scatterers that are counted before them
    """
    parts = []
    for index, site in enumerate(view.transmitters):
        paths = mirror_paths(view, site, receiver)
        parts.append(path_set(view, index, receiver, paths, num_targets))
    return joined_rows(parts)


def _at_antennas(scene: Scene, receiver: Site, paths: PathSet) -> np.ndarray:
    """Amplitudes of paths at the antennas, [num_paths, num_rx_ant], complex128, sqrt(W)."""
    steering = steering_vectors(receiver.elements_m, paths.aoa, scene.grid.wavelength_m)
    return paths.amplitude[:, None] * steering


def _sent(scene: Scene, signal: Signal, interferer: Interferer) -> np.ndarray:
    """What one interferer sends in a frame.

    Returns [num_subcarriers, num_symbols], complex64, sqrt(W).
    """
    grid = scene.grid
    power_w = interferer.power_w / grid.num_subcarriers
    if interferer.signal == "same":
        # The first antenna of the band's first transmitter, at the power of the interferer.
        first_antenna = np.zeros((1, scene.transmitters[0].num_ant))
        first_antenna[0, 0] = 1
        copied = signal.toward(0, first_antenna)[:, 0]
        mean_w = np.mean(np.abs(copied) ** 2)
        return copied * np.float32(np.sqrt(power_w / mean_w)) if mean_w > 0 else copied

    # Random symbols of the band's modulation.
    who = draw_key(scene, f"interference/{interferer.name}")
    generator = frame_generator(scene.seed, signal.number, who)
    points = constellation(scene.waveform.modulation_order)
    shape = (grid.num_subcarriers, grid.num_symbols)
    labels = generator.integers(len(points), size=shape, dtype=np.uint8)
    return points[labels] * np.float32(np.sqrt(power_w))
