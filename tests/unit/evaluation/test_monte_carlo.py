"""Random frames as a function of seed and number, and scores of detections."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.evaluation.live_bound import network_bound
from cooperative_isac.evaluation.monte_carlo import (
    SchemeFailure,
    draw_frame,
    make_ends,
    measure_frame,
    measure_scheme,
    score,
)
from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.pipeline import make_frame, sum_rate
from cooperative_isac.scene.file.config import load_scene, with_power
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.schemes.contract import Decoder, Encoder, Scheme
from cooperative_isac.schemes.registry import make_scheme


def detection(position, velocity=(0, 0, 0)):
    return Detection(np.array(position, float), np.array(velocity, float), np.eye(6), 20.0, (), 2)


def target(position, velocity=(0, 0, 0)):
    return TargetState(
        "", TargetClass.UNKNOWN, np.array(position, float), np.array(velocity, float)
    )


class Sizes(Encoder):
    """Encoder with packets of three or five bytes."""

    def __init__(self, station):
        self.station = station

    def encode(self, echoes, frame):
        return bytes(3 if self.station == "rx1" else 5)


class Names(Sizes):
    """The station's name."""

    def encode(self, echoes, frame):
        return self.station.encode()


class Truth(Decoder):
    """Decoder with errors of 0.1 m and 1 m/s, and a false alarm."""

    def __init__(self, scene):
        self.scene = scene

    def decode(self, packets, frame):
        ghost = detection(self.scene.box.high_m + 50)
        return ghost, *(
            detection(target.position_m + [0.1, 0, 0], target.velocity_mps + [0, 1, 0])
            for target in draw_frame(self.scene, frame.number).targets
        )


class Nothing(Decoder):
    def decode(self, packets, frame):
        raise KeyError("no codebook")


class Oracle(Scheme):
    """Scheme whose decoder has the true targets."""

    def at(self, station):
        return Sizes(station)

    def center(self):
        return Truth(self.scene)

    def downlink_bits(self, frame):
        return 17


class Broken(Oracle):
    def center(self):
        return Nothing()


class Elsewhere(Oracle):
    """Scheme whose stations are at other places."""

    @staticmethod
    def arranged(scene):
        return replace(scene, receivers=(replace(scene.receivers[0], name="mast"),))

    def at(self, station):
        return Names(station)


def ends(kind, scene):
    """Both ends of a scheme."""
    return make_ends(kind(kind.arranged(scene), kind.__name__.lower()))


def samples(draw, station):
    """The echo of a station."""
    return draw.echoes[station]["default"].samples


def test_a_frame_is_a_function_of_seed_and_number(small):
    first = draw_frame(small, 3)
    again = draw_frame(small, 3)
    for name in first.echoes:
        assert samples(first, name).tobytes() == samples(again, name).tobytes()
    for other in (draw_frame(small, 4), draw_frame(replace(small, seed=99), 3)):
        assert not np.array_equal(samples(other, "rx1"), samples(first, "rx1"))
        assert not np.array_equal(other.targets[0].position_m, first.targets[0].position_m)
        assert not np.array_equal(
            other.frame.on("default").indices, first.frame.on("default").indices
        )


def test_powers_share_their_draws(small):
    quiet, loud = (draw_frame(with_power(small, power), 3) for power in (20.0, 40.0))
    assert np.array_equal(quiet.targets[1].position_m, loud.targets[1].position_m)
    noise = (10 * samples(quiet, "rx1") - samples(loud, "rx1")) / 9
    # The part that does not depend on the power is the noise, the same in both.
    assert np.mean(np.abs(noise) ** 2) == pytest.approx(small.propagation.noise_power_w, rel=0.15)


def test_detections_are_assigned_optimally():
    # The detection nearest to the first target is the only one near the second target.
    targets = [target((0, 0, 0), (1, 0, 0)), target((2, 0, 0)), target((40, 0, 0))]
    detections = [
        detection((1.1, 0, 0)),
        detection((-1.5, 0, 0), (1, 2, 0)),
        detection((40, 3.1, 0)),
    ]
    location, velocity, num_false = score(targets, detections, 2)
    assert np.allclose(location, [[-1.5, 0], [-0.9, 0]]) and np.allclose(velocity, [[0, 2], [0, 0]])
    assert num_false == 1


@pytest.mark.parametrize(("dimension", "found"), [(2, 1), (3, 0)])
def test_height_counts_in_three_dimensions_only(dimension, found):
    location, velocity, num_false = score([target((0, 0, 0))], [detection((0, 0, 9))], dimension)
    assert location.shape == velocity.shape == (found, dimension) and num_false == 1 - found


def test_no_detections_are_no_false_alarms():
    location, velocity, num_false = score([target((0, 0, 0))], [], 2)
    assert location.shape == velocity.shape == (0, 2) and num_false == 0


def test_a_scheme_is_measured_by_packets_and_detections(small):
    sample = measure_frame(small, {"oracle": ends(Oracle, small)}, 6)
    of_scheme = sample.schemes["oracle"]
    assert np.allclose(of_scheme.location_errors_m, [[0.1, 0]] * 2)
    assert np.allclose(of_scheme.velocity_errors_mps, [[0, 1]] * 2)
    assert (
        of_scheme.num_false == 1
        and of_scheme.packet_bits == (24, 40)
        and of_scheme.downlink_bits == 17
    )
    draw = draw_frame(small, 6)
    bound = network_bound(small, draw.frame, draw.targets)
    assert np.array_equal(sample.location_bounds_m, bound.location_m)
    assert np.array_equal(sample.velocity_bounds_mps, bound.velocity_mps)
    assert 5 < sample.sum_rate < 60


def test_a_frame_without_the_first_band_is_measured_on_the_others(two_tiny):
    # The first band is the slower one, which does not transmit in odd frames.
    slow_first = replace(two_tiny.layout, bands=two_tiny.layout.bands[::-1])
    scene = replace(two_tiny.on("low"), layout=slow_first)
    sample = measure_frame(scene, {}, 3)
    signal = draw_frame(scene, 3).frame.on("high")
    assert sample.sum_rate == sum_rate(scene.on("high"), signal)
    assert np.isfinite(sample.location_bounds_m).all()

    # With both bands, the sum rate is their mean.
    signals = draw_frame(scene, 4).frame.signals
    rates = [sum_rate(scene.on(band), signal) for band, signal in signals.items()]
    assert measure_frame(scene, {}, 4).sum_rate == pytest.approx(np.mean(rates))


def test_packets_out_of_range_are_not_decoded():
    # Zone B alone, near the base station; at -60 dBm the packets of the cars reach a meter.
    scene = load_scene("bs_ue_zones")
    cooperation = replace(scene.cooperation, kinds=("B",), limits_m=None)
    mute = replace(cooperation, radio_link=replace(cooperation.radio_link, power_w=1e-9))
    samples = []
    for one in (cooperation, mute):
        variant = replace(scene, cooperation=one)
        ends = make_ends(make_scheme("local_ml", variant))
        samples.append(measure_scheme(ends, draw_frame(variant, 4), 3))
    heard, unheard = samples
    assert len(heard.location_errors_m) == 1 and not len(unheard.location_errors_m)
    assert heard.packet_bits == unheard.packet_bits


def test_a_scheme_with_other_stations_has_the_same_targets(small):
    sample = measure_frame(
        small, {"oracle": ends(Oracle, small), "elsewhere": ends(Elsewhere, small)}, 6
    )
    here = sample.schemes["oracle"]
    there = sample.schemes["elsewhere"]
    assert (here.packet_bits, there.packet_bits) == ((24, 40), (32,))
    assert np.array_equal(here.location_errors_m, there.location_errors_m)
    own = draw_frame(Elsewhere.arranged(small), 6)
    usual = draw_frame(small, 6)
    assert np.array_equal(own.targets[1].velocity_mps, usual.targets[1].velocity_mps)
    assert list(own.echoes) == ["mast"] and not np.array_equal(
        samples(own, "mast"), samples(usual, "rx1")
    )


def test_the_bound_is_that_of_the_known_symbols(small):
    reference = replace(small, sensing=replace(small.sensing, symbols="reference_only"))
    all_known_m = measure_frame(small, {}, 6).location_bounds_m
    few_known_m = measure_frame(reference, {}, 6).location_bounds_m
    assert np.all(few_known_m > 1.2 * all_known_m)


@pytest.mark.parametrize("symbols", ["payload", "reference_only", "all"])
def test_reference_signals_need_no_downlink(small, symbols):
    waveform = replace(
        small.waveform, signals=("data", "prs", "csi_rs"), reference_subcarrier_stride=0
    )
    scene = replace(small, waveform=waveform, sensing=replace(small.sensing, symbols=symbols))
    scheme = make_scheme("local_ml", scene)
    frame = make_frame(scene, 6)
    expected = 0 if symbols == "reference_only" else 8 * len(pack_downlink(frame.on("default")))
    sample = measure_frame(scene, {"local_ml": make_ends(scheme)}, 6)
    assert sample.schemes["local_ml"].downlink_bits == expected
    # Reference symbols are on two thirds of the elements: all together are at least as accurate.
    whole = replace(scene, sensing=replace(scene.sensing, symbols="all"))
    bounds_m = measure_frame(whole, {}, 6).location_bounds_m
    assert np.all(sample.location_bounds_m > 0.999 * bounds_m)


def test_a_failing_scheme_is_named_with_its_frame(small):
    message = "scheme 'broken' failed in frame 2 of seed 5: KeyError: 'no codebook'"
    with pytest.raises(SchemeFailure, match=message):
        measure_frame(small, {"good": ends(Oracle, small), "broken": ends(Broken, small)}, 2)
