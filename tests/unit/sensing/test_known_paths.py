"""Cancellation of the direct paths of moving stations whose reported positions are off."""

import re
from dataclasses import replace

import numpy as np
import pytest
from traced import car_arrays, write_scene

from cooperative_isac.channel.paths import PathKind
from cooperative_isac.pipeline import make_frame, paths_to, receive_all, scene_targets
from cooperative_isac.scene.draw import true_poses
from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.schemes.local_receiver import LocalReceiver
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.schemes.views import receiving_views
from cooperative_isac.sensing.canceled_paths import CanceledSpan
from cooperative_isac.sensing.correlation import stream_reference
from cooperative_isac.sensing.joint_fit import JointFit
from cooperative_isac.sensing.known_paths import (
    known_paths,
    link_suppression,
    moving_links,
    without_known_paths,
)
from cooperative_isac.sensing.path_state import PathState
from cooperative_isac.sensing.replica import ReplicaMaker
from cooperative_isac.sensing.static_paths import suppress, unknown_static
from cooperative_isac.sensing.synchronization import static_offsets

INTERFERER = "interferers: [{{name: other, position_m: [300, 100, 20], power_dbm: 0, signal: {}}}]"
SIGHT = "{}"
GROUND = "{ground: {material: {scattering: 0}}}"
TEXT = re.sub(r"^world:.*$", "", scene_path("bs_ue").read_text(), flags=re.MULTILINE)
STATION = "ue3"
SEED = 11


def scene_of(world, position_std_m):
    """The scene bs_ue with a world, and cars that report positions with an error."""
    text = TEXT.replace("position_std_m: 0.2", f"position_std_m: {position_std_m}")
    path = scene_path("bs_ue")
    return replace(parse_scene(f"{text}\nworld: {world}\n", path), seed=SEED)


class Received:
    """The echo of a car in one frame."""

    def __init__(self, scene, number, has_targets=False):
        time_s = number / scene.update_rate_hz
        self.frame = make_frame(scene, number, time_s)
        self.targets = scene_targets(scene, time_s) if has_targets else ()
        self.echo = receive_all(scene, self.frame, self.targets)[STATION]["low"].samples
        self.signal = self.frame.on("low")
        self.scene = scene.posed(self.frame.poses)
        self.site = self.scene.receiver(STATION)

        # Paths as they are, from the positions that the cars have.
        self.posed = scene.posed(true_poses(scene, number, self.frame.poses))
        true_site = self.posed.receiver(STATION)
        self.paths, _ = paths_to(self.posed, number, true_site, self.targets, time_s)

    def canceled(self):
        """The echo without static paths, and their span."""
        paths = known_paths(self.scene, self.site, moving_links(self.scene, self.site))
        return without_known_paths(self.scene, self.site, self.signal, self.echo, paths)

    def power(self, echo):
        """Mean power of a sample, in noise variances."""
        return np.mean(np.abs(echo) ** 2) / self.scene.propagation.noise_power_w


@pytest.mark.parametrize("world", [SIGHT, GROUND])
@pytest.mark.parametrize("position_std_m", [0.0001, 0.05, 0.5])
def test_noise_is_left_whatever_the_error_of_the_position(world, position_std_m):
    received = Received(scene_of(world, position_std_m), 5)
    remaining, canceled = received.canceled()
    assert received.power(received.echo) > 1e3
    assert received.power(remaining) == pytest.approx(1, abs=0.02)
    assert canceled is not None

    # Paths with a Doppler shift are outside of what streams without one can carry.
    static = unknown_static(received.signal.streams)
    projected = suppress(received.echo, received.signal.streams, static)
    assert received.power(projected) > 100


def test_synchronization_leaves_noise_too():
    received = Received(scene_of(GROUND, 0.2), 5)
    static = static_offsets(received.scene, received.site, received.signal, received.echo)
    assert received.power(static.remaining) == pytest.approx(1, abs=0.02)
    assert static.canceled is not None


def test_noise_alone_is_left_as_it_is():
    received = Received(scene_of(SIGHT, 0.2), 0)
    parts = np.random.default_rng(SEED).standard_normal((2, *received.echo.shape))
    scale = np.sqrt(received.scene.propagation.noise_power_w / 2)
    received.echo = (scale * (parts[0] + 1j * parts[1])).astype(np.complex64)
    remaining, canceled = received.canceled()
    assert remaining is received.echo
    assert canceled is None


@pytest.mark.parametrize(
    ("world", "sensing", "propagation", "expected"),
    [
        # The station's own echo has no line of sight, ...
        (SIGHT, "", "", "keep"),
        # ... but a reflection of the ground below it, or what the ground or clutter scatters.
        (GROUND, "", "", "project"),
        ("{ground: {}, line_of_sight: false}", "", "", "project"),
        (SIGHT, "", "clutter: {positions_m: [[50, 0, 10]]}", "project"),
        (SIGHT, "", "clutter: {num_scatterers: 0}", "keep"),
        # Beside an interferer with the same symbols its line of sight.
        (SIGHT, "", INTERFERER.format("same"), "project"),
        (SIGHT, "", INTERFERER.format("coded"), "keep"),
        # As in the scene file.
        (SIGHT, "static_paths: project", "", "project"),
        (SIGHT, "static_paths: learn", "", "learn"),
        (GROUND, "static_paths: keep", "", "keep"),
    ],
)
def test_by_default_echoes_with_static_paths_are_projected(world, sensing, propagation, expected):
    text = TEXT.replace("\nsensing:", f"\nsensing:\n  {sensing}")
    text = text.replace("\npropagation:", f"\npropagation:\n  {propagation}")
    scene = parse_scene(f"{text}\nworld: {world}\n", scene_path("bs_ue"))
    assert link_suppression(scene, scene.receiver("bs")) == expected

    # Over links with a moving end they are canceled one by one.
    assert link_suppression(scene, scene.receiver(STATION)) == "keep"


@pytest.mark.parametrize(("height_m", "expected"), [([20, 30], "project"), ([0, 20], "keep")])
def test_a_wall_counts_where_it_reflects_a_stations_own_signal(height_m, expected):
    # The station is 25 m high.
    wall = f"from_m: [-40, 30], to_m: [40, 30], height_m: {height_m}, material: {{scattering: 0}}"
    scene = scene_of(f"{{walls: [{{{wall}}}]}}", 0.2)
    assert link_suppression(scene, scene.receiver("bs")) == expected


def test_echoes_of_a_path_file_are_projected_where_it_has_paths_at_rest(tmp_path):
    # Without those to the first receiver.
    arrays = car_arrays()
    for group in ("spec", "diff"):
        is_kept = arrays[f"{group}_rx"] != 0
        for name in [name for name in arrays if name.startswith(f"{group}_")]:
            arrays[name] = arrays[name][is_kept]
    scene = load_scene(write_scene(tmp_path, arrays, path_kinds=["targets", "clutter"]))
    found = [link_suppression(scene, site) for site in scene.receivers]
    assert found == ["keep", "project"]


def test_a_world_of_lines_of_sight_leaves_a_stations_own_reports_as_they_are():
    scenes = [scene_of(SIGHT, 0.2), parse_scene(TEXT, scene_path("bs_ue"))]
    reports = []
    for scene in (replace(scene, seed=SEED) for scene in scenes):
        frame = make_frame(scene, 3)
        echoes = receive_all(scene, frame, scene_targets(scene, 0.75))["bs"]
        reports.append(make_scheme("local_ml", scene).at("bs").reports(echoes, frame))
    with_world, without = reports
    assert len(with_world) == len(without) > 0
    for first, second in zip(with_world, without):
        assert np.array_equal(first.point_m, second.point_m)
        for path, other in zip(first.paths, second.paths, strict=True):
            assert (path.doppler_hz, path.power) == (other.doppler_hz, other.power)
            assert np.array_equal(path.information, other.information)


@pytest.mark.parametrize("world", [SIGHT, GROUND])
def test_targets_beside_a_line_of_sight_are_found_and_nothing_else(world):
    # Both targets are within two resolution cells of the line of sight, 60 dB below it.
    scene = scene_of(world, 0.2)
    received = Received(scene, 3, has_targets=True)
    (place,) = receiving_views(scene, STATION)
    receiver = LocalReceiver(place)
    echo = receive_all(scene, received.frame, received.targets)[STATION]["low"]
    found = receiver.sense_all(receiver.prepare(echo, received.frame), received.frame).main
    assert found is not None

    lengths_m = []
    for owner in found.state.owner:
        point_m = found.state.points_m[owner]
        sent_m = np.linalg.norm(point_m - received.scene.transmitters[0].position_m)
        lengths_m.append(sent_m + np.linalg.norm(point_m - received.site.position_m))
    is_target = received.paths.kind == PathKind.TARGET
    true_m = received.paths.delay_s[is_target] * 299792458.0
    np.testing.assert_allclose(np.sort(lengths_m), np.sort(true_m), atol=1.5)


@pytest.fixture(scope="module")
def joint():
    """A joint fit in an echo with canceled paths, and a state near the targets."""
    received = Received(scene_of(SIGHT, 0.2), 3, has_targets=True)
    remaining, canceled = received.canceled()
    reference = stream_reference(received.signal, 300.0)
    span = CanceledSpan(canceled, reference)
    maker = ReplicaMaker(received.scene, received.site, reference, span)
    noise_power_w = received.scene.propagation.noise_power_w
    joint = JointFit(maker, reference.correlate(remaining), noise_power_w)
    is_target = received.paths.kind == PathKind.TARGET
    state = PathState(
        np.array([target.position_m for target in received.targets]) + 0.3,
        np.arange(2),
        np.zeros(2, int),
        received.paths.doppler_hz[is_target] + 2.0,
    )
    return joint, state


def test_the_fit_is_least_squares_with_the_slopes_of_canceled_paths(joint):
    joint, state = joint
    fit = joint.match(state)
    replica = fit.replica
    span = joint.maker.canceled

    # Echoes of paths and slopes at unit amplitude, and the filters matched to the paths.
    arrivals = np.concatenate([replica.receive[:, 0], span.arrivals])
    waveforms = np.concatenate([replica.waveforms, span.waveforms])
    echoes = np.einsum("pr,pikb->prikb", arrivals, waveforms).astype(complex)
    flat = echoes.reshape(len(echoes), -1)
    phases = replica.doppler_phases.conj()
    matched = np.einsum(
        "pr,pik,pb->prikb", replica.receive[:, 0], replica.filters[:, 0], phases
    ).astype(complex)
    matched = matched.reshape(2, -1).conj()

    # Amplitudes of the paths, those of the slopes eliminated (Schur complement).
    overlap = matched @ flat.T
    received = matched @ joint.correlation.reshape(-1)
    with_slopes = overlap[:, 2:]
    schur = overlap[:, :2] - with_slopes @ span.inverse @ with_slopes.conj().T
    amplitude = np.linalg.solve(schur, received)
    np.testing.assert_allclose(fit.amplitude, amplitude, rtol=1e-3)
    assert np.all(fit.canceled_share > 1e-4)

    # The echo of the fit is what is subtracted.
    within = -amplitude @ (with_slopes.conj() @ span.inverse.T)
    echo = np.concatenate([amplitude, within]) @ flat
    steering, parts = fit.echoes()
    subtracted = steering.T @ parts.reshape(len(parts), -1)
    assert np.linalg.norm(subtracted.ravel() - echo) < 1e-3 * np.linalg.norm(echo)


def test_the_gradient_is_that_of_the_likelihood(joint):
    joint, state = joint
    fit = joint.match(state)
    scale = np.abs(fit.location_slope).max()
    for target in range(2):
        for axis in range(3):
            step = np.zeros_like(state.points_m)
            step[target, axis] = 0.02
            up = joint.match(replace(state, points_m=state.points_m + step))
            down = joint.match(replace(state, points_m=state.points_m - step))
            slope = (up.explained.sum() - down.explained.sum()) / 0.04
            assert fit.location_slope[target, axis] == pytest.approx(slope, abs=0.03 * scale)
    scale = np.abs(fit.doppler_slope).max()
    for path in range(2):
        step = 0.5 * (np.arange(2) == path)
        up = joint.match(replace(state, doppler_hz=state.doppler_hz + step))
        down = joint.match(replace(state, doppler_hz=state.doppler_hz - step))
        slope = up.explained.sum() - down.explained.sum()
        assert fit.doppler_slope[path] == pytest.approx(slope, abs=0.03 * scale)
