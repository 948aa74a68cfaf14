"""Large-scale gain of paths: the paper's path loss, or the radar equation."""

from __future__ import annotations

import numpy as np

from cooperative_isac.channel.antenna_pattern import element_amplitude
from cooperative_isac.scene.band import Propagation
from cooperative_isac.scene.geometry import BistaticGeometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.noise import receiver_noise_w
from cooperative_isac.scene.station import Site


def amplitude_gain(propagation: Propagation, distance_m: np.ndarray) -> np.ndarray:
    """Large-scale amplitude sqrt(alpha_0 (d / d_0)^-zeta).

    distance_m: [...], float64, m
    Returns [...], float64.
    Source: CF section II-C.
    """
    ratio = np.asarray(distance_m) / propagation.reference_distance_m
    return np.sqrt(propagation.reference_gain * ratio**-propagation.pathloss_exponent)


def friis_amplitude(wavelength_m: float, distance_m: np.ndarray) -> np.ndarray:
    """Free-space amplitude lambda / (4 pi d) between isotropic elements.

    distance_m: [...], float64, m
    Returns [...], float64.
    """
    return wavelength_m / (4 * np.pi * np.asarray(distance_m))


def radar_amplitude(
    wavelength_m: float,
    rcs_m2: np.ndarray | float,
    tx_distance_m: np.ndarray,
    rx_distance_m: np.ndarray,
) -> np.ndarray:
    """Amplitude of the bistatic radar equation between isotropic elements.

    It is sqrt(lambda^2 sigma / ((4 pi)^3 d_tx^2 d_rx^2)).

    rcs_m2: one for all, or [...], float64, m^2
    tx_distance_m: [...], float64, m
    rx_distance_m: [...], float64, m
    Returns [...], float64.
    """
    return wavelength_m * np.sqrt(rcs_m2 / (4 * np.pi) ** 3) / (tx_distance_m * rx_distance_m)


def array_amplitude(transmitter: Site, receiver: Site) -> float:
    """Amplitude between arrays over that between single elements, for unit-norm steering."""
    return float(np.sqrt(transmitter.num_ant * receiver.num_ant))


def spread_amplitude(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    tx_distance_m: np.ndarray,
    rx_distance_m: np.ndarray,
) -> np.ndarray:
    """Amplitude by way of a scatterer of unit reflection, between isotropic elements.

    Unit reflection is 1 m^2 in the radar equation. Steering vectors have unit norm.

    tx_distance_m: [...], float64, m
    rx_distance_m: [...], float64, m
    Returns [...], float64.
    """
    if not scene.propagation.has_radar_equation:
        return amplitude_gain(scene.propagation, tx_distance_m + rx_distance_m)
    of_elements = radar_amplitude(scene.grid.wavelength_m, 1.0, tx_distance_m, rx_distance_m)
    return of_elements * array_amplitude(transmitter, receiver)


def unit_gain(
    scene: Scene, transmitter: Site, receiver: Site, path: BistaticGeometry
) -> np.ndarray:
    """spread_amplitude with the patterns of the elements.

    path: geometry of points [...]
    Returns [...], float64.
    """
    gain = spread_amplitude(scene, transmitter, receiver, path.tx_distance_m, path.rx_distance_m)
    return gain * element_amplitude(transmitter, path.aod) * element_amplitude(receiver, path.aoa)


def expected_power(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    path: BistaticGeometry,
    rcs_m2: float | None = None,
) -> np.ndarray:
    """Mean of the squared amplitude of a target's path.

    path: geometry of points [...]
    rcs_m2: mean radar cross section for the radar equation, m^2; None: the smallest of the scene's
    classes and live targets, which a target of unknown class has at least
    Returns [...], float64.
    """
    if not scene.propagation.has_radar_equation:
        reflected = scene.propagation.reflection_variance
    elif rcs_m2 is None:
        of_targets = [target.rcs_m2 for target in scene.targets if target.rcs_m2 is not None]
        of_classes = [body.rcs_m2 for body in scene.bodies.values()]
        reflected = min(of_targets + of_classes)
    else:
        reflected = rcs_m2
    return reflected * unit_gain(scene, transmitter, receiver, path) ** 2


def integration_gain(scene: Scene, transmitter: Site, receiver: Site) -> float:
    """SNR after integration of a path of amplitude 1, for steering vectors of unit norm.

    The integration is coherent over all resource elements of a frame and all receive antennas, at
    full transmit power of the symbols that receivers use. The gain of the transmit array is 0 dB,
    its mean over all directions, as the beams are directed at the users.

    Returns a power ratio.
    """
    # Each resource element has the power over the number of subcarriers. A transmit steering vector
    # of unit norm has the mean gain 1 / num_ant over all directions.
    power_w = scene.waveform.sensed_power_w(scene.sensing.symbols)
    energy = power_w * scene.grid.num_symbols / transmitter.num_ant
    return energy / receiver_noise_w(scene, receiver)


def expected_snr(
    scene: Scene,
    transmitter: Site,
    receiver: Site,
    path: BistaticGeometry,
    rcs_m2: float | None = None,
) -> np.ndarray:
    """Mean SNR of a target's path, integrated over a frame (integration_gain).

    path: geometry of points [...]
    rcs_m2: as in expected_power
    Returns [...], float64, a power ratio.
    """
    power = expected_power(scene, transmitter, receiver, path, rcs_m2)
    return power * integration_gain(scene, transmitter, receiver)


def gain_slope(scene: Scene, path: BistaticGeometry) -> np.ndarray:
    """Derivative of the logarithm of spread_amplitude with the point's location.

    The slope of the elements' patterns is left out. A bound with unknown complex reflections does
    not depend on it: a change of a path's amplitude is a change of its reflection.

    path: geometry of points [...]
    Returns [..., 3], float64, 1/m.
    """
    # Amplitude over 1 / (d_tx d_rx).
    if scene.propagation.has_radar_equation:
        tx_slope = path.aod / path.tx_distance_m[..., None]
        rx_slope = path.aoa / path.rx_distance_m[..., None]
        return -tx_slope - rx_slope

    # Amplitude over (d_tx + d_rx)^(-zeta / 2).
    by_range = -scene.propagation.pathloss_exponent / (2 * path.range_m[..., None])
    return by_range * path.range_gradient
