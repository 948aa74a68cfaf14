"""CF eq. 6 written out in full, for automatic differentiation."""

import autograd.numpy as anp
import numpy as np

from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.draw import draw_targets

LIGHT_MPS = 299_792_458.0


def drawn(scene, number=2):
    """A frame, its targets, and the paths to each receiver."""
    generator = np.random.default_rng(number)
    targets = draw_targets(scene, generator)
    paths = {
        site.name: draw_paths(scene, site, targets, np.zeros((0, 3)), generator)
        for site in scene.receivers
    }
    return transmit(scene, number), targets, paths


def signals(frame):
    """The vectors x of CF eq. 3 of each transmitter, [num_subcarriers, num_tx_ant, num_symbols]."""
    return [
        frame.toward(tx, np.eye(part.stop - part.start)).astype(complex)
        for tx, part in enumerate(frame.antennas)
    ]


def steering(site, direction, wavelength):
    return anp.exp(2j * anp.pi / wavelength * anp.dot(site.elements_m, direction)) / np.sqrt(
        site.num_ant
    )


def path_echo(scene, frame, receiver, transmitter, sent, point, velocity, reflection):
    """One term of CF eq. 6, in full: [num_rx_ant, num_subcarriers, num_symbols]."""
    wave = scene.grid.wavelength_m
    spread = scene.propagation
    site = scene.transmitters[transmitter]
    from_tx = point - site.position_m
    from_rx = point - receiver.position_m
    d_tx = anp.sqrt(anp.sum(from_tx**2))
    d_rx = anp.sqrt(anp.sum(from_rx**2))
    length = (d_tx + d_rx) / spread.reference_distance_m
    loss = spread.reference_gain * length**-spread.pathloss_exponent
    doppler = -anp.sum(velocity * (from_tx / d_tx + from_rx / d_rx)) / wave
    over_frequency = anp.exp(
        -2j * anp.pi * frame.grid.subcarrier_offsets_hz * (d_tx + d_rx) / LIGHT_MPS
    )
    over_time = anp.exp(2j * anp.pi * frame.grid.symbol_times_s * doppler)[None]
    if spread.range_migration:
        # The Doppler shift of each subcarrier at its own frequency.
        ratio = frame.grid.subcarrier_offsets_hz[:, None] / frame.grid.carrier_hz
        over_time = over_time * anp.exp(2j * anp.pi * ratio * frame.grid.symbol_times_s * doppler)
    departure = steering(site, from_tx / d_tx, wave)
    toward = anp.sum(departure[:, None, None] * anp.transpose(sent, (1, 0, 2)), axis=0)
    arriving = reflection * anp.sqrt(loss) * toward * over_frequency[:, None] * over_time
    return steering(receiver, from_rx / d_rx, wave)[:, None, None] * arriving


def embedded(scene, values):
    """Coordinates of the scene's dimension as [3]; the other ones are zero, as in the plane."""
    return anp.dot(np.eye(3)[:, : scene.dimension], values)


def reflections(scene, paths):
    """beta of each path, from its amplitude beta sqrt(PL)."""
    spread = scene.propagation
    ratio = paths.delay_s * LIGHT_MPS / spread.reference_distance_m
    return paths.amplitude / np.sqrt(spread.reference_gain * ratio**-spread.pathloss_exponent)
