"""Stations: poses, sites on bands, clocks, and the links of scenes of several bands."""

from dataclasses import replace

import numpy as np
import pytest
from networks import NETWORK, network

from cooperative_isac.scene.file.config import load_scene, with_power
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.station import Clock, Link, LinkMode, Pose

WEST_LOW = "      - {band: low, array: {kind: planar, num_horizontal: 2, num_vertical: 2}}\n"
EAST_LOW = (
    "      - {band: low, duplex: rx, array: {kind: planar, num_horizontal: 2, num_vertical: 2}}\n"
)


def faults(*changes):
    with pytest.raises(SceneError) as error:
        network(*changes)
    return [problem.key for problem in error.value.problems], str(error.value)


def test_a_scene_is_seen_on_each_of_its_bands():
    scene = network(("frame_rate_hz: 5\n", "frame_rate_hz: 5\n    noise_power_dbm: -100\n"))
    high, low = scene.views
    assert (high.band, low.band) == ("high", "low")
    assert high is scene.on("high")
    assert [site.name for site in high.transmitters] == ["west", "east", "drone"]
    assert [site.name for site in high.receivers] == ["west", "east", "car", "drone"]
    assert [site.name for site in low.transmitters] == ["west"]
    assert low.grid.carrier_hz == 5.9e9
    assert low.propagation.noise_power_w == pytest.approx(1e-13)
    assert high.propagation.noise_power_w == pytest.approx(1e-12)
    with pytest.raises(KeyError, match=r"no band 'mid' in scene 'network'; it has .*high.*low"):
        scene.on("mid")


def test_too_many_stations_are_refused_under_their_own_key():
    entry = NETWORK[NETWORK.index("  - name: east") : NETWORK.index("  - name: car")]
    many = "".join(
        entry.replace("east", f"east{index}").replace("[63, 32,", f"[63, {32 + index / 4},")
        for index in range(64)
    )
    keys, text = faults((entry, many))
    # Transmitters and receivers of the high band, receivers of the low one.
    assert keys == ["stations", "stations", "stations"]
    for count in (66, 67, 65):
        assert f"lists {count} sites; at most 64" in text


def test_links_are_the_pairs_that_sense():
    pairs = {(link.tx, link.rx) for link in network().links if link.band == "high"}
    full = ("west", "east", "drone")
    assert pairs == {(tx, rx) for tx in full for rx in (*full, "car")}
    passive = network(("stations:\n", "links: passive\nstations:\n"))
    assert not any(link.is_monostatic for link in passive.links)
    active = network(("stations:\n", "links: active\nstations:\n"))
    assert active.links == (
        Link("west", "west", "high"),
        Link("east", "east", "high"),
        Link("drone", "drone", "high"),
        Link("west", "west", "low"),
    )
    assert active.on("high").linked_transmitters("east") == (1,)
    assert active.on("high").linked_transmitters("car") == ()


def test_a_band_is_on_the_air_in_its_frames_alone():
    scene = network()
    on_air = [[band.name for band in scene.bands if band.is_on_air(n)] for n in range(3)]
    assert on_air == [["high", "low"], ["high"], ["high", "low"]]


def test_a_moving_station_turns_with_its_velocity_and_stands_at_the_end():
    scene = network(("    role: ue\n", "    role: ue\n    orientation: {yaw_deg: 90}\n"))
    assert scene.posed({}) is scene
    moved = scene.posed(scene.poses_at(2.0))
    car = moved.receivers[2]
    assert np.allclose(car.position_m, [5, 15, 2])
    assert np.allclose(car.velocity_mps, [0, 5, 0])
    # It drives along y, and its array is mounted with another 90 degrees.
    assert np.allclose(car.boresight, [-1, 0, 0])
    assert moved.receivers[0] is scene.receivers[0]
    ended = scene.posed(scene.poses_at(9.0)).receivers[2]
    assert np.allclose(ended.position_m, [5, 25, 2])
    assert not ended.is_moving


def test_reported_poses_go_before_the_motion():
    scene = network()
    there = Pose(np.array([9.0, 8.0, 2.0]), np.eye(3), np.array([1.0, 0.0, 0.0]))
    site = scene.posed(scene.poses_at(1.0, {"car": there})).receivers[2]
    assert np.array_equal(site.position_m, there.position_m)


def test_an_array_has_an_orientation_of_its_own():
    turned = (
        "      - {band: low, array: {kind: ula, num_elements: 4}, orientation: {yaw_deg: 90}}\n"
    )
    west = network((WEST_LOW, turned)).on("low").receivers[0]
    assert np.allclose(west.boresight, [0, 1, 0])
    assert np.allclose(west.elements_m[:, 1:], 0)


def test_a_scene_of_sites_has_stations_and_links_too():
    campus = load_scene("campus")
    assert [station.name for station in campus.stations] == ["tx1", "tx2", "rx1", "rx2", "rx3"]
    assert [station.name for station in campus.receiving_stations] == ["rx1", "rx2", "rx3"]
    assert len(campus.links) == 6
    assert campus.views == (campus,)
    assert campus.posed(campus.poses_at(3.0)) is campus
    for site in campus.receivers:
        station = campus.station(site.name)
        placed = station.site("default", station.pose)
        assert np.allclose(placed.elements_m, site.elements_m)
        assert np.allclose(placed.rotation, site.rotation)


def test_power_is_that_of_all_bands():
    louder = with_power(network(), 40.0)
    powers = [view.waveform.power_w for view in louder.views]
    assert powers == pytest.approx([10.0, 10.0])
    assert louder.fingerprint != network().fingerprint


ODOMETRY = "stations[0].odometry"
FRAME = "stations[0].tf_frame"


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        (("frame_rate_hz: 5", "frame_rate_hz: 3"), "bands[1].frame_rate_hz", "whole number"),
        (("frame_rate_hz: 5", "frame_rate_hz: 20"), "bands[1].frame_rate_hz", "whole number"),
        (("{band: low,", "{band: lwo,"), "stations[0].antennas[1].band", "allowed: high, low"),
        (("{band: low,", "{band: high,"), "stations[0].antennas[1].band", "one array a band"),
        (("name: east", "name: west"), "stations[1].name", "already the name at stations[0]"),
        (("cyclic_prefix_s: 1.2e-6", "cyclic_prefix_s: 1e-8"), "bands[0].cyclic_prefix_s", "path"),
        (("    position_m: [63, 32, 12]\n", ""), "stations[1].position_m", "is missing"),
        (("position_m: [63, 32, 12]", "position_m: [63, 32]"), "stations[1].position_m", "x, y, z"),
        (
            ("position_m: [63, 32, 12]", "position_m: [-3, 30, 10]"),
            "stations[1].position_m",
            "arrays need more than",
        ),
        (
            (
                "position_m: [63, 32, 12]",
                "position_m: [63, 32, 12]\n    motion: {kind: "
                "constant_velocity, position_m: [63, 32, 12], velocity_mps: [1, 0, 0]}",
            ),
            "stations[1].position_m",
            "give one of the two",
        ),
        (("stations:\n", "propagation: {paths: x.npz}\nstations:\n"), "propagation.paths", "sites"),
        (("  - name: west\n", "  - name: west\n    odometry: my car/odom\n"), ODOMETRY, "a topic"),
        (("  - name: west\n", "  - name: west\n    odometry: /car/\n"), ODOMETRY, "a topic"),
        (("  - name: west\n", "  - name: west\n    odometry: ''\n"), ODOMETRY, "a topic"),
        (("  - name: west\n", "  - name: west\n    tf_frame: /car\n"), FRAME, "a frame"),
        (("  - name: west\n", "  - name: west\n    tf_frame: ''\n"), FRAME, "a frame"),
        (
            ("    frame_rate_hz: 5\n", "    noise_power_dbm: -100\n    noise_figure_db: 7\n"),
            "bands[1].noise_figure_db",
            "give one",
        ),
        (("stations:\n", "waveform: {}\nstations:\n"), "waveform", "leave it out beside bands"),
        (("stations:\n", "receivers: []\nstations:\n"), "receivers", "leave it out beside bands"),
    ],
)
def test_faults_are_named_by_the_keys_of_the_file(change, key, words):
    keys, text = faults(change)
    assert key in keys
    assert words in text


@pytest.mark.parametrize("name", ["odom", "/car/odom", "car_1/Base/odom"])
def test_names_of_topics_and_frames_may_have_parts(name):
    scene = network(("  - name: west\n", f"  - name: west\n    odometry: {name}\n"))
    assert scene.stations[0].odometry == name
    frame = name.removeprefix("/")
    scene = network(("  - name: west\n", f"  - name: west\n    tf_frame: {frame}\n"))
    assert scene.stations[0].tf_frame == frame


def test_too_many_stations_are_called_so():
    more = "".join(
        f"  - name: more{index}\n    position_m: [{70 + index}, 0, 5]\n"
        "    antennas: [{band: high, array: {kind: ula, num_elements: 2}}]\n"
        for index in range(64)
    )
    keys, text = faults(("stations:\n", f"stations:\n{more}"))
    assert set(keys) == {"stations"}
    assert "lists 67 sites; at most 64" in text


def test_a_band_without_a_link_is_refused():
    keys, text = faults((EAST_LOW, ""), ("stations:\n", "links: passive\nstations:\n"))
    assert keys == ["links"]
    assert "'low' without a link" in text


@pytest.mark.parametrize("mode", list(LinkMode))
def test_link_modes_split_all_pairs(mode):
    allowed = [mode.allows("a", "a"), mode.allows("a", "b")]
    assert (
        allowed
        == {
            LinkMode.PASSIVE: [False, True],
            LinkMode.ACTIVE: [True, False],
            LinkMode.ACTIVE_PASSIVE: [True, True],
        }[mode]
    )


def test_a_clock_drifts():
    clock = Clock(1e-9, 1e-8, 10.0, 2.0, 0.5)
    assert clock.timing_s(3.0) == pytest.approx(3.1e-8)
    assert clock.frequency_hz(3.0) == pytest.approx(16.0)
    # The phase is the integral of the frequency.
    times = np.linspace(0.0, 3.0, 10_001)
    integral = np.trapezoid([clock.frequency_hz(time) for time in times], times)
    assert clock.phase_rad(3.0) == pytest.approx(0.5 + 2 * np.pi * integral, rel=1e-6)
    assert Clock().is_ideal
    assert not clock.is_ideal


def test_own_cross_section_precedes_that_of_the_class():
    campus = load_scene("campus")
    first = campus.targets[0]
    strong = replace(campus, targets=(replace(first, rcs_m2=7.0), *campus.targets[1:]))
    assert strong.rcs_m2(first.name, first.target_class) == 7.0
    assert strong.rcs_m2("nobody", first.target_class) == campus.body(first.target_class).rcs_m2
