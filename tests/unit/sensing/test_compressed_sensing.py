"""Energies of delay blocks against a plain projection; delays, angles and Doppler shifts of known
paths.
"""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.schemes.registry import unused_settings
from cooperative_isac.sensing.compressed_sensing import (
    DelayDictionary,
    DelaySearch,
    path_on_ellipse,
)
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.path_finder import PathFinder, cancel_paths

PLACE, VELOCITY = np.array([22.0, 31.0, 0.0]), (4.0, -6.0, 0.0)


@pytest.fixture
def listener(plane, listen):
    return listen(plane)


def finder_of(listener, places, velocities, amplitude=1e-5):
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    echo, paths = listener.echo(places, velocities, amplitude)
    return PathFinder(
        listener.scene,
        listener.site,
        reference,
        reference.correlate(echo),
        listener.sensor.max_doppler_hz,
        listener.sensor.detection_threshold(reference),
    ), paths


def range_of(listener, transmitter, place):
    sender = listener.scene.transmitters[transmitter].position_m
    return float(np.linalg.norm(place - sender) + np.linalg.norm(place - listener.site.position_m))


def test_energies_are_those_of_a_plain_projection(listener):
    finder, _ = finder_of(listener, [PLACE], [VELOCITY])
    frame, spectrum = listener.frame, finder.in_band()
    dictionary = DelayDictionary(listener.scene, listener.site, 1, finder.reference)
    found = dictionary.energies(spectrum)
    precoders = np.repeat(frame.precoders[:, frame.antennas[1]], frame.group_size, axis=0)
    # What white noise in the echo becomes in one antenna's correlation, summed over the block's
    # columns.
    noise = sum(w.conj() @ gram.conj() @ w.T for w, gram in zip(precoders, finder.reference.gram))
    noise = noise / finder.reference.num_blocks * finder.noise_power_w
    unknowns = len(noise) * spectrum.shape[0] * spectrum.shape[3]
    for index in (0, 7, len(found) - 1):
        delay_s = dictionary.ranges_m[index] / 299_792_458.0
        delays = np.exp(2j * np.pi * frame.grid.subcarrier_offsets_hz * delay_s)
        matched = np.einsum("i,iak,rikb->arb", delays, precoders.conj(), spectrum)
        energy = np.einsum("arb,ac,crb->", matched.conj(), np.linalg.inv(noise), matched).real
        assert found[index] == pytest.approx((energy - unknowns) / np.sqrt(unknowns), rel=1e-3)


def test_the_block_with_most_energy_is_at_a_true_delay(listener):
    finder, _ = finder_of(listener, [PLACE], [VELOCITY])
    for index in range(len(listener.scene.transmitters)):
        dictionary = DelayDictionary(listener.scene, listener.site, index, finder.reference)
        best = dictionary.ranges_m[dictionary.energies(finder.in_band()).argmax()]
        assert best == pytest.approx(range_of(listener, index, PLACE), abs=2.5)


def test_in_noise_no_block_stands_out(listener):
    finder, _ = finder_of(listener, [PLACE], [VELOCITY], amplitude=1e-12)
    energies = DelayDictionary(listener.scene, listener.site, 0, finder.reference).energies(
        finder.in_band()
    )
    assert np.abs(energies).max() < 5


@pytest.mark.parametrize("transmitter", [0, 1])
def test_a_delay_is_completed_by_angle_and_doppler(listener, transmitter):
    finder, paths = finder_of(listener, [PLACE], [VELOCITY])
    found = path_on_ellipse(finder, transmitter, range_of(listener, transmitter, PLACE))
    assert (
        np.linalg.norm(found.point_m - PLACE) < 2.0
    )  # the other transmitter's echo is not removed yet
    assert found.doppler_hz == pytest.approx(paths.doppler_hz[transmitter], abs=50)


def test_a_target_on_the_direct_line_is_taken_for_its_middle(listener):
    sender, receiver = listener.scene.transmitters[0].position_m, listener.site.position_m
    finder, _ = finder_of(listener, [0.3 * sender + 0.7 * receiver], [VELOCITY])
    for range_m in (np.linalg.norm(sender - receiver) - 1, np.linalg.norm(sender - receiver) + 0.5):
        assert np.allclose(path_on_ellipse(finder, 0, range_m).point_m, (sender + receiver) / 2)


def test_the_strongest_path_is_proposed(listener):
    finder, paths = finder_of(listener, [PLACE], [VELOCITY])
    found = DelaySearch(finder, listener.sensor.search).strongest()
    wanted = range_of(listener, found.transmitter, PLACE)
    assert range_of(listener, found.transmitter, found.point_m) == pytest.approx(wanted, abs=1.0)
    assert found.doppler_hz == pytest.approx(paths.doppler_hz[found.transmitter], abs=50)


# Two targets within a resolution cell of range and a beam of angle.
NEIGHBORS = (np.array([22.0, 31.0, 0.0]), np.array([29.0, 31.0, 0.0]))


def canceled(plane, listen, recovery, places, amplitude):
    """Paths that are found one after another, and the finder with what is left."""
    scene = replace(plane, sensing=replace(plane.sensing, recovery=recovery))
    listener = listen(scene)
    finder, paths = finder_of(listener, places, [VELOCITY] * len(places), amplitude)
    return cancel_paths(DelaySearch(finder, listener.sensor.search), 8), finder, paths


def test_refined_paths_are_at_the_peak_of_their_joint_likelihood(plane, listen):
    errors_m = {}
    left = {}
    for recovery in ("block_omp", "newtonized_omp"):
        found, finder, _ = canceled(plane, listen, recovery, NEIGHBORS, 1e-4)
        errors_m[recovery] = [
            min(np.linalg.norm(path.point_m - place) for path in found[:4]) for place in NEIGHBORS
        ]
        noise_w = finder.noise_power_w * np.trace(finder.reference.gram, axis1=1, axis2=2).real
        left[recovery] = np.sum(np.abs(finder.residual) ** 2) / (noise_w.sum() * 8)
    # Millimeters at this SNR, and nothing but noise is left.
    assert max(errors_m["newtonized_omp"]) < 0.05 < max(errors_m["block_omp"])
    assert left["newtonized_omp"] == pytest.approx(1, abs=0.1) and left["block_omp"] > 1.2


def test_refined_doppler_shifts_are_those_of_their_paths(plane, listen):
    found, _, paths = canceled(plane, listen, "newtonized_omp", NEIGHBORS[:1], 1e-4)
    for path in found[:2]:
        assert path.doppler_hz == pytest.approx(paths.doppler_hz[path.transmitter], abs=3)


def test_refined_paths_stay_in_the_search(plane, listen):
    # Noise alone, of which all peaks are taken for paths.
    scene = replace(plane, sensing=replace(plane.sensing, recovery="newtonized_omp"))
    listener = listen(scene)
    finder, _ = finder_of(listener, [PLACE], [VELOCITY], amplitude=1e-12)
    finder.threshold = 0.0
    found = cancel_paths(DelaySearch(finder, listener.sensor.search), 12)
    # The search itself ends a step of the ellipse beyond the margin of 5 %.
    area = scene.box.padded(0.1)
    assert len(found) == 12
    for path in found:
        assert np.all((path.point_m >= area.low_m) & (path.point_m <= area.high_m))
        assert abs(path.doppler_hz) <= 1.2 * listener.sensor.max_doppler_hz
    assert np.isfinite(finder.residual).all()


def test_the_key_is_one_of_compressed_sensing(plane):
    scene = replace(plane, sensing=replace(plane.sensing, recovery="newtonized_omp"))
    assert not list(unused_settings(["compressed_sensing"], scene))
    (line,) = unused_settings(["music"], scene)
    assert "sensing.recovery is newtonized_omp, and music does not use it" in line
