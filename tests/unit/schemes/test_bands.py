"""Scheme local_ml on several bands, with monostatic links and a station that drives."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.envelope import PacketError, packet_format, with_checksum
from cooperative_isac.fronthaul.report_packet import BANDS_FORMAT, inside, pack_reports, read_packet
from cooperative_isac.metrics.consistency import nees_interval
from cooperative_isac.pipeline import make_encoders, make_frame, receive, run
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.station import LinkMode
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.schemes.views import StationView, only_view, receiving_views


@pytest.fixture(scope="module")
def network():
    return load_scene("two_bands")


@pytest.fixture(scope="module")
def found(network):
    """Reports of station bs1 in frame 4, on both of its bands."""
    frame = make_frame(network, 4)
    encoder = make_encoders(make_scheme("local_ml", network))["bs1"]
    echoes = receive(network, frame, "bs1", scene_targets(network, 0.8))
    return encoder.reports(echoes, frame)


def test_reports_of_both_bands_find_the_targets(network, found):
    assert {report.band for report in found} == {"high", "low"}
    targets = scene_targets(network, 0.8)
    for band, least in (("high", 3), ("low", 2)):
        points = [report.point_m for report in found if report.band == band]
        away = [
            min(np.linalg.norm(point - target.position_m) for point in points) for target in targets
        ]
        assert sum(distance < 1.0 for distance in away) >= least
    # Its own echoes are detected, too.
    own = [site.name for site in network.on("high").transmitters].index("bs1")
    assert any(path.transmitter == own for report in found for path in report.paths)


def test_a_packet_carries_band_and_link(network, found):
    packet = pack_reports(network, "bs1", 4, found)
    assert packet_format("bs1", packet) == BANDS_FORMAT
    back = read_packet(network, "bs1", 4, packet)
    kept = [report for report in found if inside(network, report.point_m)]
    assert back.num_outside == len(found) - len(kept) and len(kept) >= 6
    for report, other in zip(kept, back.reports, strict=True):
        assert (report.receiver, report.band) == (other.receiver, other.band)
        assert np.allclose(report.point_m, other.point_m, atol=1e-4)
        for path, same in zip(report.paths, other.paths, strict=True):
            assert path.transmitter == same.transmitter
            assert same.doppler_hz == pytest.approx(path.doppler_hz, abs=0.1)


def test_an_encoder_counts_what_its_packet_leaves_out(network, found):
    size = network.box.high_m - network.box.low_m
    outside = replace(found[0], point_m=network.box.high_m + size)
    encoder = make_scheme("local_ml", network).at("bs1")
    assert encoder.num_left_out == 0
    encoder.reports_of = lambda sensed: (*found, outside, outside)
    packet = encoder.encode({}, make_frame(network, 4))
    left_out = [report for report in found if not inside(network, report.point_m)]
    assert encoder.num_left_out == 2 + len(left_out)
    assert read_packet(network, "bs1", 4, packet).num_outside == encoder.num_left_out


def test_packets_of_another_station_or_frame_are_refused(network, found):
    packet = pack_reports(network, "bs1", 4, found)
    for station, number in (("bs2", 4), ("bs1", 5)):
        with pytest.raises(PacketError):
            read_packet(network, station, number, packet)
    cut = with_checksum(packet[:-4][:-20])
    with pytest.raises(PacketError, match="ends early"):
        read_packet(network, "bs1", 4, cut)


def test_only_stations_that_move_have_a_new_scene(network):
    places = {name: StationView(network.on("high"), name) for name in ("bs1", "car")}
    before, after = (make_frame(network, 0, time_s) for time_s in (0.0, 1.0))
    assert places["bs1"].scene(before) is places["bs1"].scene(after)
    positions = [places["car"].scene(frame).receiver("car").position_m for frame in (before, after)]
    assert np.linalg.norm(positions[1] - positions[0]) == pytest.approx(4.0, abs=0.1)


def test_echoes_of_transmitters_without_a_link_are_no_targets(network):
    # All stations of a band send the same streams: bs1 also receives the signal of bs2.
    active = replace(network, link_mode=LinkMode.ACTIVE)
    frame = make_frame(active, 4)
    targets = scene_targets(active, 0.8)
    distances = []
    squares = []
    for station, encoder in make_encoders(make_scheme("local_ml", active)).items():
        for report in encoder.reports(receive(active, frame, station, targets), frame):
            transmitters = [
                active.on(report.band).transmitters[p.transmitter] for p in report.paths
            ]
            assert [site.name for site in transmitters] == [station]
            away = np.array([report.point_m - target.position_m for target in targets])
            nearest = away[np.linalg.norm(away, axis=1).argmin()]
            distances.append(np.linalg.norm(nearest))
            squares.append(nearest @ report.information @ nearest)
    assert len(distances) >= 10
    assert max(distances) < 3.0
    # Location errors are as large as their covariances: 3 on average.
    assert 1.0 < np.mean(squares) < 6.0


def test_a_scheme_of_one_band_names_the_obstacle(network):
    assert [place.band for place in receiving_views(network, "bs1")] == ["high", "low"]
    assert only_view(network, "bs2", "music").band == "high"
    with pytest.raises(ValueError, match="'bs1' of scene 'two_bands' has links on: high, low"):
        only_view(network, "bs1", "music")
    with pytest.raises(KeyError, match="no receiving station 'nobody'"):
        receiving_views(network, "nobody")
    with pytest.raises(ValueError, match=r"scheme 'raw_ml' works on one band.*high, low"):
        make_scheme("raw_ml", network)


def test_a_weak_target_that_passes_a_strong_one_stays_a_target_of_its_own(network):
    # In frame 15 the bicycle is 3 m from the car, 10 dB below it.
    normalized = []
    for snapshot in run(network, 24):
        if snapshot.number < 3:
            continue
        places = np.array([target.position_m for target in snapshot.targets])
        found = np.array([item.position_m for item in snapshot.detections])
        distances = np.linalg.norm(places[:, None] - found, axis=-1)
        assert np.all((distances < 2.0).sum(axis=1) == 1)  # each is detected once
        for target, nearest in zip(snapshot.targets, distances.argmin(axis=1)):
            detection = snapshot.detections[nearest]
            error = np.r_[
                detection.position_m - target.position_m,
                detection.velocity_mps - target.velocity_mps,
            ]
            normalized.append(error @ np.linalg.solve(detection.covariance, error))
        assert len(snapshot.tracks) == 4
    low, high = nees_interval(len(normalized), 6, 0.999)
    assert low < np.mean(normalized) < high
