"""Stations with different schemes: packets of several formats in one frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.fronthaul.envelope import packet_format
from cooperative_isac.fronthaul.report_packet import BANDS_FORMAT, read_packet
from cooperative_isac.pipeline import make_encoders, make_frame, receive_all, run
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene, parse_scene
from cooperative_isac.schemes.contract import PacketError
from cooperative_isac.schemes.mixed import MixedScheme
from cooperative_isac.schemes.registry import (
    check_scheme,
    make_scheme,
    scheme_scene,
    station_schemes,
)

SCENES = Path(__file__).resolve().parents[2] / "scenes"
FORMATS = {"rx1": BANDS_FORMAT, "rx2": 33, "rx3": 36}


@pytest.fixture(scope="module")
def mixed():
    return load_scene(SCENES / "mixed.yaml")


@pytest.fixture(scope="module")
def scheme(mixed):
    return make_scheme("local_ml", mixed)


@pytest.fixture(scope="module")
def frame(mixed):
    return make_frame(mixed, 3)


@pytest.fixture(scope="module")
def packets(mixed, scheme, frame):
    encoders = make_encoders(scheme)
    received = receive_all(mixed, frame, scene_targets(mixed, 1.0))
    return {station: encoders[station].encode(own, frame) for station, own in received.items()}


def near(detections, target):
    return [one for one in detections if np.linalg.norm(one.position_m - target.position_m) < 1.0]


def test_a_station_keeps_the_scheme_of_the_scene_file(mixed, scheme):
    assert isinstance(scheme, MixedScheme) and scheme.name == "local_ml"
    assert station_schemes("local_ml", mixed) == {
        "rx1": "local_ml",
        "rx2": "music_fine",
        "rx3": "raw_ml",
    }
    assert [scheme.name_of(station) for station in FORMATS] == ["local_ml", "music_fine", "raw_ml"]
    assert scheme_scene("local_ml", mixed) is mixed


def test_packets_have_format_numbers(packets):
    assert {name: packet_format(name, packet) for name, packet in packets.items()} == FORMATS


def test_all_formats_of_a_frame_are_in_one_detection(scheme, frame, packets, mixed):
    found = scheme.center().decode(packets, frame)
    targets = scene_targets(mixed, 1.0)
    assert len(found) == len(targets)
    for target in targets:
        (one,) = near(found, target)
        assert one.sites == ("rx1", "rx2", "rx3")
        assert np.linalg.norm(one.velocity_mps - target.velocity_mps) < 1.0
        assert np.linalg.norm(one.position_m - target.position_m) < 0.5


def test_every_part_of_the_formats_adds_information(scheme, frame, packets, mixed):
    """Reports alone, with the parameters of another station, and with the detections of a third."""
    center = scheme.center()
    (car, _) = scene_targets(mixed, 1.0)
    volumes = []
    for names in (("rx1",), ("rx1", "rx2"), ("rx1", "rx2", "rx3")):
        received = {name: packets[name] for name in names}
        (one,) = near(center.decode(received, frame), car)
        assert one.sites == names
        axes = [0, 1, 3, 4]
        volumes.append(np.linalg.slogdet(one.covariance[np.ix_(axes, axes)])[1])
    assert volumes[0] > volumes[1] > volumes[2]


def test_a_live_run_tracks_with_all_formats(mixed):
    *_, last = run(mixed, 8)
    assert {packet_format(name, one) for name, one in last.packets.items()} == {*FORMATS.values()}
    for target in last.targets:
        assert near(last.tracks, target)


def test_packets_of_no_scheme_of_the_scene_are_named(scheme, frame, packets):
    center = scheme.center()
    for damaged in (b"", bytes([99]) + packets["rx2"][1:], packets["rx2"][:-1], packets["rx1"]):
        with pytest.raises(PacketError) as caught:
            center.decode({**packets, "rx2": damaged}, frame)
        assert caught.value.receiver == "rx2"
    assert center.decode({}, frame) == ()


def test_a_scheme_with_stations_of_its_own_shares_no_scene(mixed):
    with pytest.raises(ValueError, match="schemes 'monostatic'"):
        make_scheme("monostatic", mixed)


def test_reports_outside_of_the_area_are_counted(mixed, scheme, frame, packets):
    from cooperative_isac.fronthaul.report_packet import pack_reports

    reports = read_packet(mixed, "rx1", frame.number, packets["rx1"]).reports
    away = replace(reports[0], point_m=np.array([500.0, 0.0, 0.0]))
    packet = pack_reports(mixed, "rx1", frame.number, (away, *reports))
    carried = read_packet(mixed, "rx1", frame.number, packet)
    assert carried.num_outside == 1 and len(carried.reports) == len(reports)


@pytest.mark.parametrize(("nested", "is_refused"), [("rx1", False), ("rx2", True)])
def test_only_stations_of_music_need_arrays_for_its_directions(nested, is_refused):
    path = SCENES / "mixed.yaml"
    text = path.read_text().replace("sensing: {", "sensing: {directions: root_music, ")
    before, name, after = text.partition(f"  - name: {nested}\n")
    array = "{kind: nested, num_inner: 4, num_outer: 4}"
    after = after.replace("{kind: ula, num_elements: 8}", array, 1)
    scene = parse_scene(before + name + after, path)

    # rx1 has local_ml, and rx2 music_fine.
    if not is_refused:
        check_scheme("local_ml", scene)
        return
    with pytest.raises(ValueError, match="receiver 'rx2' has a nested array"):
        check_scheme("local_ml", scene)
