"""Scheme local_ml with weak candidates: off by default, and beside unchanged reports."""

from dataclasses import replace

import numpy as np
import pytest

from cooperative_isac.fronthaul.candidate_packet import (
    CANDIDATES_FORMAT,
    MOST_CANDIDATES,
    count_fitting,
    unpack_candidates,
)
from cooperative_isac.fronthaul.envelope import packet_format
from cooperative_isac.fronthaul.report_packet import pack_reports
from cooperative_isac.pipeline import make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.checks import LEAST_CANDIDATE_BITS
from cooperative_isac.scene.file.config import load_scene, with_power
from cooperative_isac.scene.file.sensing_keys import MOST_CANDIDATE_BITS
from cooperative_isac.scene.station import LinkMode
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac.sensing.local_ml import LocalMl

NUM_FRAMES = 4
BITS = 1200


def with_candidates(scene, bits=BITS):
    return replace(scene, sensing=replace(scene.sensing, candidate_bits=bits))


def frames_of(scene, schemes):
    """Packets and detections of schemes in the same consecutive frames."""
    ends = [({s.name: one.at(s.name) for s in scene.receivers}, one.center()) for one in schemes]
    for number in range(NUM_FRAMES):
        time_s = number / scene.update_rate_hz
        frame = make_frame(scene, number, time_s)
        targets = scene_targets(scene, time_s)
        echoes = {s.name: receive(scene, frame, s.name, targets) for s in scene.receivers}
        found = []
        for encoders, decoder in ends:
            packets = {name: one.encode(echoes[name], frame) for name, one in encoders.items()}
            found.append((packets, decoder.decode(packets, frame)))
            for encoder in encoders.values():
                encoder.idle()
        yield number, found


def test_reports_are_the_same_bytes_with_and_without_candidates(small):
    assert small.sensing.candidate_bits == 0
    plain = make_scheme("local_ml", small)
    soft = make_scheme("local_ml", with_candidates(small))
    numbers = 0
    for number, ((alone, before), (both, after)) in frames_of(small, [plain, soft]):
        for name, packet in both.items():
            assert packet_format(name, alone[name]) != CANDIDATES_FORMAT
            reports, candidates = unpack_candidates(small, name, number, packet)
            assert reports == alone[name]
            assert 8 * len(packet) <= BITS
            numbers += len(candidates)

        # Targets of the reports come first, located by all paths.
        for first, second in zip(before, after):
            assert second.evidence is None
            assert np.linalg.norm(first.position_m - second.position_m) < 3.0
    assert numbers > 0


def test_candidates_are_peaks_of_the_likelihood(small):
    scheme = make_scheme("local_ml", with_candidates(small))
    frame = make_frame(small, 0, 0.0)
    targets = scene_targets(small, 0.0)
    station = small.receivers[0].name
    packet = scheme.at(station).encode(receive(small, frame, station, targets), frame)
    _, candidates = unpack_candidates(small, station, 0, packet)
    assert len(candidates) > 5
    assert np.all(np.diff(candidates.power) <= 0)
    sensor = LocalMl(small, small.receivers[0], small.grid)
    assert np.abs(candidates.doppler_hz).max() < 1.2 * sensor.max_doppler_hz


@pytest.mark.parametrize("name", ["campus", "cell_free_table1", "one_pair", "multi_bs"])
def test_the_least_packet_holds_one_candidate(name):
    scene = load_scene(name)
    empty = pack_reports(scene, scene.receivers[0].name, 1, ())
    assert count_fitting(scene, empty, LEAST_CANDIDATE_BITS) == 1
    assert count_fitting(scene, empty, LEAST_CANDIDATE_BITS - 60) == 0
    assert count_fitting(scene, empty, MOST_CANDIDATE_BITS) < MOST_CANDIDATES


def test_scenes_of_several_bands_have_no_candidates(two_tiny):
    with pytest.raises(ValueError, match=r"candidate_bits.* several bands"):
        make_scheme("local_ml", with_candidates(two_tiny))


def test_stations_with_uncertain_positions_have_no_candidates():
    scene = load_scene("multi_bs")
    first, *others = scene.layout.stations
    stations = (replace(first, position_std_m=0.5), *others)
    uncertain = replace(scene, layout=replace(scene.layout, stations=stations))
    with pytest.raises(ValueError, match=r"candidate_bits.* position_std_m: leave"):
        make_scheme("local_ml", with_candidates(uncertain))


@pytest.mark.parametrize("mode", LinkMode)
def test_stations_find_weak_targets_on_the_links_in_use(mode):
    # 15 dB below the power of the scene, where the stations alone find none in the first frame.
    scene = with_power(load_scene("multi_bs"), 18.0)
    scene = replace(scene, link_mode=mode)
    targets = scene_targets(scene, 0.0)
    frame = make_frame(scene, 0, 0.0)
    scheme = make_scheme("local_ml", with_candidates(scene))
    packets = {}
    for index, site in enumerate(scene.receivers):
        packet = scheme.at(site.name).encode(receive(scene, frame, site.name, targets), frame)
        packets[site.name] = packet
        _, candidates = unpack_candidates(scene, site.name, 0, packet)
        sent = set(candidates.transmitter.tolist())
        assert sent == set(scene.linked_transmitters(site.name)), index

    found = scheme.center().decode(packets, frame)
    truths = np.array([target.position_m for target in targets])
    errors_m = [np.linalg.norm(truths - one.position_m, axis=1) for one in found]
    assert len(found) >= 1
    assert all(one.evidence is not None for one in found)
    assert all(error_m.min() < 3.0 for error_m in errors_m)
