"""Samples: functions of their number, drawn from ranges."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import TargetClass
from cooperative_isac.training.samples import (
    SPLITS,
    DrawnSamples,
    SampleRanges,
    sample_scene,
    split_numbers,
)


def drawn(source, number, receiver="rx1"):
    sample = source.sample(number)
    return sample, source.echo(sample, receiver)


def test_a_sample_is_a_function_of_its_number(tiny):
    source = DrawnSamples(tiny, SampleRanges(targets=(0, 3)))
    (first, echo), (again, same), (other, another) = (
        drawn(source, 5),
        drawn(source, 5),
        drawn(source, 6),
    )
    assert np.array_equal(echo, same) and len(first.targets) == len(again.targets)
    assert not np.array_equal(echo, another) and not np.array_equal(
        first.frame.indices, other.frame.indices
    )


def test_the_scene_s_seed_does_not_matter(tiny):
    assert np.array_equal(
        drawn(DrawnSamples(tiny), 5)[1], drawn(DrawnSamples(replace(tiny, seed=77)), 5)[1]
    )


def test_without_ranges_the_scene_is_as_it_is(tiny):
    assert sample_scene(tiny, SampleRanges(), 3) == tiny


def test_ranges_reach_their_ends_and_not_beyond(tiny):
    ranges = SampleRanges(
        targets=(0, 2),
        power_dbm=(10.0, 20.0),
        scatterers=(1, 2),
        timing_offset_s=(0.0, 1e-9),
        frequency_offset_hz=(0.0, 100.0),
    )
    scenes = [sample_scene(tiny, ranges, number) for number in range(60)]
    assert {scene.draw.num_targets for scene in scenes} == {0, 1, 2}
    assert {scene.propagation.clutter.num_scatterers for scene in scenes} == {1, 2}
    powers = 10 * np.log10([1000 * scene.waveform.power_w for scene in scenes])
    assert 10 <= powers.min() < 11 and 19 < powers.max() <= 20
    for name, most in (("timing_offset_std_s", 1e-9), ("frequency_offset_std_hz", 100.0)):
        values = [getattr(scene.propagation, name) for scene in scenes]
        assert 0 <= min(values) < 0.1 * most and 0.9 * most < max(values) <= most


def test_the_splits_are_those_of_the_paper_and_apart():
    train, validation = SPLITS["train"], SPLITS["validation"]
    assert (train.count, validation.count) == (16_000, 4_000)  # CF section V
    assert train.first + train.count <= validation.first


def test_a_part_of_a_split_is_its_beginning(tiny):
    source = DrawnSamples(tiny)
    assert list(split_numbers(source, "validation", 3)) == [16_000, 16_001, 16_002]
    assert len(split_numbers(source, "train", 0)) == 16_000
    assert list(split_numbers(source, "train", 16_002)[-3:]) == [
        15_999,
        20_000,
        20_001,
    ]  # not those of validation
    with pytest.raises(
        ValueError, match="4001 validation samples are requested, the split has 4000"
    ):
        split_numbers(source, "validation", 4_001)


def test_vehicles_are_on_the_ground_and_the_others_in_the_air():
    yard = load_scene("yard")
    source = DrawnSamples(yard, SampleRanges(targets=(4, 4), vehicles=(0.5, 0.5)))
    targets = [target for number in range(12) for target in source.sample(number).targets]
    vehicles = [target for target in targets if target.target_class is TargetClass.VEHICLE]
    uavs = [target for target in targets if target.target_class is TargetClass.UAV]
    assert len(vehicles) + len(uavs) == 48 and 12 < len(vehicles) < 36
    assert all(target.position_m[2] == 0.75 and target.velocity_mps[2] == 0 for target in vehicles)
    assert all(12 <= target.position_m[2] <= 35 for target in uavs)
    places_m = np.array([target.position_m for target in targets])
    assert not yard.world.is_inside(places_m).any()


def test_samples_without_classes_keep_their_name_in_caches():
    assert "vehicles" not in SampleRanges(targets=(1, 2)).stored_text
    assert "vehicles=(0.0, 1.0)" in SampleRanges(vehicles=(0.0, 1.0)).stored_text


def test_a_share_of_vehicles_beyond_one_is_refused():
    with pytest.raises(ValueError, match="is no probability; write 1 at most"):
        SampleRanges(vehicles=(0.0, 2.0))


def test_vehicles_without_a_size_are_refused_in_space():
    with pytest.raises(ValueError, match="vehicles of scene 'campus' have no size"):
        DrawnSamples(load_scene("campus"), SampleRanges(vehicles=(0.0, 0.5)))
