"""Scheme local_ml on consecutive frames."""

import numpy as np
import pytest
from chain import Chain

from cooperative_isac.fronthaul.report_packet import unpack_reports
from cooperative_isac.pipeline import receive_echo, transmit
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene


@pytest.mark.parametrize("live", [False, True])
def test_a_new_target_is_reported_after_the_search(small, live):
    scheme, num_reports = Chain("local_ml", small, live), []
    for number in range(3):
        frame = transmit(small, number)
        targets = scene_targets(small, number / small.update_rate_hz)
        packet = scheme.encode(receive_echo(small, frame, "rx1", targets), frame, "rx1")
        num_reports.append(len(unpack_reports(small, "rx1", number, packet)))
    assert min(num_reports[1:]) >= len(targets) and (num_reports[0] == 0) == live


def test_missing_packets_lower_the_number_of_paths_that_confirm():
    campus = load_scene("campus")
    scheme = Chain("local_ml", campus)
    frame = transmit(campus, 5)
    targets = scene_targets(campus, 1.0)
    packets = {
        site.name: scheme.encode(receive_echo(campus, frame, site.name, targets), frame, site.name)
        for site in campus.receivers
    }
    # Empty packets count: two receivers without a detection contradict the report of the third.
    nothing = {name: silent_of(scheme, campus, frame, name) for name in ("rx2", "rx3")}
    assert scheme.decode({**packets, **nothing}, frame) == ()
    alone = [
        detection
        for detection in scheme.decode({"rx1": packets["rx1"]}, frame)
        if not detection.is_partial
    ]
    assert len(alone) >= 3 and {detection.sites for detection in alone} == {("rx1",)}
    for detection in alone:
        away = [np.linalg.norm(detection.position_m - target.position_m) for target in targets]
        assert min(away) < 2.0


def silent_of(scheme, scene, frame, receiver):
    """The packet of a receiver without detections."""
    return scheme.encode(np.zeros_like(receive_echo(scene, frame, receiver, ())), frame, receiver)
