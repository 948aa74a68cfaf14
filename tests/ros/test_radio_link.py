"""Fusion center of a scene whose UEs send by radio: who fuses, and packets out of range."""

from pathlib import Path

import pytest
from cooperative_isac_msgs.msg import Detections, FeaturePacket, Frame

from cooperative_isac.pipeline import make_encoders, make_frame, receive
from cooperative_isac.scene.draw import scene_targets
from cooperative_isac.scene.file.config import load_scene, scene_path
from cooperative_isac.schemes.registry import make_scheme
from cooperative_isac_ros.messages import conversions
from cooperative_isac_ros.messages.records import Announcement, FrameStamp, Packet
from cooperative_isac_ros.nodes.fusion_center import FusionCenter

UES = ("ue1", "ue2", "ue3")
# Frame in which ue1 is 142 m from the base station, ue2 and ue3 82 and 113 m.
FRAME = FrameStamp(run=1, number=6, stamp_ns=10**12)
DOWNLINK = ("far_down",)
SIDELINKS = ("side1", "side2", "side3")


@pytest.fixture(scope="module")
def scene_file(tmp_path_factory):
    """All links everywhere, with a reach of 130 m for packets of one report."""
    text = Path(scene_path("bs_ue_zones")).read_text()
    text = text.replace("power_dbm: 23.0               # dBm, of a car,", "power_dbm: 7.0  #")
    path = tmp_path_factory.mktemp("radio") / "radio.yaml"
    path.write_text(text.replace("  zones_m: [150, 400]", "  #"))
    return path


class Center:
    """A fusion center, publishers of its inputs, and its detections."""

    def __init__(self, bench, scene_file):
        self.node = bench.start(FusionCenter, scene=str(scene_file), deadline_s=60.0)
        self.bench = bench
        self.detections = bench.listen(Detections, "detections")
        self.frame = bench.publisher(Frame, "frame")
        self.features = {ue: bench.publisher(FeaturePacket, f"{ue}/features") for ue in UES}
        bench.until(lambda: self.node.waiting_for() == "")


def packets_of(scene, bands):
    """Packets of the UEs for the frame; they have found the target in the frames before."""
    encoders = make_encoders(make_scheme("local_ml", scene))
    packets = {}
    for number in range(FRAME.number - 3, FRAME.number + 1):
        time_s = number / scene.update_rate_hz
        frame = make_frame(scene, number, time_s, bands=bands)
        targets = scene_targets(scene, time_s)
        for ue in UES:
            packets[ue] = encoders[ue].encode(receive(scene, frame, ue, targets), frame)
            encoders[ue].idle()
    return packets


@pytest.mark.parametrize(
    ("bands", "simulated", "missing", "fused_at"),
    [
        (DOWNLINK, UES, ["ue1"], "bs"),
        (DOWNLINK, (), [], "bs"),  # links of radios are what they are
        (DOWNLINK, ("ue1",), ["ue1"], "bs"),
        (SIDELINKS, UES, [], "ue3"),
    ],
    ids=["uplink", "radios", "mixed", "sidelinks"],
)
def test_simulated_packets_out_of_range_are_left_out(
    real_bench, scene_file, bands, simulated, missing, fused_at
):
    """simulated: stations whose packets are; of those that are used, some or none."""
    scene = load_scene(scene_file)
    center = Center(real_bench, scene_file)
    announcement = Announcement(
        frame=FRAME,
        scene=scene.name,
        scene_fingerprint=scene.fingerprint,
        simulated=bool(simulated),
        seed=scene.seed,
        bands=bands,
        time_s=FRAME.number / scene.update_rate_hz,
    )
    center.frame.publish(conversions.frame_message(announcement))
    for ue, data in packets_of(scene, bands).items():
        packet = Packet(FRAME, 0, ue, "local_ml", ue in simulated, data, bands)
        center.features[ue].publish(conversions.packet_message(packet))
    real_bench.until(lambda: center.detections)

    (message,) = center.detections
    assert list(message.sites_missing) == missing
    assert message.simulated == (not set(simulated) <= set(missing))
    (detection,) = message.detections
    assert list(detection.sites) == [ue for ue in UES if ue not in missing]

    # Diagnostics.
    health = center.node.health
    assert health.counts["packets_undelivered"] == len(missing)
    assert health.counts["frames_incomplete"] == 0 and health.counts[f"fused_at_{fused_at}"] == 1
    assert health.figures["fusing_station"] == health.figures["result_sender"] == fused_at
    assert health.counts["results_kept"] == 0
    assert health.figures["sites_out_of_range"] == (", ".join(missing) or "none")

    real_bench.executor.remove_node(center.node)
    real_bench.nodes.remove(center.node)
    center.node.destroy_node()
