"""Bags of an older version: conversion of their messages, playback and replay."""

import re
from pathlib import Path

import numpy as np
import pytest
from cooperative_isac_msgs.msg import Accuracy, Detections, Echo, FeaturePacket, Frame, Link
from mcap.records import Schema
from rclpy.serialization import deserialize_message
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from std_msgs.msg import String
from typer.testing import CliRunner

from cooperative_isac.cli import app as isac
from cooperative_isac_ros.bag.app import app
from cooperative_isac_ros.bag.definitions import message_definition
from cooperative_isac_ros.bag.metadata import Topic
from cooperative_isac_ros.bag.player import Pace, Player, chosen_topics, play_once
from cooperative_isac_ros.bag.reader import BagReader
from cooperative_isac_ros.bag.upgrade import UpgradeError, agree, upgrade_of
from cooperative_isac_ros.bag.writer import BagWriter
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.cdr import serialized

# Recorded by the version before bands and links, with 28 frames and an echo of each receiver.
OLD = Path(__file__).resolve().parents[1] / "recordings" / "one_band"
SCENE = OLD / "tiny.yaml"
KINDS = {"Accuracy": Accuracy, "Detections": Detections, "Echo": Echo, "Frame": Frame}
KINDS["FeaturePacket"] = FeaturePacket


def old_values(reader, type_name):
    """Messages of a type as the rosbags library reads them, by the definition of the bag."""
    topics = [topic.name for topic in reader.summary().topics if topic.type_name == type_name]
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(reader.schemas[type_name].data.decode(), type_name))
    return [store.deserialize_cdr(message.data, type_name) for message in reader.messages(topics)]


def new_messages(type_name):
    reader = BagReader(OLD, as_installed=True)
    topics = [topic.name for topic in reader.summary().topics if topic.type_name == type_name]
    kind = KINDS[type_name.rpartition("/")[2]]
    return [deserialize_message(message.data, kind) for message in reader.messages(topics)]


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_field_of_an_old_message_is_in_that_of_today(name):
    type_name = f"cooperative_isac_msgs/msg/{name}"
    old = old_values(BagReader(OLD), type_name)
    new = new_messages(type_name)
    assert len(old) == len(new) > 0
    for before, after in zip(old, new):
        assert_same(before, after)


def assert_same(before, after):
    """Reference for the conversion: fields of an old message, by old and new names."""
    for name in vars(before):
        if name.startswith("_"):
            continue
        value = getattr(before, name)
        today = getattr(after, name.replace("localisation", "localization"))
        if isinstance(value, list):
            assert len(value) == len(today)
            for one, other in zip(value, today):
                assert one == other if isinstance(one, str) else assert_same(one, other) is None
        elif isinstance(value, np.ndarray):
            assert np.array_equal(value, np.asarray(today))
        elif hasattr(value, "__msgtype__"):
            assert_same(value, today)
        else:
            assert value == today


def test_new_fields_have_their_defaults():
    frames = new_messages("cooperative_isac_msgs/msg/Frame")
    announcement = conversions.announcement(frames[0])
    assert announcement.bands == () and announcement.time_s is None
    packet = conversions.packet(new_messages("cooperative_isac_msgs/msg/FeaturePacket")[0])
    assert packet.bands == () and packet.scheme == "local_ml"
    echo = conversions.echo_record(new_messages("cooperative_isac_msgs/msg/Echo")[0])
    assert echo.band == "" and echo.echo.shape == (8, 32, 32)
    lists = [
        conversions.detection_list(message)
        for message in new_messages("cooperative_isac_msgs/msg/Detections")
    ]
    found = [detection for item in lists for detection in item.detections]
    assert len(found) > 20 and all(detection.links == () for detection in found)


def test_a_bag_as_it_was_recorded_is_left_as_it_is():
    recorded = {message.data for message in BagReader(OLD).messages(["/accuracy"])}
    upgraded = {message.data for message in BagReader(OLD, as_installed=True).messages(["/tracks"])}
    tracks = {message.data for message in BagReader(OLD).messages(["/tracks"])}
    assert recorded and upgraded == tracks


def test_info_shows_and_repair_keeps_the_definitions(tmp_path):
    shown = CliRunner().invoke(app, ["info", str(OLD)])
    assert shown.exit_code == 0, shown.output
    line = re.search(r"older definitions, which are converted: (.*)", shown.output).group(1)
    assert "cooperative_isac_msgs/msg/Frame" in line and "Tracks" not in line

    new = tmp_path / "new"
    assert CliRunner().invoke(app, ["repair", str(OLD), "--out", str(new)]).exit_code == 0
    names = [topic.name for topic in BagReader(OLD).summary().topics]
    for name in names:
        before = [message.data for message in BagReader(OLD).messages([name])]
        assert before == [message.data for message in BagReader(new).messages([name])]
    assert BagReader(new).summary().remarks == BagReader(OLD).summary().remarks


def test_an_old_bag_is_played_to_nodes_of_today(bench):
    heard = bench.listen(Frame, "frame")
    accuracies = bench.listen(Accuracy, "accuracy")
    reader = BagReader(OLD, as_installed=True)
    topics = chosen_topics(reader.summary().topics, ["/frame", "/accuracy"])
    player = Player(bench.helper, topics, lambda name: bench.namespace + name)
    bench.until(lambda: player.num_subscriptions == 2)
    pace = Pace(bench.helper, 5.0, False, lambda: bench.executor.spin_once(timeout_sec=0))
    count = play_once(reader, player, pace, reader.summary().passes)
    bench.until(lambda: len(heard) + len(accuracies) == count)
    assert [message.number for message in heard] == [
        value.number for value in old_values(BagReader(OLD), "cooperative_isac_msgs/msg/Frame")
    ]
    assert all(message.gospa_localization_m > 0 for message in accuracies[5:])


def test_an_old_bag_is_replayed_to_the_same_detections(tmp_path):
    out = tmp_path / "again"
    done = CliRunner().invoke(app, ["replay", str(OLD), "--scene", str(SCENE), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "28 of 28 detections messages agree to rounding" in done.output
    assert "28 of 28 tracks messages agree to rounding" in done.output
    assert not BagReader(out).summary().remarks


def test_echoes_of_an_old_bag_are_checked():
    checked = CliRunner().invoke(isac, ["check-echo", str(OLD), "--scene", str(SCENE)])
    assert checked.exit_code == 0, checked.output
    assert "24 checks: 0 wrong" in checked.output


def test_values_that_differ_by_more_than_rounding_do_not_agree():
    first = new_messages("cooperative_isac_msgs/msg/Detections")[10]
    added = BagReader(OLD, as_installed=True)
    added.summary()
    added = added.upgrades["cooperative_isac_msgs/msg/Detections"].added
    new = ("links", "log_likelihood_ratio", "log_false_density")
    assert added == {("cooperative_isac_msgs/msg/Detection", name) for name in new}

    def changed(**fields):
        other = deserialize_message(serialized(first), Detections)
        for name, value in fields.items():
            setattr(other.detections[0], name, value)
        return serialized(other)

    x = first.detections[0].position.x
    rounded = first.detections[0].position.__class__(x=x + 1e-7, y=first.detections[0].position.y)
    moved = rounded.__class__(x=x + 1e-3, y=rounded.y)
    data = serialized(first)
    assert agree(data, changed(position=rounded), Detections, added)
    assert agree(data, changed(links=[Link(tx="tx1", rx="rx1", band="default")]), Detections, added)
    assert not agree(data, changed(position=moved), Detections, added)
    assert not agree(data, changed(num_paths=1), Detections, added)
    assert not agree(data, changed(sites=["rx1", "rx9"]), Detections, added)
    first.detections = []
    assert not agree(data, serialized(first), Detections, added)


def schema(text, name="std_msgs/msg/String", encoding="ros2msg"):
    return Schema(id=1, name=name, encoding=encoding, data=text)


def test_only_what_is_laid_out_otherwise_is_converted():
    assert upgrade_of(schema(message_definition("std_msgs/msg/String").encode())) is None
    assert upgrade_of(schema(b"# another comment\nstring data\nstring OTHER=constant\n")) is None
    assert upgrade_of(schema(b"")) is None
    assert upgrade_of(schema(b"\xff\xfe")) is None
    assert upgrade_of(schema(b"no definition at all ][")) is None
    assert upgrade_of(schema(b"missing/Part part\n")) is None
    assert upgrade_of(schema(b"string text\n", encoding="ros2idl")) is None
    assert upgrade_of(schema(b"string text\n", name="nowhere/msg/String")) is None

    shorter = upgrade_of(schema(b"uint8 size\nstring data\n"))
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg("uint8 size\nstring data\n", "std_msgs/msg/String"))
    message = store.types["std_msgs/msg/String"](size=3, data="abc")
    data = bytes(store.serialize_cdr(message, "std_msgs/msg/String"))
    assert deserialize_message(shorter(data), String).data == "abc"
    assert shorter.added == frozenset()
    for damaged in (data[:9], b"", b"\x00\x07" + data[2:], data + bytes(8)):
        with pytest.raises(UpgradeError, match="std_msgs/msg/String"):
            shorter(damaged)


def test_messages_that_do_not_fit_their_old_definition_are_left_out_and_counted(tmp_path):
    whole = BagReader(OLD)
    frames = list(whole.messages(["/frame"]))
    old = whole.schemas["cooperative_isac_msgs/msg/Frame"]
    writer = BagWriter(tmp_path / "mixed")
    topic = Topic("/frame", "cooperative_isac_msgs/msg/Frame")
    writer.add_topic(topic, (old.encoding, old.data))
    for index, message in enumerate(frames):
        data = message.data[:30] if index == 3 else message.data
        writer.write("/frame", message.log_ns, message.publish_ns, data)
    writer.close()
    reader = BagReader(tmp_path / "mixed", as_installed=True)
    assert len(list(reader.messages())) == len(frames) - 1
    assert "1 messages are left out, because they do not fit" in reader.summary().damage[0]
