"""The periodogram against a matched filter on the raw echo; what is found and removed is gone."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.path_finder import (
    FoundPath,
    PathFinder,
    PathSearch,
    cancel_paths,
)

PLACES = ((22.0, 31.0, 0.0), (41.0, 18.0, 0.0))
VELOCITIES = ((4.0, -6.0, 0.0), (-5.0, 2.0, 0.0))
AMPLITUDE = 1e-5


@pytest.fixture
def heard(plane, listen):
    """A listener, the echo of two targets and its true paths."""
    listener = listen(plane)
    return listener, *listener.echo(PLACES, VELOCITIES, AMPLITUDE)


def finder_of(listener, echo):
    reference = stream_reference(listener.frame, listener.sensor.max_doppler_hz)
    return PathFinder(
        listener.scene,
        listener.site,
        reference,
        reference.correlate(echo),
        listener.sensor.max_doppler_hz,
        listener.sensor.detection_threshold(reference),
    )


def replica(listener, paths, index):
    """The noiseless echo of one path at unit amplitude, from the channel's own code."""
    chosen = paths.chosen(slice(index, index + 1))
    silent = replace(
        listener.scene, propagation=replace(listener.scene.propagation, noise_power_w=0.0)
    )
    alone = replace(chosen, amplitude=np.ones(1, complex))
    return apply_paths(silent, listener.frame, listener.site, alone, np.random.default_rng(0))


def test_powers_are_those_of_a_matched_filter_on_the_echo(heard):
    listener, echo, paths = heard
    finder = finder_of(listener, echo)
    for index in range(len(paths.amplitude)):
        model = replica(listener, paths, index).astype(complex)
        wanted = (
            np.abs(np.vdot(model, echo)) ** 2 / np.vdot(model, model).real / finder.noise_power_w
        )
        point = np.array(PLACES[paths.scatterer[index]])
        power, doppler_hz = finder.powers(int(paths.transmitter[index]), point[None])
        assert power[0] == pytest.approx(wanted, rel=0.15)
        assert doppler_hz[0] == pytest.approx(paths.doppler_hz[index], abs=100)


def test_the_peak_along_a_line_is_found(heard):
    listener, echo, _ = heard
    finder, place = finder_of(listener, echo), np.array(PLACES[0])
    outwards = (place - listener.site.position_m) / np.linalg.norm(place - listener.site.position_m)
    found = finder.sharpen(0, lambda offsets: place + (offsets[:, None] + 0.7) * outwards, 1.5)
    assert found == pytest.approx(-0.7, abs=0.4)


def test_removed_paths_are_gone(heard):
    listener, echo, paths = heard
    finder = finder_of(listener, echo)
    ends = [
        (int(tx), np.array(PLACES[target]))
        for tx, target in zip(paths.transmitter, paths.scatterer)
    ]
    before = [finder.path_at(*end).power for end in ends]
    for end in ends:
        finder.remove(finder.path_at(*end))
    after = [finder.path_at(*end).power for end in ends]
    assert np.all(np.array(after) < np.array(before) / 100)


def test_only_bins_of_possible_targets_are_in_band(heard):
    listener, echo, _ = heard
    finder = finder_of(listener, echo)
    band, blocks = finder.in_band(), finder.reference.num_blocks
    share = 2 * finder.max_doppler_hz * finder.reference.block * listener.frame.grid.symbol_period_s
    assert band.shape[:3] == finder.residual.shape[:3] and abs(band.shape[3] - share * blocks) <= 1
    kept = np.sum(np.abs(band) ** 2) / np.sum(np.abs(finder.residual) ** 2)
    # The echo is far above the noise; what other streams leave is spread over all bins.
    assert kept > share + 0.15


RESIDUE = 70  # power of paths that a learned background left: removed, but not taken


def test_paths_are_canceled_until_threshold_range_or_number_end_it():
    class Unchanged:
        threshold = 10

        def remove(self, path):
            pass

        def is_residue(self, path):
            return path.power == RESIDUE

    class Listed(PathSearch):
        def __init__(self, *powers):
            super().__init__(Unchanged(), None)
            self.waiting = [FoundPath(0, np.zeros(3), 0.0, power) for power in powers]

        def strongest(self):
            return self.waiting.pop(0) if self.waiting else None

    cases = [
        ((90, 50, 9, 80), 9, 2),
        ((RESIDUE, 90, RESIDUE, 50), 9, 2),
        ((1e6, 1e3, 90), 9, 1),
        ((90, 50, 40), 2, 2),
        ((), 9, 0),
    ]
    for powers, most, wanted in cases:
        assert len(cancel_paths(Listed(*powers), most)) == wanted
