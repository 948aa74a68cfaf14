"""The description by `isac check`, against figures of the paper and of textbooks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from networks import RADAR, TARGETS, network

from cooperative_isac.scene.box import Box
from cooperative_isac.scene.describe import (
    angle_resolution,
    describe,
    raw_bits,
    share_in_front,
    speed_resolution,
)
from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.scene.station import Site

GOOD_SCENE = Path(__file__).with_name("file") / "good_scene.yaml"


def test_figures_of_the_table1_scene():
    scene = load_scene("cell_free_table1")
    # CF section V: 2 x 32 x M_r N_s T_s = 67 Mbit.
    assert raw_bits(scene, scene.receivers[0]) == 67_108_864
    # c / B and lambda / (2 T) of 61.44 MHz and 256 symbols of 5.207 us.
    assert scene.grid.range_resolution_m == pytest.approx(4.8795, rel=1e-4)
    assert speed_resolution(scene) == pytest.approx(3.7484, rel=1e-4)


def test_beams_of_half_wavelength_arrays_are_two_over_n_wide():
    campus = load_scene(GOOD_SCENE)
    plane = load_scene("cell_free_table1")
    horizontal, vertical = angle_resolution(campus, campus.transmitters[0])
    assert np.radians(horizontal) == pytest.approx(2 / 8) and np.radians(vertical) == pytest.approx(
        2 / 4
    )
    along, across = angle_resolution(plane, plane.receivers[0])
    assert np.radians(along) == pytest.approx(2 / 16) and across == 180


def test_the_share_of_the_area_in_front():
    site = Site("a", np.array([5.0, 0, 0]), np.eye(3), np.zeros((1, 3)), "custom")
    assert share_in_front(Box(np.zeros(3), np.array([10.0, 1, 1])), site) == pytest.approx(11 / 21)
    assert share_in_front(Box(np.full(3, 6.0), np.full(3, 7.0)), site) == 1


@pytest.mark.parametrize(
    "name",
    ["campus", "cell_free_compact", "cell_free_table1", "indoor_uav", "one_pair", "street", "yard"],
)
def test_shipped_arrays_have_the_whole_area_in_front(name):
    scene = load_scene(name)
    assert {share_in_front(scene.box, site) for site in scene.transmitters + scene.receivers} == {
        1.0
    }


def test_the_description_names_every_site_and_target():
    scene = load_scene(GOOD_SCENE)
    rows = dict(describe(scene))
    assert rows["scene"] == f"good_scene (3-D), fingerprint {scene.fingerprint}"
    assert rows["file"] == str(GOOD_SCENE)
    assert {f"receiver {site.name}" for site in scene.receivers} <= set(rows)
    assert {f"target {target.name}" for target in scene.targets} <= set(rows)
    assert "planar of 64, yaw -45 deg, pitch 5 deg, beam 14.3 x 14.3 deg" in rows["receiver rx1"]
    assert rows["frame"] == "1.33 ms, 5 frames/s"
    assert rows["raw echo"] == "rx1 16.8 Mbit, rx2 16.8 Mbit, rx3 16.8 Mbit a frame"
    assert rows["target uav1"] == "uav, from 0 s without end, begins at (25, 30, 18) m with 8 m/s"


def test_a_scene_without_targets_describes_their_source(monkeypatch):
    monkeypatch.delenv("ISAC_CAR_TRAJECTORY", raising=False)
    assert dict(describe(load_scene("street")))["targets"].endswith("targets/<name>/odom")


def test_static_path_suppression_is_shown():
    yard = load_scene("yard")
    shown = {
        (kind, slowest): dict(
            describe(
                replace(
                    yard,
                    sensing=replace(yard.sensing, static_paths=kind, min_speed_mps=slowest),
                )
            )
        )["static paths"]
        for kind in ("keep", "project", "learn")
        for slowest in (0.0, 1.0)
    }
    assert shown["project", 1.0] == "project" and shown["learn", 0.0] == "learn"
    assert "hides targets" in shown["keep", 1.0] and "min_speed_mps is 1" in shown["learn", 1.0]
    assert "static paths" not in dict(describe(load_scene("campus")))


def test_bands_stations_and_links_of_a_network_are_shown():
    clock = (
        "    clock: {timing_offset_s: -5.0e-8, frequency_offset_hz: 40, frequency_drift_hzps: 3}\n"
    )
    scene = network(
        ("  - name: west\n", "  - name: west\n    role: macro\n    operator: north\n" + clock),
        (
            "    position_m: [63, 32, 12]\n",
            "    position_m: [63, 32, 12]\n    odometry: van\n"
            "    residual_self_interference_db: -90\n",
        ),
        extra=RADAR + TARGETS,
    )
    labels = [label for label, _ in describe(scene)]
    rows = dict(describe(scene))
    assert not any(label.startswith(("transmitter", "receiver", "waveform")) for label in labels)
    # 3 that transmit and 4 that receive on the high band; west to itself and east on the low one.
    assert rows["links"] == "active-passive: 14 (12 on high, 2 on low), 4 of them monostatic"
    assert "24 GHz, 32 subcarriers of 120 kHz x 16 symbols, 16-QAM" in rows["band high"]
    assert rows["station west"] == (
        "macro, at (-3, 30, 10) m; operator north; clock -50 ns +0 ns/s, +40 Hz +3 Hz/s"
    )
    assert "follows odometry 'van', begins at (63, 32, 12) m" in rows["station east"]
    assert "residual self-interference -90 dB" in rows["station east"]
    assert "moves from 0 s for 4.0 s with up to 5 m/s, begins at (5, 5, 2) m" in rows["station car"]
    assert "uav of -13 dBsm" in rows["target bird"]
    arrays = [value for label, value in describe(scene) if label == "  on high"]
    assert [text.split(",")[0] for text in arrays] == [
        "transmits and receives",
        "transmits and receives",
        "receives",
        "transmits and receives",
    ]
    # 30 dBm over 32 subcarriers, 90 dB down: -75.05 dBm, beside -90 dBm.
    assert "noise -74.9 dBm" in arrays[1]
    assert "noise -90.0 dBm" in arrays[0]
    frames = [value for label, value in describe(scene) if label == "  frames"]
    assert [text.split(", ")[1] for text in frames] == ["10 frames/s", "5 frames/s"]
    speeds = [value for label, value in describe(scene) if label == "  resolution"]
    assert speeds[0].endswith("of which moving stations take 6.4 m/s")
    assert "moving" not in speeds[1]


def test_reference_symbols_are_shown_with_their_share():
    text = scene_path("cell_free_table1").read_text()

    def row(keys):
        changed = text.replace("  carrier_hz:", keys + "  carrier_hz:", 1)
        return dict(describe(parse_scene(changed, Path("x.yaml"))))["signals"]

    comb = row("  reference_subcarrier_stride: 2\n  reference_symbol_stride: 4\n")
    assert comb == "data, comb: reference symbols on 0.125 of the elements; receivers use payload"

    # 6 + 12 of the 168 elements of a resource block and slot, in 18 slots and the first 4 symbols
    # of another one, by 21 blocks and the first 4 subcarriers of another one.
    mapped = row("  signals: [data, csi_rs, dmrs]\n  reference_beams: antennas\n")
    share = 64 * (18 * 2 + 1) / 256**2 + 128 * (18 * 2 + 1) / 256**2
    assert mapped == (
        f"data, csi_rs, dmrs: reference symbols on {share:.3g} of the elements "
        "(reference_beams: antennas); receivers use payload"
    )


@pytest.mark.parametrize(
    ("symbols", "snr"), [("reference_only", ", -6.0 dB of SNR"), ("payload", ", -1.2 dB of SNR")]
)
def test_code_words_are_shown_with_their_share_of_the_power(symbols, snr):
    text = scene_path("cell_free_table1").read_text()
    keys = "  signals: [data, code]\n  code_power_share: 0.25\n  carrier_hz:"
    changed = text.replace("  carrier_hz:", keys, 1).replace("payload", symbols)
    row = dict(describe(parse_scene(changed, Path("x.yaml"))))["signals"]
    assert row == (
        f"code words beside data with 0.25 of the power{snr} (reference_beams: random); receivers "
        f"use {symbols}"
    )
    whole = dict(describe(parse_scene(changed.replace(symbols, "all"), Path("x.yaml"))))["signals"]
    assert "SNR" not in whole

    alone = text.replace("  carrier_hz:", "  signals: [code]\n  carrier_hz:", 1)
    alone = alone.replace("payload", "reference_only")
    row = dict(describe(parse_scene(alone, Path("x.yaml"))))["signals"]
    assert row.startswith("code: reference symbols on all elements")


def test_reference_symbols_of_a_band_are_shown():
    scene = network(("    num_subcarriers", "    signals: [data, csi_rs]\n    num_subcarriers"))
    assert dict(describe(scene))["  signals"].startswith("data, csi_rs: reference symbols on 0.")


def test_a_signal_of_data_alone_has_no_row():
    assert "signals" not in dict(describe(load_scene("cell_free_table1")))
