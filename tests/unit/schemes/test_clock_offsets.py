"""Stations whose clocks differ: with lines of sight they locate as synchronous ones do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.channel.clocks import link_offsets
from cooperative_isac.pipeline import make_encoders, make_frame, receive, receive_all
from cooperative_isac.scene.box import Box
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene, parse_scene
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import TargetClass, TargetState
from cooperative_isac.schemes.local_receiver import at_noise_power
from cooperative_isac.schemes.observing_receiver import ObservingReceiver
from cooperative_isac.schemes.registry import check_synchronization, make_scheme
from cooperative_isac.schemes.views import StationView
from cooperative_isac.sensing.joint_fit import JointFit

OFFSETS = {
    "bs2": "{timing_offset_s: 50.0e-9, timing_drift: 1.0e-8, frequency_offset_hz: 200, "
    "frequency_drift_hzps: 2}",
    "bs3": "{timing_offset_s: -80.0e-9, frequency_offset_hz: -150, phase_offset_deg: 40}",
    "bs4": "{timing_offset_s: 20.0e-9, frequency_offset_hz: 320}",
}
SYNCHRONIZED = {"synchronization": "line_of_sight", "static_paths": "keep"}


def base_stations(world="world: {}\n"):
    """The scene `multi_bs` with lines of sight and clocks that differ."""
    text = Path(load_scene("multi_bs").source).read_text()
    for name, clock in OFFSETS.items():
        before = f"  - name: {name}\n"
        assert before in text
        text = text.replace(before, f"{before}    clock: {clock}\n")
    return parse_scene(text + world, Path("clocks.yaml"))


def with_sensing(scene, **values):
    """The scene with other settings of its receivers, on every band."""
    return replace(scene, sensing=replace(scene.sensing, **values))


def located(scene, scheme_name):
    """Number of targets with a detection within 0.5 m, in one frame at 2 s, and all detections."""
    scheme = make_scheme(scheme_name, scene)
    time_s = 2.0
    frame = make_frame(scene, 8, time_s)
    targets = scene_targets(scene, time_s)
    # A search in every echo, as without earlier frames.
    frame = replace(frame, time_s=None)
    packets = {
        station: encoder.encode(echoes, frame)
        for station, echoes in receive_all(scene, frame, targets).items()
        for encoder in [make_encoders(scheme)[station]]
    }
    detections = scheme.center().decode(packets, frame)
    positions_m = np.array([one.position_m for one in detections]).reshape(-1, 3)
    return sum(
        bool((np.linalg.norm(positions_m - target.position_m, axis=1) < 0.5).any())
        for target in targets
    ), detections


@pytest.mark.parametrize("scheme", ["raw_ml", "symbol_level"])
def test_targets_are_located_by_all_links_of_stations_without_a_common_clock(scheme):
    scene = base_stations()
    found, detections = located(with_sensing(scene, **SYNCHRONIZED), scheme)
    assert found == 3
    assert len(detections) == 3
    stations = {name for one in detections for link in one.links for name in (link.tx, link.rx)}
    assert stations == {"bs1", "bs2", "bs3", "bs4"}
    assert sum(link.tx != link.rx for one in detections for link in one.links) > 12


def test_without_line_of_sight_targets_of_the_active_links_give_the_offsets():
    # Half of the area, so that the lattice is small, and an independent frame.
    scene = with_sensing(
        base_stations(world=""), synchronization="active_observation", max_targets=3
    )
    box = Box(np.array([14.0, 14.0, 8.0]), np.array([46.0, 46.0, 28.0]))
    scene = replace(scene, box=box)
    states = [((22.0, 30.0, 14.0), (4.0, -3.0, 0.0)), ((38.0, 24.0, 18.0), (-2.0, 6.0, 0.0))]
    targets = [
        TargetState(str(number), TargetClass.UAV, np.array(place), np.array(velocity))
        for number, (place, velocity) in enumerate(states)
    ]
    frame = make_frame(scene, 3)
    scheme = make_scheme("symbol_level", scene)
    encoders = make_encoders(scheme)
    packets = {
        station: encoders[station].encode(echoes, frame)
        for station, echoes in receive_all(scene, frame, targets).items()
    }
    detections = scheme.center().decode(packets, frame)
    for target in targets:
        nearest = min(
            detections, key=lambda one, at=target.position_m: np.linalg.norm(one.position_m - at)
        )
        assert np.linalg.norm(nearest.position_m - target.position_m) < 0.7
        assert len(nearest.links) > 8


def test_a_station_synchronizes_its_links_by_its_own_echo():
    scene = with_sensing(base_stations(world=""), synchronization="active_observation")
    scene = replace(scene, seed=7)
    receiver = ObservingReceiver(StationView(scene, "bs1"))
    site = scene.receiver("bs1")
    for number in range(9):
        time_s = number / scene.update_rate_hz
        frame = make_frame(scene, number, time_s)
        echo = receive(scene, frame, "bs1", scene_targets(scene, time_s))[scene.band]
        seen = receiver.sense(at_noise_power(echo, scene.propagation.noise_power_w), frame)

    # Links in use, within half a cell of the band; the center refines their offsets.
    true = link_offsets(scene, site, time_s)
    assert seen.offsets
    for index, offset in seen.offsets.items():
        error_m = SPEED_OF_LIGHT_MPS * (offset.delay_s - true.timing_s[index])
        assert abs(error_m) < scene.grid.range_resolution_m / 2
        assert abs(offset.frequency_hz - true.frequency_hz[index]) < 150
    assert {one.paths[0].transmitter for one in seen.reports} >= {0, *seen.offsets}

    # Independent frames have none.
    independent = ObservingReceiver(StationView(scene, "bs1")).sense(
        at_noise_power(echo, scene.propagation.noise_power_w), replace(frame, time_s=None)
    )
    assert not independent.offsets
    assert {one.paths[0].transmitter for one in independent.reports} == {0}


def test_frames_in_which_links_come_into_use_are_hardly_longer_than_others(monkeypatch):
    scene = with_sensing(base_stations(world=""), synchronization="active_observation")
    scene = replace(scene, seed=7)
    receiver = ObservingReceiver(StationView(scene, "bs4"))

    # Paths that are matched, which are most of the computation.
    counts = []
    match = JointFit.match

    def counted(self, state):
        counts[-1] += state.num_paths
        return match(self, state)

    monkeypatch.setattr(JointFit, "match", counted)
    for number in range(7):
        counts.append(0)
        time_s = number / scene.update_rate_hz
        frame = make_frame(scene, number, time_s)
        echo = receive(scene, frame, "bs4", scene_targets(scene, time_s))[scene.band]
        seen = receiver.sense(at_noise_power(echo, scene.propagation.noise_power_w), frame)
        receiver.idle()
    assert len(seen.offsets) == 3
    assert max(counts) < 250


def test_targets_give_offsets_where_stations_transmit_and_receive():
    text = Path(load_scene("multi_bs").source).read_text()
    text = text.replace(
        "  scheme: local_ml ", "  synchronization: both_directions\n  scheme: local_ml "
    )
    antenna = "[{band: high, array: {kind: planar, num_horizontal: 8, num_vertical: 4}}]"
    assert antenna in text
    silent = antenna.replace("}}]", "}, duplex: rx}]")
    scene = parse_scene(text.replace(antenna, silent, 1), Path("scene.yaml"))
    with pytest.raises(ValueError, match="must receive their own echoes, and bs1 cannot"):
        make_scheme("local_ml", scene)

    # Links of both directions do without active ones.
    passive = parse_scene(text.replace("links: active-passive ", "links: passive "), Path("p.yaml"))
    make_scheme("local_ml", passive)
    active = with_sensing(passive, synchronization="active_observation")
    with pytest.raises(ValueError, match="`links: passive` leaves out"):
        make_scheme("local_ml", active)


def test_no_target_is_located_where_nothing_corrects_the_clocks():
    assert located(base_stations(), "local_ml")[0] == 0


def test_schemes_that_do_not_correct_clocks_are_refused():
    scene = with_sensing(base_stations(), **SYNCHRONIZED)
    with pytest.raises(
        ValueError,
        match=r"'music' does not correct clock offsets by 'line_of_sight'.*"
        "use one of the schemes local_ml, raw_ml, symbol_level, or set none",
    ):
        make_scheme("music", scene)
    with pytest.raises(ValueError, match="local_ml, raw_ml, symbol_level"):
        check_synchronization(["local_ml", "music"], scene)
    check_synchronization(["local_ml", "raw_ml"], scene)


def test_streams_of_all_transmitters_need_symbols():
    text = Path(load_scene("multi_bs").source).read_text()
    text = text.replace("num_users: 2", "num_users: 8") + "world: {}\n"
    parse_scene(text, Path("scene.yaml"))
    text = text.replace(
        "  scheme: local_ml ", "  synchronization: line_of_sight\n  scheme: local_ml "
    )
    with pytest.raises(SceneError, match=r"32 streams .*synchronization separates"):
        parse_scene(text, Path("scene.yaml"))
