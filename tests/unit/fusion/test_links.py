"""Links of the paths that support a detection, for every kind of fusion."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fusion.fuse import links_of_reports
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.model import Body, TargetClass
from cooperative_isac.scene.station import Link
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.sensing.report import EchoReport, PathReport


def frames(scene, numbers, scheme="local_ml"):
    """Detections of frames, and the reports behind them where the scheme has some."""
    made = make_scheme(scheme, scene)
    encoders = {station.name: made.at(station.name) for station in scene.receiving_stations}
    center = made.center()
    for number in numbers:
        time_s = number / scene.update_rate_hz
        frame = make_frame(scene, number, time_s)
        targets = scene_targets(scene, time_s)
        packets = {}
        for station, encoder in encoders.items():
            echoes = receive(scene, frame, station, targets)
            if echoes:
                packets[station] = encoder.encode(echoes, frame)
        yield frame, center.decode(packets, frame)


def report(receiver, band, *transmitters):
    paths = tuple(PathReport(index, 0.0, 10.0, np.eye(2)) for index in transmitters)
    return EchoReport(receiver, np.zeros(3), paths, band)


def test_links_are_in_the_order_of_bands_receivers_and_transmitters(two_tiny):
    reports = [
        report("east", "low", 1, 0),
        report("car", "high", 0),
        report("west", "low", 1),
        report("west", "high", 0),
    ]
    assert links_of_reports(two_tiny, reports) == (
        Link("west", "west", "high"),
        Link("west", "car", "high"),
        Link("east", "west", "low"),
        Link("west", "east", "low"),
        Link("east", "east", "low"),
    )


def test_detections_of_two_bands_name_their_links(two_tiny):
    found = [(frame, one) for frame, own in frames(two_tiny, range(2, 10)) for one in own]
    assert len(found) >= 6
    for frame, one in found:
        assert set(one.links) <= set(two_tiny.links)
        assert {link.band for link in one.links} <= set(frame.bands)
        assert {link.rx for link in one.links} == set(one.sites)
        assert len(set(one.links)) == len(one.links)
        assert one.is_partial or len(one.links) == one.num_paths
    bands = [{link.band for link in one.links} for _, one in found]
    assert {"high", "low"} in bands and {"high"} in bands


@pytest.mark.parametrize("scheme", ["local_ml", "raw_ml"])
def test_detections_of_a_scene_of_sites_name_pairs_of_sites(tiny, scheme):
    found = [one for _, own in frames(tiny, range(4), scheme) for one in own]
    assert len(found) >= 3
    for one in found:
        assert {link.rx for link in one.links} == set(one.sites)
        assert {link.tx for link in one.links} <= {"tx1", "tx2"}
        assert {link.band for link in one.links} == {"default"}
        assert len(one.links) == one.num_paths


@pytest.mark.parametrize("has_body", [False, True])
def test_the_only_band_may_have_any_name(tiny, has_body):
    """With raw echoes, of points and of bodies."""
    bodies = {TargetClass.VEHICLE: Body(np.array([4.0, 1.8, 0.0]))} if has_body else {}
    scene = replace(tiny, band="high", bodies=bodies)
    found = [one for _, own in frames(scene, range(3), "raw_ml") for one in own]
    assert found
    assert {link.band for one in found for link in one.links} == {"high"}
