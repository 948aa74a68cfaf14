"""The one station of the monostatic schemes."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.monostatic import MonostaticScheme
from cooperative_isac.schemes.registry import make_scheme


def test_the_station_is_at_the_position_of_the_paper():
    scene = load_scene("cell_free_table1")
    (station,) = MonostaticScheme.arranged(scene).transmitters
    assert station.position_m.tolist() == [50, 0, 0] and station.num_ant == 16  # CF section V-A
    assert np.allclose(station.boresight, [0, 1, 0])


def test_a_station_that_cannot_see_the_area_is_refused(small):
    across = replace(small.transmitters[1], position_m=np.array([45.0, 62.0, 0.0]))
    around = replace(small, transmitters=(small.transmitters[0], across))
    with pytest.raises(
        ValueError, match=r"at \[30.0, 30.0\] m, where part of the area is behind its array"
    ):
        make_scheme("monostatic", around)


IN_A_PLANE = ["music", "music_fine", "compressed_sensing", "monostatic", "monostatic_fine"]


@pytest.mark.parametrize("name", IN_A_PLANE)
def test_a_scene_in_space_is_refused(name, tilted):
    with pytest.raises(
        ValueError, match=f"scheme '{name}' measures angles in a plane.*use scheme local_ml"
    ):
        make_scheme(name, replace(tilted, transmitters=tilted.transmitters[:1]))
