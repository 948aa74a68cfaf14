"""Damaged bags: damaged records are left out and reported, all others are read."""

import contextlib
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from bags import words, write_mcap
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType
from typer.testing import CliRunner

from cooperative_isac_ros.bag.app import app
from cooperative_isac_ros.bag.compression import DamagedError, chunk_data, message_data
from cooperative_isac_ros.bag.metadata import BagError
from cooperative_isac_ros.bag.reader import BagReader

COMPRESSIONS = {
    "none": CompressionType.NONE,
    "lz4": CompressionType.LZ4,
    "zstd": CompressionType.ZSTD,
}


def chunks_of(path):
    """Ranges of bytes and messages of each chunk."""
    with path.open("rb") as file:
        indexes = make_reader(file).get_summary().chunk_indexes
    return [
        (index.chunk_start_offset, index.chunk_start_offset + index.chunk_length)
        for index in indexes
    ]


def texts(folder):
    """Bytes of all messages that are read."""
    return [message.data for message in BagReader(folder).messages()]


@pytest.fixture(params=sorted(COMPRESSIONS))
def bag(tmp_path, request):
    """A bag of 40 messages in several chunks, and its file."""
    path = tmp_path / "bag" / "a_0.mcap"
    write_mcap(path, words(40), compression=COMPRESSIONS[request.param])
    return path


def test_chunks_behind_a_damaged_one_are_read(bag):
    whole = bag.read_bytes()
    chunks = chunks_of(bag)
    assert len(chunks) >= 4
    held = []
    for start, end in chunks:
        damaged = bytearray(whole)
        damaged[(start + end) // 2] ^= 0x10
        bag.write_bytes(damaged)
        summary = BagReader(bag.parent).summary()
        held.append(40 - summary.num_messages)
        assert summary.closed and 0 < held[-1] < 40
        (line,) = summary.damage
        assert line.startswith("a_0.mcap: ") and f" from byte {start} on are damaged" in line
        assert line.endswith(f"{held[-1]} of 40 messages are missing")
    assert sum(held) == 40


def test_the_command_reports_what_is_missing_and_how_to_go_on(bag):
    start, end = chunks_of(bag)[1]
    damaged = bytearray(bag.read_bytes())
    damaged[end - 5] ^= 1
    bag.write_bytes(damaged)
    result = CliRunner().invoke(app, ["info", str(bag.parent)])
    assert result.exit_code == 0 and "killed" not in result.output
    assert f"from byte {start} on are damaged" in result.output
    assert "isac bag repair" in result.output


def test_the_names_of_topics_survive_the_loss_of_the_first_chunk(bag):
    start, end = chunks_of(bag)[0]
    damaged = bytearray(bag.read_bytes())
    damaged[start + 20 : end] = bytes(end - start - 20)
    bag.write_bytes(damaged)
    assert {message.topic for message in BagReader(bag.parent).messages()} == {"/chat"}


def test_a_damaged_index_costs_no_message(bag):
    whole = bag.read_bytes()
    bag.write_bytes(whole[:-60] + bytes(20) + whole[-40:])
    summary = BagReader(bag.parent).summary()
    assert summary.closed and summary.num_messages == 40
    assert "damaged and left out" in summary.damage[0] and "unknown" in summary.damage[0]


def test_messages_outside_chunks_are_read_past_damage(tmp_path):
    path = tmp_path / "bag" / "a_0.mcap"
    write_mcap(path, words(40), use_chunking=False)
    whole = path.read_bytes()
    place = whole.index(b"m20\x00")
    path.write_bytes(whole[: place - 40] + bytes(40) + whole[place:])
    summary = BagReader(path.parent).summary()
    assert summary.num_messages >= 37 and "of 40 messages are missing" in summary.damage[0]
    path.write_bytes(whole[: place - 3])
    assert not BagReader(path.parent).summary().closed
    assert len(texts(path.parent)) == 20


@st.composite
def damaged(draw, data):
    """Bytes with damage, and the ranges of the original that it has touched."""
    kind = draw(st.sampled_from(["flip", "cut", "truncate", "overwrite"]))
    start = draw(st.integers(0, len(data) - 1))
    if kind == "truncate":
        return data[:start], [(start, len(data))]
    if kind == "flip":
        places = draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=6))
        changed = bytearray(data)
        for place in places:
            changed[place] ^= draw(st.integers(1, 255))
        return bytes(changed), [(place, place + 1) for place in places]
    end = min(start + draw(st.integers(1, 800)), len(data))
    if kind == "cut":
        return data[:start] + data[end:], [(start, end)]
    noise = draw(st.binary(min_size=end - start, max_size=end - start))
    return data[:start] + noise + data[end:], [(start, end)]


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(choice=st.data())
def test_any_damage_costs_the_chunks_that_it_touches_and_no_more(compression, choice):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a_0.mcap"
        write_mcap(path, words(40), compression=COMPRESSIONS[compression])
        whole = path.read_bytes()
        chunks = chunks_of(path)
        original = texts(path.parent)
        per_chunk = messages_by_chunk(path, whole, chunks, original)
        changed, touched = choice.draw(damaged(whole))
        path.write_bytes(changed)
        try:
            found = texts(path.parent)
        except BagError:
            found = []

    # no message is invented, none is repeated
    assert not Counter(found) - Counter(original)
    if is_touched(chunks[0], touched) and any(end > chunks[-1][1] for _, end in touched):
        return  # both places with the names of the topics
    expected = [
        data
        for chunk, messages in zip(chunks, per_chunk, strict=True)
        if not is_touched(chunk, touched)
        for data in messages
    ]
    assert not Counter(expected) - Counter(found)


def is_touched(chunk, touched):
    return any(start < chunk[1] and end > chunk[0] for start, end in touched)


def messages_by_chunk(path, whole, chunks, original):
    """Messages of each chunk: those that are missing without it."""
    held = []
    for start, end in chunks:
        path.write_bytes(whole[:start] + bytes(end - start) + whole[end:])
        found = set(texts(path.parent))
        held.append([data for data in original if data not in found])
    path.write_bytes(whole)
    return held


@given(st.binary(max_size=200), st.sampled_from(["", "lz4", "zstd", "xz"]))
def test_decompression_raises_one_kind_of_error(data, compression):
    for call in (
        lambda: chunk_data(compression, data, 2**62, 1),
        lambda: message_data(b"\x28\xb5\x2f\xfd" + data),
    ):
        with contextlib.suppress(DamagedError):
            assert isinstance(call(), bytes)
