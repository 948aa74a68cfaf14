"""The echo of a point target against quadriga-lib, an independent channel library.

Its convention, which ours must share: a wave that has run a length d has the phase exp(-j 2 pi d /
wavelength), with d taken from element to element over the scatterer, and the response at an offset
f is exp(-j 2 pi f delay). So an element nearer to the scatterer is ahead, on both sides, and phase
falls over the subcarriers.
"""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass, TargetState

quadriga_lib = pytest.importorskip("quadriga_lib")

TARGETS = {"small": (22.0, 31.0, 0.0), "campus": (30.0, 45.0, 14.0), "tilted": (18.0, 25.0, 7.0)}
NO_ROTATION = np.zeros(3)


def omnidirectional(elements_m):
    """Array of vertically polarized elements that radiate alike everywhere."""
    array = quadriga_lib.arrayant.generate("omni", res=10)
    for name in ("e_theta_re", "e_theta_im", "e_phi_re", "e_phi_im"):
        array[name] = np.repeat(array[name], len(elements_m), axis=2)
    array["element_pos"] = np.asfortranarray(elements_m.T)
    array["coupling_re"] = np.eye(len(elements_m))
    array["coupling_im"] = np.zeros((len(elements_m), len(elements_m)))
    return array


def spherical(scene, transmitter, receiver, point_m):
    """Coefficients and delays of the path over a point, each [num_rx_ant, num_tx_ant, 1]."""
    length_m = np.linalg.norm(point_m - transmitter.position_m) + np.linalg.norm(
        point_m - receiver.position_m
    )
    unpolarized = np.zeros((8, 1))
    unpolarized[0] = 1
    unpolarized[6] = -1
    return quadriga_lib.arrayant.get_channels_spherical(
        omnidirectional(transmitter.elements_m),
        omnidirectional(receiver.elements_m),
        point_m[:, None],
        point_m[:, None],
        np.ones(1),
        np.array([length_m]),
        unpolarized,
        transmitter.position_m,
        NO_ROTATION,
        receiver.position_m,
        NO_ROTATION,
        scene.grid.carrier_hz,
        use_absolute_delays=True,
        complex=True,
    )


@pytest.fixture(params=["small", "campus", "tilted"])
def scene(request, small, tilted):
    """Lines, planes and tilted arrays, without noise and clock offsets, with payload alone."""
    full = {"small": small, "tilted": tilted}.get(request.param) or load_scene("campus")
    quiet = replace(
        full.propagation, noise_power_w=1e-40, timing_offset_std_s=0.0, frequency_offset_std_hz=0.0
    )
    return replace(
        full, propagation=quiet, waveform=replace(full.waveform, reference_subcarrier_stride=0)
    )


def channel(scene, receiver, index):
    """Our channel from each antenna of one transmitter: echoes of frames in which it alone sends.

    Returns [num_rx_ant, num_subcarriers, num_tx_ant] at the first symbol.
    """
    frame = transmit(scene, 0)
    target = TargetState("", TargetClass.UNKNOWN, np.array(TARGETS[scene.name]), np.zeros(3))
    paths = draw_paths(scene, receiver, (target,), np.zeros((0, 3)), np.random.default_rng(0))
    paths.amplitude[:] = 1.0
    symbols = np.zeros_like(frame.indices[:, :1])
    columns = []
    for antenna in range(frame.antennas[index].start, frame.antennas[index].stop):
        precoders = np.zeros_like(frame.precoders[..., :1])
        precoders[:, antenna] = 1
        alone = replace(frame, precoders=precoders, indices=symbols)
        echo = apply_paths(scene, alone, receiver, paths, np.random.default_rng(0))
        columns.append(echo[:, :, 0] / alone.streams[0, 0, 0])
    return np.stack(columns, axis=-1)


def test_phases_over_elements_and_subcarriers_agree(scene):
    point = np.array(TARGETS[scene.name])
    offsets = scene.grid.subcarrier_offsets_hz
    for receiver in scene.receivers:
        for index, transmitter in enumerate(scene.transmitters):
            coefficients, delays = spherical(scene, transmitter, receiver, point)
            response = quadriga_lib.channel.baseband_freq_response(
                coeff=[coefficients], delay=[delays], bandwidth=offsets[-1], carriers=len(offsets)
            )
            expected = response[..., 0].transpose(0, 2, 1)

            found = channel(scene, receiver, index)

            # One common phase is free, that of the reflection; curvature leaves less than 0.1 rad
            ratio = found / expected * np.sqrt(receiver.num_ant * transmitter.num_ant)
            assert np.allclose(np.abs(ratio), 1, atol=1e-3)
            assert np.abs(np.angle(ratio / ratio.mean())).max() < 0.1


def test_a_turned_sign_would_be_seen(scene):
    """The same comparison fails for the conjugate over either side, so it can fail."""
    receiver = scene.receivers[0]
    for index, transmitter in enumerate(scene.transmitters):
        coefficients, _ = spherical(scene, transmitter, receiver, np.array(TARGETS[scene.name]))
        found = channel(scene, receiver, index)[:, 0]
        for turned in (
            found.conj(),
            found[:, :1] * (found / found[:, :1]).conj(),
            found[:1] * (found / found[:1]).conj(),
        ):
            ratio = turned / coefficients[..., 0]
            assert np.abs(np.angle(ratio / ratio.mean())).max() > 0.5


def test_delays_agree(scene):
    point = np.array(TARGETS[scene.name])
    target = TargetState("", TargetClass.UNKNOWN, point, np.zeros(3))
    for receiver in scene.receivers:
        paths = draw_paths(scene, receiver, (target,), np.zeros((0, 3)), np.random.default_rng(0))
        for index, transmitter in enumerate(scene.transmitters):
            origin = replace(transmitter, elements_m=np.zeros((1, 3)))
            _, delays = spherical(
                scene, origin, replace(receiver, elements_m=np.zeros((1, 3))), point
            )
            assert paths.delay_s[index] == pytest.approx(float(delays.item()), abs=1e-15)
