"""Decibels, degrees and wavelengths of files are built into watts, rotations and meters."""

import math

import numpy as np
import pytest
from pydantic import TypeAdapter

from cooperative_isac.scene.file import array_keys, schema
from cooperative_isac.scene.file.build import (
    build_site,
    dbm_to_w,
    rotation_matrix,
    w_to_dbm,
)
from cooperative_isac.scene.file.sizes import num_elements, num_spacings
from cooperative_isac.scene.file.variables import expand_variables

WAVELENGTH_M = 0.01


def site(array, **orientation):
    entry = {"name": "a", "position_m": [1.0, 2.0, 3.0], "orientation": orientation, "array": array}
    return build_site(schema.SiteEntry.model_validate(entry), WAVELENGTH_M, 0.0)


@pytest.mark.parametrize(
    ("array", "places"),
    [
        ({"kind": "nested", "num_inner": 3, "num_outer": 3}, [0, 1, 2, 3, 7, 11]),
        ({"kind": "nested", "num_inner": 1, "num_outer": 2}, [0, 1, 3]),
        ({"kind": "coprime", "first": 2, "second": 3}, [0, 2, 3, 4, 6, 9]),
        ({"kind": "coprime", "first": 3, "second": 4}, [0, 3, 4, 6, 8, 9, 12, 16, 20]),
        ({"kind": "nested", "num_inner": 1, "num_outer": 1, "spacing_wavelengths": 2.0}, [0, 4]),
    ],
)
def test_sparse_arrays_have_elements_at_multiples_of_half_a_wavelength(array, places):
    found = site(array)
    assert found.kind == array["kind"] and found.num_ant == len(places)
    expected = [[0, WAVELENGTH_M / 2 * place, 0] for place in places]
    assert np.allclose(found.elements_m, expected, atol=1e-12)
    entry = TypeAdapter(array_keys.ArrayEntry).validate_python(array)
    assert num_elements(entry) == len(places)
    if "spacing_wavelengths" not in array:
        assert num_spacings(entry) == places[-1] + 1


@pytest.mark.parametrize(
    ("power_dbm", "power_w"), [(0, 1e-3), (30, 1), (-90, 1e-12), (33, 1.99526231)]
)
def test_dbm_and_watts(power_dbm, power_w):
    assert dbm_to_w(power_dbm) == pytest.approx(power_w) and w_to_dbm(power_w) == pytest.approx(
        power_dbm
    )


@pytest.mark.parametrize(
    ("angles", "boresight", "axis"),
    [
        ((0, 0, 0), (1, 0, 0), (0, 1, 0)),
        ((90, 0, 0), (0, 1, 0), (-1, 0, 0)),  # yaw is counter-clockwise seen from above
        ((0, 90, 0), (0, 0, 1), (0, 1, 0)),  # positive pitch looks up
        ((0, 0, 90), (1, 0, 0), (0, 0, 1)),  # roll lifts the array's y axis
        ((90, -30, 0), (0, math.sqrt(3) / 2, -0.5), (-1, 0, 0)),
    ],
)
def test_orientations(angles, boresight, axis):
    rotation = rotation_matrix(*angles)
    assert np.allclose(rotation[:, 0], boresight) and np.allclose(rotation[:, 1], axis)


def test_a_rotation_is_proper():
    rotation = rotation_matrix(33, -12, 71)
    assert np.allclose(rotation @ rotation.T, np.eye(3)) and np.linalg.det(
        rotation
    ) == pytest.approx(1)


def test_a_ula_is_along_its_turned_axis():
    found = site({"kind": "ula", "num_elements": 3}, yaw_deg=90.0)
    assert np.allclose(found.elements_m, [[0, 0, 0], [-0.005, 0, 0], [-0.01, 0, 0]])
    assert found.num_ant == 3 and np.allclose(found.boresight, [0, 1, 0])


def test_a_planar_array_stands_across_its_boresight():
    found = site(
        {"kind": "planar", "num_horizontal": 4, "num_vertical": 2, "spacing_wavelengths": 1.0},
        yaw_deg=30.0,
        pitch_deg=20.0,
    )
    assert np.allclose(found.elements_m @ found.boresight, 0)
    along = found.elements_m @ found.axis
    assert np.ptp(along) == pytest.approx(3 * WAVELENGTH_M) and found.num_ant == 8


def test_a_custom_array_is_turned_too():
    found = site({"kind": "custom", "elements_m": [[0.0, 0, 0], [0.02, 0, 0]]}, pitch_deg=90.0)
    assert np.allclose(found.elements_m[1], [0, 0, 0.02]) and found.kind == "custom"


def test_variables_in_paths(monkeypatch):
    monkeypatch.setenv("HERE", "/data")
    monkeypatch.setenv("BLANK", "")
    assert expand_variables("${HERE}/a.tum") == "/data/a.tum"
    assert expand_variables("${BLANK:-/x}/${HERE}") == "/x//data"
    assert expand_variables("plain $5.tum") == "plain $5.tum"
