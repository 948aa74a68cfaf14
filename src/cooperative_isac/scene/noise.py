"""Noise of a receiving station: thermal noise, residual self-interference, unknown symbols."""

from __future__ import annotations

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site


def receiver_noise_w(scene: Scene, receiver: Site) -> float:
    """Noise power of a receiver per antenna, subcarrier and symbol, W.

    In a full-duplex station the residual self-interference adds: its own signal at full power after
    cancellation, spread evenly over the subcarriers.
    """
    thermal_w = scene.propagation.noise_power_w
    if scene.layout is None:
        return thermal_w
    residual_db = scene.station(receiver.name).residual_self_interference_db
    is_transmitting = any(site.name == receiver.name for site in scene.transmitters)
    if residual_db is None or not is_transmitting:
        return thermal_w
    transmitted_w = scene.waveform.power_w / scene.grid.num_subcarriers
    return thermal_w + transmitted_w * 10 ** (residual_db / 10)


def has_unknown_symbols(scene: Scene) -> bool:
    """True where symbols that receivers do not use share resource elements with those that they do.

    Data and code words are superimposed: with one of both, the other is interference.

    scene: seen on one band
    """
    return scene.waveform.is_superimposed and scene.sensing.symbols != "all"
