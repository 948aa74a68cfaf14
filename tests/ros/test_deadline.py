"""The deadline for packets grows with skipped frames and late packets, and shrinks again."""

import pytest

from cooperative_isac_ros.messages.records import FrameStamp
from cooperative_isac_ros.timing.deadline import (
    MAX_DEADLINES_AFTER_SKIPPED,
    MAX_DEADLINES_FOR_LATE,
    PacketDeadline,
)

NOMINAL_S = 0.2


def frame(number, run=1):
    return FrameStamp(run, number, 10**12 + number * 10**8)


@pytest.mark.parametrize(
    ("number", "deadlines"), [(1, 1), (3, 3), (90, MAX_DEADLINES_AFTER_SKIPPED)]
)
def test_a_frame_after_skipped_ones_may_take_longer(number, deadlines):
    deadline = PacketDeadline(NOMINAL_S)
    assert deadline.announce(frame(0), 0.0) == pytest.approx(NOMINAL_S)
    assert deadline.announce(frame(number), 1.0) == pytest.approx(deadlines * NOMINAL_S)
    assert deadline.announce(frame(100, run=2), 2.0) == pytest.approx(NOMINAL_S)


def test_packets_that_came_late_are_waited_for_until_they_come_in_time_again():
    deadline = PacketDeadline(NOMINAL_S)
    deadline.announce(frame(0), 0.0)
    deadline.receive(frame(0), 0.4)
    assert deadline.announce(frame(1), 1.0) == pytest.approx(0.6)
    for number in range(2, 60):
        deadline.announce(frame(number), float(number))
        deadline.receive(frame(number), number + 0.05)
    assert deadline.announce(frame(60), 60.0) == pytest.approx(NOMINAL_S)


def test_a_very_late_packet_does_not_stop_the_network():
    deadline = PacketDeadline(NOMINAL_S)
    deadline.announce(frame(0), 0.0)
    deadline.receive(frame(0), 30.0)
    deadline.receive(frame(7), 31.0)
    assert deadline.announce(frame(1), 32.0) == pytest.approx(MAX_DEADLINES_FOR_LATE * NOMINAL_S)
