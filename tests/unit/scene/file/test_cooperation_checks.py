"""Faults of zones in scene files: each names its key and what is allowed."""

from pathlib import Path

import pytest

from cooperative_isac.scene.file.config import load_scene, parse_scene, scene_path
from cooperative_isac.scene.file.errors import SceneError
from cooperative_isac.schemes.registry import make_scheme

TEXT = scene_path("bs_ue_zones").read_text()
ZONES = "zones_m: [150, 400]"


def problems(before, after):
    """Faults of the shipped scene with a change of its text, by key."""
    assert before in TEXT
    with pytest.raises(SceneError) as error:
        parse_scene(TEXT.replace(before, after), Path("zones.yaml"))
    return {problem.key: problem.text for problem in error.value.problems}


@pytest.mark.parametrize(
    ("before", "after", "key", "text"),
    [
        ("base_station: bs", "base_station: mast", "cooperation.base_station", "no station"),
        ("base_station: bs", "base_station: ue1", "cooperation.base_station", "which moves"),
        (ZONES, "zones_m: [400, 150]", "cooperation.zones_m", "the second one the larger"),
        (ZONES, "zones_m: [150, 180]", "cooperation.overlap_m", "less than half of the width"),
        ("zone: B, ", "", "cooperation.kinds", "no band has zone: B"),
        ("kinds: [A, B, C]", "kinds: [A, B, B]", "cooperation.kinds", "lists 'B' twice"),
        ("zone: B, ", "zone: A, ", "bands[4].zone", "change its duplex, or the zone"),
        ("zone: B, ", "zone: C, ", "bands[4].zone", "where UEs may be the station that transmits"),
        ("role: ue", "role: micro", "bands[4].zone", "neither the base station nor of role ue"),
        ("active-passive  ", "active  ", "bands[4].zone", "has no link on band 'far_down'"),
        (
            "zone: B, ",
            "zone: B, frame_rate_hz: 1.0, ",
            "bands[4].frame_rate_hz",
            "so that it has the update_rate_hz (2) of the scene",
        ),
        (
            "duration_s: 1.0e-3",
            "duration_s: 0.6",
            "cooperation.radio_link.duration_s",
            "at most 0.5, the period of the frames",
        ),
        (
            "path_loss_exponent: 3.0",
            "path_loss_exponent: 0.5",
            "cooperation.radio_link.path_loss_exponent",
            "1",
        ),
    ],
)
def test_a_fault_names_its_key_and_the_remedy(before, after, key, text):
    assert text in problems(before, after)[key]


def test_a_base_station_that_moves_is_one_fault():
    assert list(problems("base_station: bs", "base_station: ue1")) == ["cooperation.base_station"]


def test_without_limits_bands_of_zones_may_be_slower():
    text = TEXT.replace(ZONES, "#").replace("zone: B, ", "zone: B, frame_rate_hz: 1.0, ")
    scene = parse_scene(text, Path("zones.yaml"))
    assert "far_down" in scene.on_air(0) and "far_down" not in scene.on_air(1)


def test_zones_need_the_key_cooperation():
    begin, end = TEXT.index("cooperation:\n"), TEXT.index("bands:\n")
    found = problems(TEXT[begin:end], "")
    assert "the scene has no cooperation" in found["bands[0].zone"]


def test_a_scheme_that_does_not_choose_links_is_refused():
    with pytest.raises(ValueError, match="does not choose links by the zones"):
        make_scheme("symbol_level", load_scene("bs_ue_zones"))


def test_the_fingerprints_of_other_scenes_do_not_change():
    text = scene_path("bs_ue").read_text()
    with_default = text.replace("links: active-passive", "cooperation:\nlinks: active-passive")
    plain = parse_scene(text, Path("bs_ue.yaml"))
    assert parse_scene(with_default, Path("bs_ue.yaml")).fingerprint == plain.fingerprint


def with_radio_link(keys):
    """Text of the shipped scene with other keys of its radio link."""
    begin = TEXT.index("  radio_link:")
    end = TEXT.index("bands:\n")
    return f"{TEXT[:begin]}  radio_link: {keys}\n\n{TEXT[end:]}"


def test_a_radio_link_is_built_of_its_keys():
    text = with_radio_link("{power_dbm: 20, carrier_hz: 3.0e9, margin_db: 3}")
    link = parse_scene(text, Path("zones.yaml")).cooperation.radio_link
    assert link.power_w == pytest.approx(0.1) and link.wavelength_m == pytest.approx(0.0999, 1e-3)
    assert link.noise_w == pytest.approx(1e-3 * 10 ** ((-173.98 + 55.56 + 7) / 10), rel=1e-3)
    assert (link.bandwidth_hz, link.duration_s, link.margin_db) == (360e3, 1e-3, 3.0)

    # The carrier of the first band, by default.
    plain = parse_scene(with_radio_link("{}"), Path("zones.yaml"))
    assert plain.cooperation.radio_link.wavelength_m == plain.on("near_down").grid.wavelength_m
    assert "reach of UEs' packets: 300 bits 451 m, 1000 bits 230 m" in plain.cooperation.summary


CLOCKS = scene_path("multi_bs_clocks").read_text()
BY_SIGHT = "synchronization: line_of_sight"


@pytest.mark.parametrize("mode", ["line_of_sight", "active_observation", "both_directions"])
def test_own_echoes_alone_have_no_clocks_to_correct(mode):
    text = CLOCKS.replace(BY_SIGHT, f"synchronization: {mode}")
    parse_scene(text, Path("clocks.yaml"))
    with pytest.raises(SceneError) as error:
        parse_scene(text.replace("links: active-passive", "links: active"), Path("clocks.yaml"))
    (problem,) = error.value.problems
    assert problem.key == "sensing.synchronization"
    assert f"is '{mode}', but stations receive their own echoes only" in problem.text
    assert "leave it out, or add links" in problem.text


@pytest.mark.parametrize("name", ["campus", "one_pair"])
def test_keys_of_stations_in_a_scene_of_one_band_are_one_fault(name):
    text = scene_path(name).read_text()
    with pytest.raises(SceneError) as error:
        parse_scene(f"{text}\nlinks: active\ncooperation: {{base_station: tx1}}\n", Path(name))
    (problem,) = error.value.problems
    assert problem.key == "links"
    assert "goes with `bands` and `stations` only; leave out links and cooperation" in problem.text
    assert "instead of transmitters, receivers, waveform" in problem.text


@pytest.mark.parametrize(
    ("before", "after", "key", "text"),
    [
        (BY_SIGHT, "candidate_bits: 5", "sensing.candidate_bits", "must be at least 300"),
        (BY_SIGHT, "candidate_bits: 8001", "sensing.candidate_bits", "must be at most 8000"),
        (
            "group_size: 4 ",
            "reference_beams: antennas ",
            "bands[0].reference_beams",
            "signals (data) has no reference signal",
        ),
    ],
)
def test_settings_without_a_use_name_their_limits(before, after, key, text):
    assert before in CLOCKS
    with pytest.raises(SceneError) as error:
        parse_scene(CLOCKS.replace(before, after), Path("clocks.yaml"))
    (problem,) = error.value.problems
    assert problem.key == key and text in problem.text


def test_a_position_that_is_hardly_known_is_refused():
    found = problems("position_std_m: 0.2", "position_std_m: 500")
    assert "must be at most 100" in found["stations[1].position_std_m"]


def test_a_scene_with_bands_and_a_waveform_names_the_key_of_one_band():
    with pytest.raises(SceneError) as error:
        parse_scene(CLOCKS + "\nwaveform: {}\n", Path("clocks.yaml"))
    (problem,) = error.value.problems
    assert problem.key == "waveform" and "leave it out beside bands" in problem.text
