"""Bands, time and poses of an announced frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cooperative_isac.fronthaul.downlink import pack_frame
from cooperative_isac.pipeline import make_frame
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.station import Pose
from cooperative_isac_ros.messages.announced import (
    announced_bands,
    announced_frame,
    announced_time_s,
    receiving_stations,
)
from cooperative_isac_ros.messages.records import Announcement, FrameStamp


@pytest.fixture(scope="module")
def scene():
    return load_scene(Path(__file__).resolve().parents[1] / "scenes" / "two_tiny.yaml")


def announcement(scene, number, **changes):
    frame = FrameStamp(1, number, number)
    known = Announcement(frame, scene.name, scene.fingerprint, True, scene.seed)
    return replace(known, **changes)


def test_bands_are_those_of_the_scene_where_none_is_announced(scene):
    assert announced_bands(scene, announcement(scene, 4)) == ("high", "low")
    assert announced_bands(scene, announcement(scene, 5)) == ("high",)
    assert announced_bands(scene, announcement(scene, 5, bands=("low", "high"))) == ("high", "low")
    with pytest.raises(ValueError, match="band 'mid' is not in the scene; it has high, low"):
        announced_bands(scene, announcement(scene, 5, bands=("high", "mid")))


def test_a_scene_of_one_band_has_it_in_every_frame(tiny):
    assert announced_bands(tiny, announcement(tiny, 3)) == ("default",)
    assert receiving_stations(tiny, announcement(tiny, 3)) == {"rx1", "rx2"}


def test_prepared_signals_are_used_for_their_frame_alone(scene):
    prepared = make_frame(scene, 4)
    frame = announced_frame(scene, announcement(scene, 4), {}, prepared)
    assert frame.on("low") is prepared.on("low")
    for other in (announcement(scene, 6), announcement(scene, 4, bands=("high",))):
        frame = announced_frame(scene, other, {}, prepared)
        assert frame.on("high") is not prepared.on("high")
        assert frame.number == other.frame.number == frame.on("high").number


def test_stations_receive_on_the_bands_on_the_air(scene):
    assert receiving_stations(scene, announcement(scene, 4)) == {"west", "east", "car"}
    assert receiving_stations(scene, announcement(scene, 5)) == {"west", "car"}
    assert receiving_stations(scene, announcement(scene, 5, bands=("low",))) == {"west", "east"}


def test_the_frame_is_that_of_the_pipeline(scene):
    for number in (4, 5):
        expected = make_frame(scene, number, number / 10)
        found = announced_frame(scene, announcement(scene, number), {})
        assert (found.number, found.bands, found.time_s) == (
            number,
            expected.bands,
            expected.time_s,
        )
        for band in expected.bands:
            assert np.array_equal(found.on(band).indices, expected.on(band).indices)
        assert np.array_equal(found.poses["car"].position_m, expected.poses["car"].position_m)


def test_time_and_poses_are_the_announced_ones(scene):
    said = announcement(scene, 5, time_s=9.0)
    assert announced_time_s(scene, said) == 9.0
    assert np.allclose(announced_frame(scene, said, {}).poses["car"].position_m, [37, 62, 0])
    there = Pose(np.array([1.0, 2.0, 0.0]), np.eye(3))
    assert announced_frame(scene, said, {"car": there}).poses["car"] is there


def test_a_payload_has_the_signals_of_all_bands(scene):
    frame = make_frame(scene, 4)
    found = announced_frame(scene, announcement(scene, 4, payload=pack_frame(frame)), {})
    assert found.bands == ("high", "low")
    assert np.array_equal(found.on("low").indices, frame.on("low").indices)
    with pytest.raises(ValueError, match="the payload announced with frame 6 is of frame 4"):
        announced_frame(scene, announcement(scene, 6, payload=pack_frame(frame)), {})
    with pytest.raises(ValueError, match="downlink payload has"):
        announced_frame(scene, announcement(scene, 5, payload=pack_frame(frame)), {})
