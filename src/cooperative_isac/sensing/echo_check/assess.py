"""Self-test of the echoes of a radio: signs, orders, time zero, level and noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.echo_check.antennas import (
    check_antennas,
    check_clipping,
    check_swapped,
)
from cooperative_isac.sensing.echo_check.conventions import check_conventions
from cooperative_isac.sensing.echo_check.findings import UNDECIDED, Check, EchoAssessment
from cooperative_isac.sensing.echo_check.hypotheses import choose, peak_delay_s
from cooperative_isac.sensing.echo_check.levels import (
    check_line_of_sight,
    check_noise,
    check_static,
    measure_levels,
)
from cooperative_isac.sensing.echo_check.matcher import Matcher, line_of_sight
from cooperative_isac.sensing.echo_check.orders import sample_orders
from cooperative_isac.sensing.echo_check.timing import check_carrier, check_time_zero
from cooperative_isac.waveform.signal import Signal

# Ratio of static power to noise that stands for none, so that it has a logarithm.
LEAST_STATIC_RATIO = 1e-9


def check_echoes(
    scene: Scene,
    receiver: Site,
    frames: Sequence[Signal],
    echoes: Sequence[np.ndarray],
    noise_powers_w: Sequence[float],
) -> EchoAssessment:
    """Assessment of one receiver's echoes by the line of sight from the transmitters, and by noise.

    The static channel is matched with the line of sight under every hypothesis of sample_orders and
    element_orders, both transmit sides and delay signs; the one with the largest likelihood gain is
    compared with its rivals.

    scene: seen on one band
    receiver: receiving station
    frames: signals that were sent, one for each echo
    echoes: [num_rx_ant, num_subcarriers, num_symbols] each, complex64, sqrt(W)
    noise_powers_w: noise power that the radio states for each echo, W per antenna and resource
        element
    """
    if not echoes:
        return EchoAssessment(receiver.name, 0, (Check("frames", UNDECIDED, "no echo to check"),))

    # Broken samples make everything else meaningless.
    checks = [check_antennas(echoes), check_clipping(echoes)]
    if not any(np.any(echo) for echo in echoes):
        return EchoAssessment(receiver.name, len(echoes), tuple(checks))
    if not len(line_of_sight(scene, receiver).delay_s) or scene.grid.num_subcarriers < 2:
        text = "cannot be checked: it needs a transmitter elsewhere and two subcarriers"
        checks.append(Check("line of sight", UNDECIDED, text))
        return EchoAssessment(receiver.name, len(echoes), tuple(checks))

    # The most likely hypothesis, and the samples in its order, in units of the stated noise.
    scaled = [
        echo.astype(np.complex64) / np.float32(np.sqrt(power_w))
        for echo, power_w in zip(echoes, noise_powers_w)
    ]
    matcher = Matcher(scene, receiver, frames)
    orders = sample_orders(scene.grid)
    chosen = choose(matcher, orders, scaled)
    choice = chosen.choice
    noise = chosen.noise
    ordered = [orders[choice.index[0]].restored(echo) for echo in scaled]

    # Orders and signs.
    checks += check_conventions(matcher, orders, choice)

    # Delay, Doppler shift and phases over antennas.
    offset_s = None
    if choice.visible:
        offset_s = peak_delay_s(chosen.profile, choice.offset)
        checks.append(check_time_zero(scene, offset_s, choice))
        checks.append(check_carrier(scene, matcher, ordered, choice))
        checks.append(check_swapped(matcher, ordered, choice))

    # Noise and line of sight.
    stated_w = float(np.exp(np.mean(np.log(noise_powers_w))))
    levels = measure_levels(scene, matcher, ordered, choice, stated_w, noise)
    level_db = float(levels.free_space_db.max()) if choice.visible else None
    checks.append(check_noise(scene, noise, stated_w, level_db))
    checks.append(check_line_of_sight(scene, levels, choice, stated_w))

    # Static paths over the measured noise.
    static_db = None
    if noise:
        static_db = 10 * np.log10(max(chosen.static / noise, LEAST_STATIC_RATIO))
        checks.append(check_static(scene, receiver, static_db))
    return EchoAssessment(
        receiver=receiver.name,
        num_frames=len(echoes),
        checks=tuple(checks),
        delay_offset_s=offset_s,
        line_of_sight_db=levels.energy_db,
        noise_power_w=noise * stated_w if noise else None,
        static_to_noise_db=static_db,
    )
