"""Receivers whose arrays face away from the box report nothing; others are not affected."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.evaluation.monte_carlo import draw_frame, make_ends, measure_scheme
from cooperative_isac.scene.file.build import rotation_matrix
from cooperative_isac.schemes.registry import make_scheme

SEARCHING = ("local_ml", "raw_ml", "music", "music_fine", "compressed_sensing")


def turned_away(scene, names):
    """The scene with some receivers' arrays turned by half a circle."""
    half = rotation_matrix(180, 0, 0)
    receivers = tuple(
        replace(site, rotation=half @ site.rotation, elements_m=site.elements_m @ half.T)
        if site.name in names
        else site
        for site in scene.receivers
    )
    return replace(scene, receivers=receivers)


@pytest.fixture
def plane(small):
    """The scene in a plane with payload symbols only."""
    return replace(small, waveform=replace(small.waveform, reference_subcarrier_stride=0))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", SEARCHING)
def test_nothing_is_reported_where_all_arrays_face_away(plane, name):
    scene = turned_away(plane, {site.name for site in plane.receivers})
    sample = measure_scheme(
        make_ends(make_scheme(name, scene)), draw_frame(scene, 0), scene.dimension
    )
    assert len(sample.location_errors_m) == sample.num_false == 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", ["local_ml", "raw_ml"])
def test_the_other_receivers_still_find_the_targets(plane, name):
    scene = turned_away(plane, {plane.receivers[0].name})
    ends = make_ends(make_scheme(name, scene))
    samples = [
        measure_scheme(ends, draw_frame(scene, number), scene.dimension) for number in range(3)
    ]
    found = sum(len(sample.location_errors_m) for sample in samples)
    assert found >= 2 * scene.draw.num_targets
    errors = np.concatenate([sample.location_errors_m for sample in samples])
    assert np.median(np.linalg.norm(errors, axis=1)) < 3.0
