"""Delay and Doppler shift of a reported path, with the clock offsets of its link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np

from cooperative_isac.calibration.offsets import NO_OFFSET, ClockOffset
from cooperative_isac.scene.geometry import BistaticGeometry
from cooperative_isac.scene.link_geometry import link_geometry
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.information import shift_information
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.sensing.link_rays import Axes, rays_of
from cooperative_isac.sensing.report import EchoReport
from cooperative_isac.waveform.signal import Component


def measured_path(
    scene: Scene, receiver: Site, report: EchoReport, given: ClockOffset
) -> ClockOffset:
    """Delay and Doppler shift of a path as they were measured, with the offsets of its link.

    given: offsets with which the path was fitted
    """
    path = report.paths[0]
    geometry = path_geometry(scene, receiver, report)

    # Variances by the SNR, amplitude unknown.
    of_delay = delay_variance(scene, path.power)
    of_shift = 1 / report_shift_information(scene, report)
    return ClockOffset(
        float(geometry.delay_s) + given.delay_s,
        path.doppler_hz + given.frequency_hz,
        np.diag([of_delay, of_shift]),
    )


@overload
def delay_variance(scene: Scene, power: float) -> float: ...
@overload
def delay_variance(scene: Scene, power: np.ndarray) -> np.ndarray: ...
def delay_variance(scene: Scene, power: float | np.ndarray) -> float | np.ndarray:
    """Variance of the delay of a path by its SNR, amplitude unknown.

    scene: seen on the band
    power: [...], float64, coherent SNR, linear
    Returns [...], float64, s^2.
    """
    bandwidth_hz2 = float(np.var(scene.grid.subcarrier_offsets_hz))
    return 1 / (2 * power * (2 * np.pi) ** 2 * bandwidth_hz2)


def path_geometry(scene: Scene, receiver: Site, report: EchoReport) -> BistaticGeometry:
    """Geometry of the only path of a report, by way of a target at rest."""
    transmitter = scene.transmitters[report.paths[0].transmitter]
    wavelength_m = scene.grid.wavelength_m
    return link_geometry(transmitter, receiver, report.point_m, np.zeros(3), wavelength_m)


def report_shift_information(scene: Scene, report: EchoReport) -> float:
    """Fisher information of the Doppler shift of the only path of a report, 1/Hz^2."""
    path = report.paths[0]
    power = np.array([path.power])
    doppler_hz = np.array([path.doppler_hz])
    suppression = link_suppression(scene, scene.receiver(report.receiver))
    return float(shift_information(scene.grid, power, doppler_hz, suppression)[0])


def without_paths(
    scene: Scene,
    receiver: Site,
    signal: Component,
    echo: np.ndarray,
    reports: Sequence[EchoReport],
    offsets: Mapping[int, ClockOffset],
) -> np.ndarray:
    """An echo without reported paths: their side lobes are no paths of other links.

    signal: known symbols of the frame, as they were sent
    echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), of these symbols
    reports: of single paths
    offsets: clock offsets with which they were fitted, by index of the transmitter; none of the
    receiver's own signal
    Returns the same shape, complex64.
    """
    if not reports:
        return echo

    # Echo of every path at unit amplitude: steering times waveform.
    axes = Axes(signal)
    steering = []
    waveforms = []
    for report in reports:
        index = report.paths[0].transmitter
        offset = offsets.get(index, NO_OFFSET)
        transmitter = scene.transmitters[index]
        geometry = link_geometry(
            transmitter, receiver, report.point_m[None], np.zeros(3), scene.grid.wavelength_m
        )
        (ray,) = rays_of(signal, index, transmitter, receiver, geometry)
        delay_s = ray.delay_s + offset.delay_s
        doppler_hz = report.paths[0].doppler_hz + offset.frequency_hz
        phases = np.multiply.outer(axes.over_frequency(delay_s), axes.over_time(doppler_hz))
        steering.append(ray.steering)
        waveforms.append((ray.sent * phases).ravel())
    arrivals = np.array(steering)
    sent = np.array(waveforms)

    # All amplitudes together.
    samples = echo.reshape(len(echo), -1)
    products = (arrivals.conj() @ arrivals.T) * (sent.conj() @ sent.T)
    received = np.sum((arrivals.conj() @ samples) * sent.conj(), axis=1)
    amplitudes = np.linalg.lstsq(products, received)[0]

    # Subtract them.
    explained = (amplitudes[:, None] * arrivals).T @ sent
    return (samples - explained).reshape(echo.shape).astype(np.complex64)
