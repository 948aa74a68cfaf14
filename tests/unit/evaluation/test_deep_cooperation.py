"""Figures of the deep-cooperation paper, with few runs."""

import csv
import io
import json

import numpy as np
import pytest
from rich.console import Console
from unit.evaluation.figure_runs import measured

from cooperative_isac.evaluation.deep_cooperation import beamforming, bs_ue_zones, macro_micro
from cooperative_isac.evaluation.deep_cooperation.command import (
    EXPERIMENTS,
    FIGURES,
    TABLES,
    make_figures,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import (
    Experiment,
    Quantity,
    run_point,
    summarize,
)
from cooperative_isac.evaluation.deep_cooperation.fragments import highest_sidelobes_db
from cooperative_isac.evaluation.deep_cooperation.holes import mask_figures
from cooperative_isac.evaluation.deep_cooperation.reference_9 import SNRS_DB, element_snr
from cooperative_isac.evaluation.deep_cooperation.runner import measure
from cooperative_isac.evaluation.deep_cooperation.stations import location_information
from cooperative_isac.evaluation.figures_app import DC_FIGURES


def noise_trial(value, generator):
    return {"curve": {"error": value * generator.normal()}}


def noise_bounds(value):
    return {"curve": {"error": value}}


def noise_theory(value):
    return {"curve": {"error": 1.5 * value}}


NOISE = Experiment(
    "noise",
    "Noise",
    "deviation",
    (1.0, 2.0),
    {"error": Quantity("error")},
    noise_trial,
    noise_bounds,
    noise_theory,
)


def test_figures_of_the_command_and_of_the_experiments_are_the_same():
    assert tuple(FIGURES) == DC_FIGURES
    assert {name for names in FIGURES.values() for name in names} == set(EXPERIMENTS)


# Estimators that meet their bound at the last place of the axis. A nested array with uncorrelated
# sources of high power does not: the sources' own sample covariance limits it.
AT_THE_BOUND = ("5", "5_budget", "6ab", "6cd")


@pytest.mark.parametrize("name", AT_THE_BOUND)
def test_every_curve_reaches_its_bound_at_high_snr(name):
    experiment = EXPERIMENTS[name]()
    place = len(experiment.values) - 1
    result = summarize(experiment, place, run_point(experiment, place, range(12), seed=3))
    for curve, quantities in result.average.items():
        for quantity, average in quantities.items():
            if quantity == "outlier":
                assert average == 0
            else:
                assert 0.4 < average / result.bound[curve][quantity] < 1.7, (curve, quantity)


def test_stations_of_reference_9_gain_the_root_of_two_above_the_threshold():
    # Its -5 dB are -26 dB of a resource element, and 19 dB after the whole transform.
    assert SNRS_DB[-1] == -5
    assert element_snr(-5) * 128 * 256 == pytest.approx(10 ** (-0.5) * 256)
    result = measured("reference_9", len(SNRS_DB) - 1, 30)
    for quantity, cell in (("range_m", 1.61), ("velocity_mps", 1.97)):
        # Bounds of a single station: root of 6 over the compressed SNR, in cells.
        one = result.bound["one BS"][quantity]
        assert one == pytest.approx(cell / np.pi * np.sqrt(1.5 / (10**-0.5 * 256)), rel=0.01)
        four = result.bound["four BSs, symbol level"][quantity]
        assert one / four == pytest.approx(np.sqrt(2), rel=0.02)

        # Measured: at the bounds; bins of a cell have an error of its 12th root.
        average = {curve: values[quantity] for curve, values in result.average.items()}
        assert 0.7 < average["one BS"] / one < 1.35
        assert 0.7 < average["four BSs, symbol level"] / four < 1.35
        assert 0.7 < average["four BSs, data level"] / four < 1.35
        bins = average["one BS, on bins of the transform"]
        assert bins == pytest.approx(cell / np.sqrt(12), rel=0.3)


def test_beams_with_a_null_find_the_target_beside_strong_interference():
    result = measured("beamforming", 4, 20)
    for curve in (beamforming.NULL, beamforming.MVDR):
        average = result.average[curve]
        assert average["found"] == 1
        assert 0.6 < average["range_m"] / result.bound[curve]["range_m"] < 1.4

        # The null costs little of the bound without interference.
        clean = result.bound[beamforming.CLEAN]["range_m"]
        assert 1 < result.bound[curve]["range_m"] / clean < 1.1
    assert result.average[beamforming.MATCHED]["found"] < 0.5
    assert result.average[beamforming.ONE]["found"] < 0.5


def test_pieces_of_spectrum_gain_range_and_raise_side_lobes():
    result = measured("fragments", 7, 20)
    errors = [average["range_m"] for average in result.average.values()]
    bounds = [bound["range_m"] for bound in result.bound.values()]
    assert bounds[0] > 3 * bounds[1]
    assert bounds[0] > 3 * bounds[2]
    assert 0.6 < errors[0] / bounds[0] < 1.5
    assert 0.6 < errors[2] / bounds[2] < 1.5

    # The nearest repetition of two pieces is hardly lower than the main lobe.
    one_db, two_db, four_db = highest_sidelobes_db().values()
    assert one_db == pytest.approx(-13.3, abs=0.2)
    assert one_db < four_db < two_db < 0


def test_observation_time_separates_velocities():
    # At 2 m/s two targets are within one resolution cell of 1.1 ms, and 1.5 cells of 4.6 ms.
    result = measured("velocity_resolution", 2, 20)
    shares = [average["separated"] for average in result.average.values()]
    assert shares[0] < 0.9
    assert shares[2] >= 0.9


def test_sparse_array_lies_between_both_uniform_arrays():
    result = measured("sparse_arrays", 2)
    errors = [average["direction_deg"] for average in result.average.values()]
    assert errors[0] > errors[1] > errors[2]


def test_sparse_recovery_finds_what_zero_filling_hides():
    result = measured("reference_signals", 4, 10)
    found = {method: average["weak_found"] for method, average in result.average.items()}
    assert found["zero filling"] < 0.3
    assert min(found["OMP"], found["FISTA"], found["Newtonized OMP"]) >= 0.9
    assert result.average["Newtonized OMP"]["false_paths"] < 0.3


def test_union_of_signals_has_lower_side_lobes_than_each_alone():
    found = mask_figures()
    alone = [found[name] for name in ("SSB", "PRS, comb 4", "DMRS", "CSI-RS")]
    together = found["union with SSB"]
    assert together.peak_db < min(figures.peak_db for figures in alone) - 3
    assert together.integrated_db < min(figures.integrated_db for figures in alone)
    assert found["union"].peak_db < min(figures.peak_db for figures in alone) - 3

    # Side lobe of a rectangular window, and spans of every second and every fourth subcarrier.
    assert found["all elements"].peak_db == pytest.approx(-13.3, abs=0.1)
    assert (found["DMRS"].delay_cells, found["CSI-RS"].delay_cells) == (126, 63)
    assert (together.delay_cells, together.doppler_cells) == (252, 28)


def test_side_lobes_are_a_table_of_the_command():
    assert TABLES.keys() <= EXPERIMENTS.keys()
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(TABLES["reference_signals"]())
    rows = [line.split() for line in console.export_text().splitlines()]
    assert ["DMRS", "7.1%", "0.0", "12.2", "126", "6"] in rows


def test_offsets_from_a_stronger_line_of_sight_cost_a_tenth():
    result = measured("synchronization", 3, 60)
    synchronous = result.average["synchronous"]["path_m"]
    assert result.average["offset from the line of sight"]["path_m"] < 1.15 * synchronous
    assert result.average["no line of sight: both directions"]["path_m"] < synchronous
    assert result.average["no line of sight: active observation"]["path_m"] < 1.7 * synchronous

    # Offsets of up to a hundred delay cells: every way is at a bound of its own.
    for way, bound in result.bound.items():
        for quantity in ("path_m", "path_speed_mps"):
            ratio = result.average[way][quantity] / bound[quantity]
            assert ratio == pytest.approx(1, abs=0.25), (way, quantity)


def test_compensated_migration_gains_where_the_fixed_cell_ends():
    result = measured("observation_time", 3, 8)
    found = {method: average["found"] for method, average in result.average.items()}
    assert found["coherent, migration compensated"] >= 0.85
    assert found["coherent, cell fixed"] <= 0.5


def test_theory_of_the_observation_time_is_that_of_many_draws():
    experiment = EXPERIMENTS["observation_time"]()
    rng = np.random.default_rng(1)
    for milliseconds, num_symbols in ((20.48, 512), (40.96, 1024)):
        # The highest of exponential powers by its distribution, and a target of -34 dB a sample.
        num_cells = 32 * num_symbols
        highest = -np.log(1 - rng.random(4000) ** (1 / (num_cells - 1)))
        noise = (rng.normal(size=4000) + 1j * rng.normal(size=4000)) / np.sqrt(2)
        target = np.abs(np.sqrt(10**-3.4 * num_cells) + noise) ** 2
        theory = experiment.theory(milliseconds)["coherent, migration compensated"]["found"]
        assert theory == pytest.approx(np.mean(target > highest), abs=0.03)


def test_symbols_of_their_own_turn_interference_into_noise():
    result = measured("interference", 4, 40)
    coded = "coded: symbols of their own"
    ratio = result.average[coded]["range_m"] / result.bound[coded]["range_m"]
    assert ratio == pytest.approx(1, abs=0.3)
    assert result.average["suffered: the same reference signal"]["range_m"] > 10


def test_symbol_level_holds_a_target_that_leaves_the_micro_cells():
    within = measured("macro_micro", 0, 10)
    outside = measured("macro_micro", 3, 10)
    micro = "micro BSs, symbol level"
    both = "macro and micro, symbol level"
    assert within.average["macro BS"]["location_m"] > 5 * within.average[both]["location_m"]
    assert outside.average[micro]["location_m"] > 5 * outside.average[both]["location_m"]
    for result in (within, outside):
        ratio = result.average[both]["location_m"] / result.bound[both]["location_m"]
        assert ratio == pytest.approx(1, abs=0.4)


def test_bound_of_the_macro_station_is_that_of_its_range_and_angle():
    # Signals of N subcarriers, M symbols and A antennas: two sums of squares in closed form.
    grid = macro_micro.LOW
    link = macro_micro.links_of_stations()[0]
    range_m = 90.0
    found = location_information(link, 0.3, np.array([range_m, 0.0]))
    num_elements = grid.num_subcarriers * grid.num_symbols * macro_micro.MACRO_ANTENNAS
    slope_m = 4 * np.pi * grid.spacing_hz / 299_792_458
    of_range = 0.3 * num_elements * slope_m**2 * (grid.num_subcarriers**2 - 1) / 6
    of_angle = 0.3 * num_elements * np.pi**2 * (macro_micro.MACRO_ANTENNAS**2 - 1) / 6
    assert found == pytest.approx(np.diag([of_range, of_angle / range_m**2]), rel=1e-3, abs=1e-6)


def test_one_track_leads_from_the_micro_cells_to_the_macro_station():
    result = measured("macro_micro_track", 3, 1)
    assert result.average["macro and micro, data level"]["one_track"] == 1
    assert result.average["macro and micro, symbol level"]["one_track"] == 1
    assert result.average["micro BSs, symbol level"]["one_track"] == 0


def test_zones_choose_the_way_that_still_works():
    near = measured("bs_ue_zones", 0, 4).average
    far = measured("bs_ue_zones", 7, 4).average
    together = bs_ue_zones.TOGETHER
    among_ues = bs_ue_zones.AMONG_UES
    assert near[bs_ue_zones.CHOSEN] == near[together]
    assert near[together]["location_m"] < near[among_ues]["location_m"] / 3
    assert far[bs_ue_zones.CHOSEN] == far[among_ues]
    assert far[among_ues]["location_m"] < 1 < far[together]["location_m"]


def test_covariance_carries_the_uncertain_positions_of_ues():
    average = measured("bs_ue_zones", 5, 12).average
    assert average[bs_ue_zones.CHOSEN]["consistent"] >= 0.85
    assert average[bs_ue_zones.EXACT]["consistent"] < 0.6


def test_bound_of_ues_with_hardly_known_positions_is_their_own(monkeypatch):
    # Four independent positions, and nothing else counts: sqrt(2 / 4) deviations in the plane.
    monkeypatch.setattr(bs_ue_zones, "POSITION_STD_M", 50.0)
    bound = EXPERIMENTS["bs_ue_zones"]().bounds(100.0)[bs_ue_zones.AMONG_UES]["location_m"]
    assert bound == pytest.approx(50 / np.sqrt(2), rel=0.02)


def test_both_bands_see_the_same_echoes_as_each():
    experiment = EXPERIMENTS["5"]()
    runs = run_point(experiment, 11, range(10), seed=4)
    high = np.array([run["24 GHz, 120 kHz"]["range_m"] for run in runs])
    both = np.array([run["both bands"]["range_m"] for run in runs])
    # The low band adds three percent to the range's information.
    assert np.corrcoef(high, both)[0, 1] > 0.95


def test_theory_of_two_bands_leaves_the_bound_at_the_threshold():
    experiment = EXPERIMENTS["5"]()
    for place, snr_db in enumerate(experiment.values):
        theory = experiment.theory(snr_db)["both bands"]["range_m"]
        bound = experiment.bounds(snr_db)["both bands"]["range_m"]
        if snr_db >= -23:
            assert 1 - 1e-9 < theory / bound < 1.05, place
        if snr_db <= -25:
            assert theory / bound > 2, place


def test_threshold_of_both_bands_is_below_that_of_each():
    # SNR at which the theory has an outlier in one of 100 runs.
    experiment = EXPERIMENTS["5"]()
    snrs_db = np.array([-28.0, -26.0, -24.0, -22.0])
    results = [experiment.theory(snr_db) for snr_db in snrs_db]
    thresholds_db = {}
    for curve in results[0]:
        logarithms = [-np.log(result[curve]["outlier"]) for result in results]
        thresholds_db[curve] = np.interp(-np.log(0.01), logarithms, snrs_db)
    both_db = thresholds_db.pop("both bands")
    assert min(thresholds_db.values()) - both_db > 1.5

    # Outliers of runs, of which the theory expects 17, 8 and 1.4.
    runs = run_point(experiment, experiment.values.index(-26.0), range(100), seed=6)
    counts = [sum(run[curve]["outlier"] for run in runs) for curve in runs[0]]
    assert 7 <= counts[0] <= 28
    assert 2 <= counts[1] <= 16
    assert counts[2] <= 5


def test_stopped_figure_goes_on_and_stays_the_same(tmp_path):
    calls = []
    first = measure(NOISE, 40, 7, tmp_path, lambda: calls.append(1))
    assert len(calls) == 4

    # Damage one batch and cut another: only these are measured again.
    path = tmp_path / "noise_seed7.json"
    content = json.loads(path.read_text())
    del content["batches"]["1/20"]
    path.write_text(json.dumps(content))
    again = measure(NOISE, 40, 7, tmp_path)
    assert again == first
    assert again[1].average["curve"]["error"] == pytest.approx(2, rel=0.4)


def test_processes_do_not_change_the_runs(tmp_path):
    # Enough batches that processes are started.
    several = measure(NOISE, 80, 7, tmp_path / "several")
    alone = [
        summarize(NOISE, place, run_point(NOISE, place, range(80), 7))
        for place in range(len(NOISE.values))
    ]
    assert several == alone


def test_damaged_runs_are_measured_again(tmp_path):
    first = measure(NOISE, 20, 7, tmp_path)
    (tmp_path / "noise_seed7.json").write_text("{")
    assert measure(NOISE, 20, 7, tmp_path) == first


def test_picture_and_table_are_written(tmp_path, monkeypatch):
    import cooperative_isac.evaluation.deep_cooperation.command as command

    monkeypatch.setattr(command, "EXPERIMENTS", {"5": lambda: NOISE})
    monkeypatch.setattr(command, "FIGURES", {"5a": ("5",), "5b": ("5",), "6a": ("6",)})
    make_figures(("5a", "5b"), 20, 1, tmp_path)
    assert (tmp_path / "dc_fignoise.png").stat().st_size > 10_000
    with (tmp_path / "dc_fignoise.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["root_crlb"] for row in rows] == ["1.0", "2.0"]
    assert [row["theory"] for row in rows] == ["1.5", "3.0"]


def test_unknown_figure_is_refused(tmp_path):
    for choice in (("7",), ("5a", "7"), ("all", "7")):
        with pytest.raises(ValueError, match="--fig 7: figures are 5a, 5b"):
            make_figures(choice, 20, 1, tmp_path)
