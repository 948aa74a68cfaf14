"""Votes of paths for targets in the cells of a scene in space."""

import pytest
import torch

from cooperative_isac.learned.maps.agreement import (
    BODY_OFFSET_M,
    CLEANED_PENALTY,
    Agreement,
    decades_below,
)
from cooperative_isac.learned.plane.output import cell_centers
from cooperative_isac.learned.plane.path_geometry import PathGeometry
from cooperative_isac.scene.file.config import load_scene

CELLS = 20
CELL = (11, 6)


@pytest.fixture(scope="module")
def campus():
    return load_scene("campus")


@pytest.fixture(scope="module")
def paths(campus):
    return PathGeometry(campus)


@pytest.fixture(scope="module")
def agreement(campus, paths):
    return Agreement(campus, paths, CELLS)


@pytest.fixture(scope="module")
def target_m(campus):
    """A place beside the middle of a cell."""
    return torch.cat([cell_centers(campus, CELLS)[CELL] + 0.8, torch.tensor([17.0])])


def everywhere(values):
    """Measurements [num_paths] in all cells and two neighbors, of which the second has none."""
    planes = values[None, :, None, None, None].expand(1, -1, 2, CELLS, CELLS).clone()
    planes[:, :, 1] = 0
    return planes


def votes(agreement, paths, target_m, elevation_change=0.0, missing=()):
    """Votes for a target of which all cells have the measurements."""
    mask = torch.ones(1, paths.num_paths)
    mask[:, list(missing)] = 0
    power = everywhere(torch.full((paths.num_paths,), 3.0))
    return agreement(
        power,
        torch.zeros_like(power),
        everywhere(paths.length(target_m) - BODY_OFFSET_M),
        everywhere(paths.elevation(target_m) + elevation_change),
        mask,
    )


def test_paths_agree_where_the_target_is_and_nowhere_else(agreement, paths, target_m):
    found = votes(agreement, paths, target_m).votes[0]
    assert divmod(int(found.argmax()), CELLS) == CELL
    assert found.max() > 0.8 * paths.num_paths
    far = found.clone()
    far[CELL[0] - 2 : CELL[0] + 3, CELL[1] - 2 : CELL[1] + 3] = 0
    assert far.max() < 0.6 * paths.num_paths


def test_wrong_elevations_and_missing_receivers_cost_votes(agreement, paths, target_m):
    whole = float(votes(agreement, paths, target_m).votes.max())
    turned = float(votes(agreement, paths, target_m, elevation_change=20.0).votes.max())
    without = float(votes(agreement, paths, target_m, missing=(0, 1)).votes.max())
    assert turned < 0.5 * whole
    assert without == pytest.approx(whole * (paths.num_paths - 2) / paths.num_paths, rel=0.1)


def test_a_measurement_that_is_none_fits_worst(agreement, paths, target_m):
    log_fit = votes(agreement, paths, target_m).log_fit[(0, slice(None), slice(None), *CELL)]
    assert (log_fit[:, 0] > -1.5).all() and (log_fit[:, 1] < -10).all()


def test_echoes_are_below_the_strongest_of_their_doppler_shift_alone():
    power = torch.tensor([[[[4.0, 2.5], [3.0, 1.5]]]])
    doppler = torch.tensor([[[[0.30, 0.31], [-0.20, -0.21]]]])
    below = decades_below(power, doppler, resolution=0.1)
    assert below.flatten().tolist() == pytest.approx([0.0, 1.5, 0.0, 1.5])


def test_weak_echoes_lose_less_where_side_lobes_are_canceled(campus, agreement, paths, target_m):
    canceled = Agreement(campus, paths, CELLS, CLEANED_PENALTY)
    power = everywhere(torch.full((paths.num_paths,), 3.0))
    measured = (
        power,
        torch.full_like(power, 2.0),
        everywhere(paths.length(target_m) - BODY_OFFSET_M),
        everywhere(paths.elevation(target_m)),
        torch.ones(1, paths.num_paths),
    )
    assert agreement(*measured).votes.max() < 0.1 * paths.num_paths
    assert canceled(*measured).votes.max() > 0.4 * paths.num_paths
