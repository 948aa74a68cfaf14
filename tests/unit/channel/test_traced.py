"""Echoes of a path file: the sum over its paths, a static part computed once, frames that end."""

from dataclasses import replace

import numpy as np
import pytest
from traced import car_arrays, write_scene

from cooperative_isac.channel import traced
from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import PathKind
from cooperative_isac.pipeline import frame_count, paths_to, receive_echo, run, transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.path_file import PATH_KINDS

GROUPS = {
    "line_of_sight": ["los"],
    "clutter": ["spec", "diff"],
    "targets": ["dyn"],
    "multi_bounce": ["dyn"],
}


@pytest.fixture
def arrays():
    return car_arrays()


def quiet(scene):
    """The scene without noise."""
    return replace(scene, propagation=replace(scene.propagation, noise_power_w=0.0))


def expected_echo(scene, arrays, number, receiver, kinds):
    """The sum of docs/path_files.md, element by element, from the arrays of the file."""
    frame = transmit(scene, number)
    grid = scene.grid
    site = scene.receivers[receiver]
    offsets = grid.subcarrier_offsets_hz
    times = grid.symbol_times_s
    sent = [frame.toward(index, np.eye(8)) for index in range(2)]  # [subcarrier, antenna, symbol]
    echo = np.zeros((8, grid.num_subcarriers, grid.num_symbols), complex)
    for kind in kinds:
        for group in GROUPS[kind]:
            for path in range(len(arrays[f"{group}_tau"])):
                value = {
                    name: arrays[f"{group}_{name}"][path]
                    for name in (
                        "rx",
                        "tx",
                        "tau",
                        "theta_t",
                        "phi_t",
                        "theta_r",
                        "phi_r",
                        "nu",
                        "a",
                    )
                }
                if group == "dyn" and (
                    arrays["dyn_f"][path] != number
                    or arrays["dyn_multi"][path] != (kind == "multi_bounce")
                ):
                    continue
                if value["rx"] != receiver:
                    continue
                tau = value["tau"] * 1e-9
                ways = []
                for end, elements in (
                    ("r", site.elements_m),
                    ("t", scene.transmitters[value["tx"]].elements_m),
                ):
                    theta = value[f"theta_{end}"]
                    phi = value[f"phi_{end}"]
                    unit = [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
                    ways.append(
                        np.array(
                            [
                                np.exp(2j * np.pi * np.dot(unit, place) / grid.wavelength_m)
                                for place in elements
                            ]
                        )
                    )
                arrival, departure = ways
                signal = np.einsum("a,san->sn", departure, sent[value["tx"]])
                phase = np.exp(
                    -2j * np.pi * (30e9 + offsets[:, None]) * tau + 2j * np.pi * value["nu"] * times
                )
                echo += value["a"] * arrival[:, None, None] * (signal * phase)
    return echo


@pytest.mark.parametrize(
    "kinds", [PATH_KINDS, *([kind] for kind in PATH_KINDS), ["clutter", "targets"]]
)
@pytest.mark.parametrize(("number", "receiver"), [(0, 0), (5, 1)])
def test_the_echo_is_the_physical_sum_over_paths(tmp_path, arrays, kinds, number, receiver):
    scene = quiet(load_scene(write_scene(tmp_path, arrays, path_kinds=list(kinds))))
    expected = expected_echo(scene, arrays, number, receiver, kinds)
    echo = receive_echo(scene, transmit(scene, number), scene.receivers[receiver].name, ())
    assert np.linalg.norm(echo - expected) < 1e-4 * np.linalg.norm(expected)


def test_elements_have_the_pattern_of_the_scene(tmp_path, arrays):
    """3GPP elements see the car from their front: 8 dBi at most, on both sides."""
    scene = quiet(load_scene(write_scene(tmp_path, arrays, path_kinds=["targets"])))
    sites = tuple(replace(site, pattern="tr38901") for site in scene.transmitters)
    receivers = tuple(replace(site, pattern="tr38901") for site in scene.receivers)
    isotropic, _ = paths_to(scene, 0, scene.receivers[0], ())
    sharp = replace(scene, transmitters=sites, receivers=receivers)
    patterned, _ = paths_to(sharp, 0, receivers[0], ())
    for index in range(len(isotropic.amplitude)):
        site = scene.transmitters[isotropic.transmitter[index]]
        decibels = 16.0
        for end, direction in (
            (site, isotropic.aod[index]),
            (scene.receivers[0], isotropic.aoa[index]),
        ):
            forward = np.dot(direction, end.boresight)
            across = np.dot(direction, end.axis)
            decibels -= min(12 * (np.degrees(np.arctan2(across, forward)) / 65) ** 2, 30)
        expected = 10 ** (decibels / 20)
        assert patterned.amplitude[index] / isotropic.amplitude[index] == pytest.approx(expected)


def test_noise_is_that_of_the_frame(tmp_path, arrays):
    scene = load_scene(write_scene(tmp_path, arrays))
    frame = transmit(scene, 3)
    noise = receive_echo(scene, frame, "rx2", ()) - receive_echo(quiet(scene), frame, "rx2", ())
    assert np.mean(abs(noise) ** 2) == pytest.approx(1e-12, rel=0.05)
    assert np.array_equal(
        receive_echo(scene, frame, "rx2", ()), receive_echo(scene, frame, "rx2", ())
    )
    other = receive_echo(scene, transmit(scene, 4), "rx2", ()) - receive_echo(
        quiet(scene), transmit(scene, 4), "rx2", ()
    )
    assert abs(np.vdot(noise, other)) < 0.05 * np.linalg.norm(noise) ** 2


def test_paths_name_the_target_that_they_go_by(tmp_path, arrays):
    scene = load_scene(write_scene(tmp_path, arrays))
    paths, _ = paths_to(scene, 2, scene.receivers[0], ())
    assert len(paths.delay_s) == 4 and paths.scatterer.tolist() == [0] * 4
    assert paths.transmitter.tolist() == [0, 0, 1, 1]


def test_the_order_of_sites_is_irrelevant(tmp_path, arrays):
    scene = load_scene(write_scene(tmp_path, arrays))
    turned = replace(scene, receivers=scene.receivers[::-1])
    frame = transmit(scene, 1)
    assert np.array_equal(
        receive_echo(scene, frame, "rx1", ()), receive_echo(turned, frame, "rx1", ())
    )


def test_clock_offsets_reach_static_paths(tmp_path, arrays):
    """Offsets turn the signal of a whole transmitter, by way of static paths, too."""
    scene = quiet(
        load_scene(
            write_scene(tmp_path, arrays, timing_offset_std_s=1e-7, path_kinds=["line_of_sight"])
        )
    )
    steady = replace(scene, propagation=replace(scene.propagation, timing_offset_std_s=0.0))
    frame = transmit(scene, 0)
    shaken = receive_echo(scene, frame, "rx1", ())
    still = receive_echo(steady, frame, "rx1", ())
    assert np.linalg.norm(shaken - still) > 0.05 * np.linalg.norm(still)
    file = scene.propagation.paths
    own = file.static["line_of_sight"].receiver == 0
    paths = file.static["line_of_sight"].chosen(own)
    as_moving = traced.path_set(
        scene, scene.receivers[0], paths, np.zeros(2, int), PathKind.LINE_OF_SIGHT
    )
    _, generator = paths_to(scene, 0, scene.receivers[0], ())
    expected = apply_paths(scene, frame, scene.receivers[0], as_moving, generator)
    assert np.linalg.norm(shaken - expected) < 1e-4 * np.linalg.norm(expected)


def test_the_static_part_is_computed_once_for_each_receiver(tmp_path, arrays, monkeypatch):
    scene = load_scene(write_scene(tmp_path, arrays))
    calls = []
    compute = traced.channel_matrix

    def counted(scene, receiver, paths):
        calls.append((receiver.name, len(paths.delay_s)))
        return compute(scene, receiver, paths)

    monkeypatch.setattr(traced, "channel_matrix", counted)
    for number in range(4):
        for site in scene.receivers:
            receive_echo(replace(scene, seed=number), transmit(scene, number), site.name, ())
    assert sorted(calls) == [("rx1", 2), ("rx1", 8), ("rx2", 2), ("rx2", 8)]


def test_frames_end_with_the_file(tmp_path, arrays):
    scene = load_scene(write_scene(tmp_path, arrays))
    with pytest.raises(ValueError, match=r"car.npz has frames 0 to 7; there is no frame 8"):
        receive_echo(scene, transmit(scene, 8), "rx1", ())
    assert [frame_count(scene, requested) for requested in (None, 3, 100)] == [8, 3, 8]
    snapshots = list(run(scene, 100))
    assert [snapshot.number for snapshot in snapshots] == list(range(8))
    assert [snapshot.targets[0].name for snapshot in snapshots] == ["car1"] * 8


def test_a_scene_without_end_needs_a_number_of_frames(tiny):
    with pytest.raises(
        ValueError, match="scene 'tiny' has no end; give the number of frames to run"
    ):
        frame_count(tiny, None)


def test_the_car_of_a_path_file_is_found(tmp_path):
    scene = load_scene(write_scene(tmp_path, car_arrays(car_gain=4e-6), path_kinds=["targets"]))
    for snapshot in list(run(scene))[2:]:
        errors = [
            np.linalg.norm(found.position_m - snapshot.targets[0].position_m)
            for found in snapshot.detections
        ]
        assert min(errors) < 0.5


def test_a_scheme_with_sites_of_its_own_is_refused(tmp_path, arrays):
    scene = load_scene(write_scene(tmp_path, arrays))
    with pytest.raises(
        ValueError,
        match=r"scheme 'monostatic' works with sites of its own, but .*car\.npz has paths",
    ):
        next(run(scene, 1, "monostatic"))
