"""Interference of unknown symbols: spatial whitening, and detection by code words beside data."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.echo import thermal_noise
from cooperative_isac.evaluation.monte_carlo import make_ends, measure_frame
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.file.config import with_power
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.sensing import local_ml
from cooperative_isac.sensing.search_grid import search_grid
from cooperative_isac.sensing.whitening import Whitening, whitening_of_samples

NOISE_W = 2e-12
SHAPE = (8, 64, 64)
DIRECTION = np.exp(1j * np.linspace(0, 5, 8)) / np.sqrt(8)


def coded(scene, share, symbols="reference_only"):
    """A scene with code words beside its data."""
    waveform = replace(
        scene.waveform,
        signals=("data", "code"),
        code_power_share=share,
        reference_subcarrier_stride=0,
        reference_symbol_stride=0,
    )
    sensing = replace(scene.sensing, symbols=symbols)
    return replace(scene, waveform=waveform, sensing=sensing)


def interfered(power_w, seed=0):
    """Noise, and white interference of a power from one direction."""
    generator = np.random.default_rng(seed)
    noise = thermal_noise(SHAPE, NOISE_W, generator)
    interference = thermal_noise(SHAPE[1:], power_w, generator)
    return noise + DIRECTION[:, None, None].astype(np.complex64) * interference


def covariance(samples):
    flat = samples.reshape(len(samples), -1)
    return flat @ flat.conj().T / flat.shape[1] / NOISE_W


def test_noise_alone_has_no_filter():
    filters = [whitening_of_samples(interfered(0.0, seed), NOISE_W) for seed in range(20)]
    assert sum(one is None for one in filters) >= 17
    # Where the largest eigenvalue is beyond the edge by chance, the filter changes little.
    for one in filters:
        if one is not None:
            assert one.matrix == pytest.approx(np.eye(8), abs=0.05)


@pytest.mark.parametrize("power", [0.3, 10.0, 1e6])
def test_interference_of_a_direction_becomes_noise(power):
    samples = interfered(power * NOISE_W)
    whitening = whitening_of_samples(samples, NOISE_W)
    assert covariance(whitening.of_echo(samples)) == pytest.approx(np.eye(8), abs=0.1)
    # Inverse square root of the true covariance, where that is known to a percent.
    true = np.eye(8) - (1 - 1 / np.sqrt(1 + power)) * np.outer(DIRECTION, DIRECTION.conj())
    assert whitening.matrix == pytest.approx(true, abs=0.03)


def test_the_loss_of_a_direction_is_that_of_the_best_beam():
    """The gain of a whitened path is a^H R^-1 a, its SNR after the best linear beam."""
    whitening = whitening_of_samples(interfered(10 * NOISE_W), NOISE_W)
    other = np.exp(1j * np.linspace(0, 9, 8)) / np.sqrt(8)
    inverse = np.linalg.inv(np.eye(8) + 10 * np.outer(DIRECTION, DIRECTION.conj()))
    for steering in (DIRECTION, other):
        gain = np.linalg.norm(whitening.matrix @ steering) ** 2
        assert gain == pytest.approx((steering.conj() @ inverse @ steering).real, rel=0.05)


def test_an_echo_that_is_not_finite_has_no_filter():
    samples = interfered(0.0)
    samples[2, 3, 4] = np.nan
    assert whitening_of_samples(samples, NOISE_W) is None


def test_beams_and_steering_are_behind_the_same_filter(small):
    whitening = whitening_of_samples(interfered(10 * NOISE_W), NOISE_W)
    cells = search_grid(small, small.receivers[0], small.grid)
    behind = cells.behind(whitening)
    assert cells.behind(None) is cells
    expected = whitening.of_steering(cells.beams.conj()[:, None])[:, 0].conj()
    assert behind.beams == pytest.approx(expected, abs=1e-6)
    assert np.linalg.norm(behind.beams, axis=1) == pytest.approx(np.ones(len(cells.beams)))
    assert behind.delay_phases[0] is cells.delay_phases[0]


def test_two_transformations_are_one():
    first = whitening_of_samples(interfered(10 * NOISE_W), NOISE_W)
    second = Whitening(np.diag(np.arange(1, 9)).astype(np.complex64))
    samples = interfered(1.0, seed=1)
    expected = second.of_echo(first.of_echo(samples))
    assert second.after(first).of_echo(samples) == pytest.approx(expected, rel=1e-3)
    assert second.after(None) is second


def test_the_snr_is_the_share_of_the_power(small, listen):
    """Closed form: a receiver that knows the code words alone has their share of the SNR."""
    powers = {}
    for share in (0.1, 0.4):
        listener = listen(coded(small, share))
        code = transmit(listener.scene, 2).reference
        point_m = np.array([[22.0, 31.0, 0.0]])
        maker = listener.sensor.correlate(np.zeros(SHAPE, np.complex64), code).maker
        powers[share] = maker.filters_at(np.array([0]), point_m)[1][0]
    assert powers[0.4] / powers[0.1] == pytest.approx(4, rel=1e-4)
    # All transmitted power over all elements, in a direction of mean transmit gain.
    limit = small.waveform.power_w * small.grid.num_symbols
    assert powers[0.4] == pytest.approx(0.4 * limit / 8, rel=0.5)


def found(scene, numbers):
    """Targets that are found, false alarms, and downlink bits of some frames."""
    ends = {"local_ml": make_ends(make_scheme("local_ml", scene))}
    samples = [measure_frame(scene, ends, number).schemes["local_ml"] for number in numbers]
    hits = sum(len(one.location_errors_m) for one in samples)
    alarms = sum(one.num_false for one in samples)
    return hits, alarms, sum(one.downlink_bits for one in samples)


@pytest.mark.parametrize("symbols", ["reference_only", "payload", "all"])
def test_targets_are_found_by_code_words_data_or_both(small, symbols):
    hits, alarms, bits = found(coded(small, 0.2, symbols), range(3))
    assert hits >= 5 and alarms == 0
    assert (bits == 0) == (symbols == "reference_only")


def test_strong_echoes_of_unknown_data_are_no_targets(small, monkeypatch):
    """Ten times the power: data echoes are far above the noise in the beams of their targets."""
    scene = with_power(coded(small, 0.2), 50.0)
    numbers = range(6)
    hits, alarms, _ = found(scene, numbers)
    assert hits >= 9 and alarms == 0

    # Taken for thermal noise, they are.
    monkeypatch.setattr(local_ml, "has_unknown_symbols", lambda scene: False)
    _, alarms, _ = found(scene, numbers)
    assert alarms >= 3
