"""Output and exit codes of `isac check-echo`."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from unit.sensing.exact_echo import line_of_sight_echo, noise

from cooperative_isac.cli import app
from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.pipeline import transmit
from cooperative_isac_ros.bag.metadata import Topic
from cooperative_isac_ros.bag.writer import BagWriter
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.cdr import serialized
from cooperative_isac_ros.messages.records import Announcement, EchoRecord, FrameStamp

TINY = Path(__file__).resolve().parents[1] / "scenes" / "tiny.yaml"
START_NS = 1_700_000_000_000_000_000


def stated(echo):
    return echo


@pytest.fixture
def record(tiny, tmp_path):
    """Writes a bag of a radio whose echoes are changed before they are published."""

    def write(
        change=stated,
        sites=("rx1", "rx2"),
        payload=False,
        numbers=(0, 1),
        shift=0,
        fingerprint=None,
        frames=True,
        run=7,
        announced=None,
    ):
        folder = tmp_path / "bag"
        writer = BagWriter(folder)
        if frames:
            writer.add_topic(Topic("/frame", "cooperative_isac_msgs/msg/Frame"))
        for site in sites:
            writer.add_topic(Topic(f"/{site}/echo", "cooperative_isac_msgs/msg/Echo"))
        generator = np.random.default_rng(1)
        for number in numbers:
            stamp = FrameStamp(7, number, START_NS + number * 100_000_000)
            frame = transmit(tiny, number)
            announcement = Announcement(
                stamp,
                tiny.name,
                fingerprint or tiny.fingerprint,
                not payload,
                tiny.seed,
                pack_downlink(frame) if payload else b"",
            )
            if frames and (announced is None or number in announced):
                writer.write(
                    "/frame",
                    stamp.stamp_ns,
                    stamp.stamp_ns,
                    serialized(conversions.frame_message(announcement)),
                )
            for site in sites:
                known = tiny.receiver(site) if site in ("rx1", "rx2") else tiny.receivers[0]
                echo = line_of_sight_echo(tiny, known, frame)
                echo += noise(echo.shape, tiny.propagation.noise_power_w, generator)
                answered = FrameStamp(run, number + shift, stamp.stamp_ns)
                message = conversions.echo_message(
                    EchoRecord(
                        answered,
                        site,
                        False,
                        tiny.propagation.noise_power_w,
                        change(echo).astype(np.complex64),
                    )
                )
                writer.write(
                    f"/{site}/echo", stamp.stamp_ns + 1, stamp.stamp_ns + 1, serialized(message)
                )
        writer.close()
        return folder

    return write


def check(bag, *arguments):
    """Exit code and output of the command, without the table's line breaks."""
    runner = CliRunner(env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})
    done = runner.invoke(app, ["check-echo", str(bag), "--scene", str(TINY), *arguments])
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize("payload", [False, True])
def test_a_right_radio_passes(record, payload):
    code, said = check(record(payload=payload))
    assert code == 0 and "0 wrong" in said and "rx1" in said and "rx2" in said
    assert "2 echoes, each of an announced frame; 2 checked" in said


def test_a_wrong_order_is_named_with_its_margin(record):
    code, said = check(record(lambda echo: echo[:, ::-1]))
    assert (
        code == 1
        and "subcarriers are in reverse order; the line of sight is" in said
        and "2 wrong" in said
    )


def test_one_site_is_looked_at_alone(record):
    bag = record()
    code, said = check(bag, "--site", "rx2")
    assert code == 0 and "rx2" in said and "rx1 " not in said
    code, said = check(bag, "--site", "rx9")
    assert code == 2 and "holds no echo of 'rx9'; it has echoes of rx1, rx2" in said


def test_wrong_sizes_and_sites_are_wrong(record):
    code, said = check(record(lambda echo: echo[:, :16], sites=("rx1", "rx9")))
    assert code == 1 and "sizes are 8 x 16 x 32, the scene has 8 x 32 x 32" in said
    assert "the scene has no receiver 'rx9'" in said


def test_numbers_that_are_off_by_one_are_found_by_their_stamps(record):
    code, said = check(record(shift=1))
    assert code == 1 and "1 have another stamp than the frame with their number" in said


def test_echoes_of_unannounced_frames_are_wrong(record):
    code, said = check(record(run=8))
    assert code == 1 and "2 of 2 have a run and number that was not announced" in said


def test_echoes_from_before_the_first_recorded_frame_are_left_out(record):
    code, said = check(record(numbers=(0, 1, 2), announced=(1, 2)))
    assert (
        code == 0
        and "3 echoes, 1 of them of frames before or after the recording; 2 checked" in said
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sites": ()}, "holds no echoes"),
        ({"frames": False}, "has 0 topics with frames"),
        ({"fingerprint": "0123456789abcdef"}, "was recorded with scene"),
    ],
)
def test_a_bag_that_cannot_be_used_gives_code_2(record, options, words):
    code, said = check(record(**options))
    assert code == 2 and words in said


def test_what_is_no_bag_gives_code_2(tmp_path):
    code, said = check(tmp_path / "nothing")
    assert code == 2 and "is not a bag" in said
