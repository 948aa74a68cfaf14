"""Joint likelihood and lattice of two bands: sums of those of each, and what both find together."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.echo_links import EchoLinks, EchoName, Targets
from cooperative_isac.fusion.joint_ml import JointMl
from cooperative_isac.fusion.lattice import NUM_PARTS, Lattice
from cooperative_isac.pipeline import make_frame, receive_all
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.local_ml import LocalMl

# Change of the powers of both bands, dB, at which a target is below the threshold of each.
WEAK_DB = (-29.0, -31.0)
NOTHING = Targets(np.zeros((0, 3)), np.zeros((0, 3)))


class Center:
    """Echoes of a frame on all bands, and what a center makes of some of them."""

    def __init__(self, scene, time_s=0.4, targets=None, number=4):
        frame = make_frame(scene, number, time_s)
        self.scene = scene.posed(frame.poses)
        self.targets = scene_targets(scene, time_s) if targets is None else targets
        received = receive_all(scene, frame, self.targets)
        self.sensors = {
            EchoName(view.band, site.name): LocalMl(view, site, view.grid)
            for view in self.scene.views
            for site in view.receivers
        }
        self.joints = {
            name: sensor.correlate(received[name.receiver][name.band].samples, frame.on(name.band))
            for name, sensor in self.sensors.items()
        }
        self.lattice = Lattice(self.scene, self.sensors)

    def of(self, *bands):
        """Echoes of some bands."""
        return {name: joint for name, joint in self.joints.items() if name.band in bands}

    def state(self):
        return Targets(
            np.array([one.position_m for one in self.targets]),
            np.array([one.velocity_mps for one in self.targets]),
        )


def weaker(scene, change_db):
    """The scene with other powers of both bands, dB."""
    layout = scene.layout
    bands = []
    for band, change in zip(layout.bands, change_db, strict=True):
        power_w = band.waveform.power_w * 10 ** (change / 10)
        bands.append(replace(band, waveform=replace(band.waveform, power_w=power_w)))
    return replace(scene, layout=replace(layout, bands=tuple(bands)), waveform=bands[0].waveform)


@pytest.fixture(scope="module")
def center(two_tiny):
    return Center(two_tiny)


def test_the_joint_likelihood_is_the_sum_over_the_bands(center):
    size = center.scene.dimension
    state = center.state().moved(np.full((1, 2 * size), 0.1))
    match = JointMl(center.scene, center.joints).match(state)
    parts = [JointMl(center.scene, center.of(band)).match(state) for band in ("high", "low")]

    # The prior of velocities counts once.
    prior = np.zeros(2 * size)
    prior[size:] = center.scene.sensing.max_speed_mps**-2.0
    prior_slope = np.append(np.zeros(size), state.velocities_mps[0, :size]) * prior
    information = parts[0].information + parts[1].information - np.diag(prior)
    np.testing.assert_allclose(match.information[0], information[0], rtol=1e-9)
    slope = parts[0].slope[0] + parts[1].slope[0] + prior_slope
    np.testing.assert_allclose(match.slope[0], slope, rtol=1e-9)
    for field in ("evidence", "power", "explained"):
        total = getattr(parts[0], field) + getattr(parts[1], field)
        np.testing.assert_allclose(getattr(match, field), total, rtol=1e-9)


def test_the_gradient_is_that_of_a_moving_receiver(center):
    size = center.scene.dimension
    car = EchoName("high", "car")
    joint = JointMl(center.scene, {car: center.joints[car]})
    assert np.any(center.sensors[car].receiver.velocity_mps)
    away = center.state().moved(np.repeat([0.1, 0.2], size)[None])
    slope = joint.match(away).slope[0]
    prior = center.scene.sensing.max_speed_mps**-2.0

    def log_likelihood(targets):
        """One target: the power of its paths with free amplitudes, and the prior."""
        power = joint.match(targets).explained[0]
        return power - prior * np.sum(targets.velocities_mps**2) / 2

    for axis in range(2 * size):
        step = np.zeros((1, 2 * size))
        step[0, axis] = 0.01
        rise = log_likelihood(away.moved(step)) - log_likelihood(away.moved(-step))
        scale = np.abs(slope.reshape(2, -1)[axis // size]).max()
        assert slope[axis] == pytest.approx(rise / 0.02, abs=0.06 * scale)


def test_the_lattice_adds_the_bands_on_common_points(center):
    both = center.lattice.statistic(center.joints)
    parts = [center.lattice.statistic(center.of(band)) for band in ("high", "low")]
    np.testing.assert_allclose(both, parts[0] + parts[1], atol=1e-6)

    # The finest resolutions of both: range of the high band, speed of the band with longer frames.
    grids = [view.grid for view in center.scene.views]
    finest_m = min(grid.range_resolution_m for grid in grids)
    assert np.all(center.lattice.spacing_m <= 0.9 * finest_m)


def test_two_bands_find_a_target_that_neither_finds_alone(two_tiny):
    center = Center(weaker(two_tiny, WEAK_DB))
    lattice = center.lattice
    for band in ("high", "low"):
        assert not len(lattice.search(center.of(band), NOTHING, most=1))
    found = lattice.search(center.joints, NOTHING, most=1)
    (target,) = center.targets
    assert len(found) == 1 and np.linalg.norm(found.points_m[0] - target.position_m) < 2.0


def test_receivers_that_do_not_move_keep_their_cells(center):
    lattice = center.lattice
    lattice.statistic(center.joints)
    before = dict(lattice.cells)
    moved = EchoName("high", "car")
    again = LocalMl(center.sensors[moved].scene, center.sensors[moved].receiver, center.scene.grid)
    later = replace(lattice, sensors={**center.sensors, moved: again})
    later.statistic(center.joints)
    changed = {key for key, cells in later.cells.items() if cells is not before[key]}
    assert changed == {(moved, part) for part in range(NUM_PARTS)}


def test_paths_out_of_sight_of_a_target_do_not_count():
    """A target between the macro station and the micro stations, which look away from it."""
    scene = load_scene("macro_micro")
    (courier,) = (one for one in scene_targets(scene, 17.0) if one.name == "courier")
    assert courier.position_m[0] < 70
    center = Center(scene, time_s=17.0, targets=(courier,), number=68)
    match = JointMl(scene, center.joints).match(center.state())
    assert list(match.fits) == [EchoName("low", "macro")]

    # One station measures the speed along its line of sight; across it the prior remains.
    away = courier.position_m - scene.station("macro").pose.position_m
    away /= np.linalg.norm(away)
    covariance = np.linalg.inv(match.information[0])[3:, 3:]
    std_mps = np.sqrt(np.linalg.eigvalsh(covariance))
    largest_mps = scene.sensing.max_speed_mps
    assert away @ covariance @ away < 0.1
    assert std_mps[1:] == pytest.approx([largest_mps, largest_mps], rel=0.01)


def test_only_paths_above_the_noise_are_expected():
    scene = load_scene("macro_micro")
    points_m = np.array([[60.0, 14.0, 20.0], [140.0, 0.0, 16.0]])
    for view in scene.views:
        for site in view.receivers:
            expected = EchoLinks.of(view, site.name).expected(points_m)
            near_macro, among_micro = expected.all(axis=1)
            assert among_micro and near_macro == (view.band == "low")
            assert expected[0].any() == near_macro
