"""Link budget of `isac check`, compared with simulated echoes, and its map."""

from dataclasses import replace

import numpy as np
import pytest
from networks import NETWORK, RADAR, TARGETS, network
from typer.testing import CliRunner

from cooperative_isac import cli
from cooperative_isac.channel.echo import path_signals
from cooperative_isac.channel.gain import expected_power, integration_gain
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.evaluation.coverage import (
    coverage_rows,
    grid_points,
    inside_boxes,
    links,
    path_snr,
    usable_snr,
)
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.scene.station import LinkMode

PLACE = np.array([40.0, 55.0, 20.0])


@pytest.fixture(scope="module")
def yard():
    return load_scene("yard")


@pytest.mark.parametrize(("name", "kind"), [("campus", None), ("yard", TargetClass.UAV)])
def test_the_snr_agrees_with_simulated_echoes(name, kind):
    # Mean energy of one path in a frame over the noise of one sample, for many frames and random
    # reflections. Precoders may use less than the full power, so the energy is over the used one.
    scene = load_scene(name)
    bodies = {key: replace(body, size_m=np.zeros(3)) for key, body in scene.bodies.items()}
    scene = replace(scene, bodies=bodies)
    receiver = scene.receivers[0]
    energies = []
    spent = []
    targets = [TargetState("a", TargetClass.UAV, PLACE, np.array([3.0, 2.0, 0.0]))]
    for number in range(60):
        frame = transmit(scene, number)
        paths = draw_paths(
            scene, receiver, targets * 40, np.zeros((0, 3)), np.random.default_rng(number)
        )
        first = paths.transmitter == 0
        one = paths.chosen(first)
        single = one.chosen(slice(1))
        signal = path_signals(scene, frame, single)
        scale = np.mean(np.abs(one.amplitude) ** 2) / np.abs(single.amplitude[0]) ** 2
        energies.append(np.sum(np.abs(signal) ** 2) * scale)
        part = frame.precoders[:, frame.antennas[0]]
        spent.append(np.sum(np.abs(part) ** 2) * frame.group_size / scene.waveform.power_w)
    # Beams to random users: the gain at one place is only roughly the mean over all directions.
    found = 10 * np.log10(np.mean(energies) / np.mean(spent) / scene.propagation.noise_power_w)
    expected = 10 * np.log10(path_snr(scene, scene.transmitters[0], receiver, PLACE[None], kind)[0])
    assert found == pytest.approx(expected, abs=3)


def test_the_link_budget_agrees_with_a_closed_form(yard):
    # 60 dBm, 64 symbols, 32 receive antennas, -90 dBm: 60 + 18.06 + 15.05 + 90 dB and the radar
    # equation.
    tx, rx = (
        np.linalg.norm(PLACE - site.position_m)
        for site in (yard.transmitters[0], yard.receivers[1])
    )
    wave = 20 * np.log10(yard.grid.wavelength_m)
    expected = (
        60 + 18.06 + 15.05 + 90 + wave - 5.85 - 30 * np.log10(4 * np.pi) - 20 * np.log10(tx * rx)
    )
    found = path_snr(yard, yard.transmitters[0], yard.receivers[1], PLACE[None], TargetClass.UAV)
    assert 10 * np.log10(found[0]) == pytest.approx(expected, abs=0.01)


def test_the_usable_snr_is_the_third_strongest(yard):
    points = grid_points(yard)
    levels = np.array([path_snr(yard, *link, points, TargetClass.VEHICLE) for link in links(yard)])
    expected = [sorted(column, reverse=True)[2] for column in levels.T]
    assert np.array_equal(usable_snr(yard, points, TargetClass.VEHICLE), expected)
    assert (levels == 0).any() and (usable_snr(yard, points, TargetClass.VEHICLE) == 0).any()


def test_points_within_buildings_are_found(yard):
    inside = inside_boxes(yard, np.array([[80.0, 70, 5], [80, 70, 12], [49, 30, 2], [49, 30, 3.5]]))
    assert inside.tolist() == [True, False, True, False]


def test_every_link_has_a_line_with_classes_and_line_of_sight(yard):
    rows = dict(coverage_rows(yard))
    assert {f"{tx.name} - {rx.name}" for tx, rx in links(yard)} <= set(rows)
    assert all("uav" in rows[key] and "vehicle" in rows[key] for key in rows if " - " in key)
    # Friis over 106 m: -102.5 dB, and the gain of the integration
    gain = integration_gain(yard, yard.transmitters[0], yard.receivers[0])
    expected = -102.50 + 10 * np.log10(gain * 32 * 32)
    assert f"line of sight {expected:.1f} dB" in rows["tx1 - rx1"]


def test_the_path_loss_model_has_one_class_and_no_line_of_sight(tiny):
    rows = dict(coverage_rows(tiny))
    assert all("target" in rows[key] and "sight" not in rows[key] for key in rows if " - " in key)


@pytest.mark.parametrize("name", ["yard", "cell_free_compact"])
def test_the_map_is_a_picture(name, tmp_path):
    file = tmp_path / "map.png"
    result = CliRunner().invoke(cli.app, ["check", name, "--coverage", str(file)])
    assert result.exit_code == 0 and file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    lost = CliRunner().invoke(
        cli.app, ["check", name, "--coverage", str(tmp_path / "no" / "map.png")]
    )
    assert lost.exit_code == 1 and "cannot write" in lost.stderr


def test_each_band_has_its_links_and_receiver_noise():
    place = "    position_m: [-3, 30, 10]\n"
    own = (place, f"{place}    residual_self_interference_db: -90\n")
    plain, scene = network(extra=RADAR + TARGETS), network(own, extra=RADAR + TARGETS)
    rows = coverage_rows(scene)
    labels = [label for label, _ in rows]
    first = labels.index("band high")
    second = labels.index("band low")
    assert second - first - 1 == 12
    assert labels[second + 1 :] == ["west - west", "west - east"]
    assert "its target of the least cross section" in rows[0][1]
    # Without a target of the class, its own cross section.
    assert "least" not in coverage_rows(network(extra=RADAR))[0][1]
    active = replace(scene, link_mode=LinkMode.ACTIVE)
    assert [(tx.name, rx.name) for tx, rx in links(active)] == [
        ("west", "west"),
        ("east", "east"),
        ("drone", "drone"),
    ]
    # Residual self-interference of west adds noise at west only.
    for receiver, expected in (("west", 1e-12 / (1e-12 + 1 / 32 * 1e-9)), ("east", 1.0)):
        levels = [
            path_snr(
                view, view.transmitters[1], view.receiver(receiver), PLACE[None], TargetClass.UAV
            )[0]
            for view in (plain, scene)
        ]
        assert levels[1] / levels[0] == pytest.approx(expected)


def test_a_named_target_has_its_own_cross_section_in_the_budget():
    scene = network(extra=RADAR + TARGETS)
    classes = network(extra=RADAR + TARGETS.replace("    rcs_dbsm: -13\n", ""))
    link = scene.transmitters[0], scene.receivers[1]
    own, of_class = (
        path_snr(view, *link, PLACE[None], TargetClass.UAV)[0] for view in (scene, classes)
    )
    assert own / of_class == pytest.approx(10**-1.3 / scene.body(TargetClass.UAV).rcs_m2)
    # A target of unknown class has the smallest cross section of all targets.
    path = bistatic_geometry(
        link[0].position_m, link[1].position_m, PLACE, np.zeros(3), scene.grid.wavelength_m
    )
    tiny = network(extra=RADAR + TARGETS.replace("rcs_dbsm: -13", "rcs_dbsm: -30"))
    least = expected_power(tiny, *link, path)
    assert least == pytest.approx(expected_power(scene, *link, path, 1e-3))


def test_the_map_shows_one_band(tmp_path):
    scene = tmp_path / "two.yaml"
    scene.write_text(NETWORK + RADAR + TARGETS)
    pictures = []
    for option in ([], ["--band", "high"], ["--band", "low"]):
        file = tmp_path / f"map{len(pictures)}.png"
        command = ["check", str(scene), "--coverage", str(file), *option]
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 0, result.stderr
        pictures.append(file.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    lost = CliRunner().invoke(cli.app, [*command[:-1], "mid"])
    assert lost.exit_code == 1
    assert "--band is 'mid'; the scene has high, low" in lost.stderr
    alone = CliRunner().invoke(cli.app, ["check", str(scene), "--band", "low"])
    assert alone.exit_code == 1
    assert "give both" in alone.stderr
