"""Reported paths as measurements, and echoes without them."""

import numpy as np
import pytest

from cooperative_isac.calibration.offsets import ClockOffset
from cooperative_isac.channel.clocks import ClockOffsets, clock_phasors
from cooperative_isac.pipeline import make_frame
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.link_geometry import link_geometry
from cooperative_isac.sensing.measured_path import measured_path, without_paths
from cooperative_isac.sensing.report import EchoReport, PathReport
from cooperative_isac.waveform.offset_signal import with_clock_offsets

POINT_M = np.array([20.0, 34.0, 15.0])
VELOCITY_MPS = np.array([4.0, -3.0, 1.0])
OFFSET = ClockOffset(60e-9, 250.0, np.zeros((2, 2)))
TRANSMITTER = 2


@pytest.fixture(scope="module")
def scene():
    return load_scene("multi_bs")


def report(scene, transmitter):
    """Exact report of one path to bs1."""
    site = scene.transmitters[transmitter]
    receiver = scene.receiver("bs1")
    path = link_geometry(site, receiver, POINT_M, VELOCITY_MPS, scene.grid.wavelength_m)
    one = PathReport(transmitter, float(path.doppler_hz), 200.0, np.eye(3))
    return EchoReport("bs1", POINT_M, (one,), scene.band), path


def test_offsets_of_the_fit_belong_to_the_measurement(scene):
    one, path = report(scene, TRANSMITTER)
    measured = measured_path(scene, scene.receiver("bs1"), one, OFFSET)
    assert measured.delay_s == pytest.approx(float(path.range_m) / SPEED_OF_LIGHT_MPS + 60e-9)
    assert measured.frequency_hz == pytest.approx(float(path.doppler_hz) + 250.0)

    # Fisher information of a delay: (2 pi)^2 times twice the SNR times the mean square bandwidth.
    bandwidth_hz2 = np.mean(
        np.square(scene.grid.subcarrier_offsets_hz - np.mean(scene.grid.subcarrier_offsets_hz))
    )
    assert 1 / measured.covariance[0, 0] == pytest.approx(400 * (2 * np.pi) ** 2 * bandwidth_hz2)


def test_reported_paths_are_taken_out(scene):
    # Two paths, each sent by its transmitter with its clock offset.
    signal = make_frame(scene, 3).on(scene.band)
    receiver = scene.receiver("bs1")
    echo = np.zeros((receiver.num_ant, 64, 32), complex)
    reports = []
    for transmitter, amplitude in ((0, 1e-3), (TRANSMITTER, 2e-3j)):
        one, path = report(scene, transmitter)
        reports.append(one)
        wavelength_m = scene.grid.wavelength_m
        timing_s = 60e-9 if transmitter else 0.0
        frequency_hz = 250.0 if transmitter else 0.0
        clocks = ClockOffsets(
            np.array([path.delay_s + timing_s]),
            np.array([path.doppler_hz + frequency_hz]),
            np.zeros(1),
        )
        sent = with_clock_offsets(signal, clock_phasors(scene.grid, clocks), [transmitter])
        departure = steering_vectors(
            scene.transmitters[transmitter].elements_m, path.aod[None], wavelength_m
        )
        arrival = steering_vectors(receiver.elements_m, path.aoa[None], wavelength_m)[0]
        waveform = sent.toward(0, departure)[:, 0]
        echo += amplitude * np.multiply.outer(arrival, waveform)

    rest = without_paths(scene, receiver, signal, echo, reports, {TRANSMITTER: OFFSET})
    assert np.linalg.norm(rest) < 1e-4 * np.linalg.norm(echo)

    # With the offset of a path missing it stays.
    rest = without_paths(scene, receiver, signal, echo, reports, {})
    assert np.linalg.norm(rest) > 0.5 * np.linalg.norm(echo)
    assert without_paths(scene, receiver, signal, echo, [], {}) is echo
