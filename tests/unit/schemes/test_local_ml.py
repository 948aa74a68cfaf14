"""Scheme local_ml on consecutive frames."""

import pytest

from cooperative_isac.fronthaul.packet import unpack_reports
from cooperative_isac.pipeline import hear, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.schemes.registry import make_scheme


@pytest.mark.parametrize("live", [False, True])
def test_a_new_target_is_told_of_when_its_frame_was_searched(small, live):
    scheme, told = make_scheme("local_ml", small), []
    scheme.period_s = 1 / small.update_rate_hz if live else None
    for number in range(3):
        frame = transmit(small, number)
        targets = scene_targets(small, number / small.update_rate_hz)
        packet = scheme.encode(hear(small, frame, "rx1", targets), frame, "rx1")
        told.append(len(unpack_reports(small, "rx1", number, packet)))
    assert min(told[1:]) >= len(targets) and (told[0] == 0) == live
