"""`isac evaluate`: results file, tables and error messages."""

import json
import math
from dataclasses import asdict, fields

import numpy as np
import pytest

from cooperative_isac.evaluation.command import PowerResult, evaluate, results_dict, scene_power_dbm
from cooperative_isac.evaluation.figures import BoundFigures, SchemeFigures
from cooperative_isac.evaluation.tables import QualityRow, show_quality
from cooperative_isac.metrics.requirements import SensingQuality, sensing_quality
from cooperative_isac.output.console import make_console

SCHEME_KEYS = {
    "rmse_location_m",
    "median_location_m",
    "rmse_velocity_mps",
    "median_velocity_mps",
    "detection_rate",
    "false_alarms_per_frame",
    "fronthaul_bits",
    "fronthaul_downlink_bits",
    "encode_ms",
    "decode_ms",
    "quality",
}
QUALITY_KEYS = {
    "num_samples",
    "horizontal_95_m",
    "vertical_95_m",
    "horizontal_95_mps",
    "vertical_95_mps",
    "missed_share",
    "false_share",
    "latency_99_ms",
    "refresh_s",
    "has_few_samples",
    "sensing_category",
    "exceeded",
    "not_compared",
}
BOUND_KEYS = {
    "root_mean_location_m",
    "median_location_m",
    "root_mean_velocity_mps",
    "median_velocity_mps",
}


@pytest.fixture(scope="module")
def results(small, tmp_path_factory):
    """Content of the results file for a few frames at two powers."""
    path = tmp_path_factory.mktemp("evaluation") / "results.json"
    evaluate(small, ["local_ml", "local_ml"], 12, 3, [30.0, 40.0], path)
    return json.loads(path.read_text())


def test_the_file_holds_schemes_and_bounds_by_power(results):
    assert set(results["schemes"]) == {"local_ml"} and set(results["crlb"]) == {"30", "40"}
    assert all(set(figures) == SCHEME_KEYS for figures in results["schemes"]["local_ml"].values())
    assert all(set(figures) == BOUND_KEYS for figures in results["crlb"].values())
    settings = {key: results[key] for key in ("scene", "frames", "seed", "simulated")}
    assert settings == {"scene": "small", "frames": 12, "seed": 3, "simulated": True}


def test_ten_decibels_are_a_factor_of_ten_in_the_bound(results):
    for key in BOUND_KEYS:
        low, high = (results["crlb"][power][key] ** 2 for power in ("30", "40"))
        assert low == pytest.approx(10 * high, rel=0.01)


def test_errors_are_near_the_bound_and_rates_rise_with_power(results):
    found = results["schemes"]["local_ml"]["40"]
    bound = results["crlb"]["40"]
    assert found["detection_rate"] > 0.7 and found["false_alarms_per_frame"] < 0.5
    assert 0.4 < found["median_location_m"] / bound["median_location_m"] < 1.5
    assert 0.3 < found["median_velocity_mps"] / bound["median_velocity_mps"] < 1.8
    quality = found["quality"]
    assert set(quality) == QUALITY_KEYS and quality["vertical_95_m"] is None
    assert quality["missed_share"] == pytest.approx(1 - found["detection_rate"])
    assert found["median_location_m"] < quality["horizontal_95_m"] < 3
    assert 100 < found["fronthaul_bits"] < 2000 and found["fronthaul_downlink_bits"] == 73856
    assert found["encode_ms"] > 0 and found["decode_ms"] > 0
    assert 0 < results["sum_rate"]["30"] < results["sum_rate"]["40"]


def test_tables_show_errors_over_the_bound_and_bits(small, capsys):
    evaluate(small, ["local_ml"], 2, 0, None, None)
    output = capsys.readouterr().out
    assert "small: 2 simulated frames, seed 0" in output
    for words in (
        "root CRLB",
        "over bound",
        "false",
        "bits down",
        "73,856",
        "sum rate",
        "TS 22.137, local_ml at 40 dBm: ",
        " samples, too few: 59 are needed at a confidence of 95%, so evaluate more frames",
        "not compared: vertical errors (not estimated: known height), latency, refresh, resolution",
    ):
        assert words in " ".join(output.split())
    assert [line.split()[:2] for line in output.splitlines() if line.split()[:1] == ["40"]] == [
        ["40", "root"],
        ["40", "local_ml"],
        ["40", "local_ml"],
    ]


def test_missing_figures_and_infinite_bounds_are_null(small):
    no_errors = np.zeros((0, 2))
    quality = sensing_quality(no_errors, no_errors, num_found=0, num_targets=2, num_estimates=0)
    nothing = SchemeFigures(*[float("nan")] * 4, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, quality)
    result = PowerResult(-3.5, {"deaf": nothing}, BoundFigures(float("inf"), 2.0, 3.0, 4.0), 5.0)
    written = results_dict(small, [result], 1, 2)
    assert written["schemes"]["deaf"]["-3.5"]["rmse_location_m"] is None
    assert written["schemes"]["deaf"]["-3.5"]["decode_ms"] == 4.0
    found = written["schemes"]["deaf"]["-3.5"]["quality"]
    assert (found["missed_share"], found["false_share"], found["sensing_category"]) == (
        1,
        None,
        None,
    )
    assert written["crlb"]["-3.5"]["root_mean_location_m"] is None
    json.dumps(written, allow_nan=False)


def test_a_failing_scheme_is_a_one_line_error(small, install_scheme, capsys):
    text = (
        "from cooperative_isac.schemes import contract\n"
        "class Scheme(contract.Scheme):\n"
        "    def __init__(self, scene, name):\n"
        "        raise ValueError('no voice')\n"
        "    def at(self, station):\n"
        "        return contract.Encoder()\n"
        "    def center(self):\n"
        "        return contract.Decoder()\n"
        "    def downlink_bits(self, frame):\n"
        "        return 0\n"
    )
    install_scheme("mute", text)
    with pytest.raises(SystemExit) as ended:
        evaluate(small, ["mute"], 2, 0, None, None)
    assert ended.value.code == 1
    assert (
        "error: scheme 'mute' cannot be made for scene 'small': no voice\n"
        in capsys.readouterr().err
    )


def test_a_file_that_cannot_be_written_is_refused_first(small, tmp_path, capsys):
    path = tmp_path / "missing" / "results.json"
    with pytest.raises(SystemExit):
        evaluate(small, ["local_ml"], 10**6, 0, None, path)
    assert (
        capsys.readouterr().err == f"error: cannot write {path}: there is no folder {path.parent}\n"
    )


def test_the_power_of_the_scene_is_in_dbm(small, tilted):
    assert (scene_power_dbm(small), scene_power_dbm(tilted)) == (40.0, 33.0)


def test_figures_have_the_names_of_the_file():
    assert {field.name for field in fields(SchemeFigures)} == SCHEME_KEYS
    assert set(asdict(BoundFigures(0, 0, 0, 0))) == BOUND_KEYS


def test_a_scheme_that_finds_nothing_has_no_needs_of_a_category(capsys):
    nothing = SensingQuality(0, math.nan, None, math.nan, None, 1.0, math.nan)
    show_quality([QualityRow("40", "local_ml", nothing)], "detections", make_console())
    output = " ".join(capsys.readouterr().out.split())
    assert "local_ml at 40 dBm: no category, as nothing was found; 0 samples, too few" in output
    assert "needs" not in output
