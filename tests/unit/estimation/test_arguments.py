"""Contract of all public estimators: a faulty argument is refused by its name, with a remedy."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from channel_draws import channel, empty_grid, snapshots
from faulty_arguments import fault_cases

from cooperative_isac import estimation

POSITIONS = estimation.nested_positions(2, 2)
SOURCES = np.array([-0.2, 0.1])
UNIFORM = np.arange(6)
SNAPSHOTS = snapshots(np.random.default_rng(1), SOURCES, UNIFORM, np.ones(2), 40)
COVARIANCE = estimation.sample_covariance(SNAPSHOTS)
SPARSE_COVARIANCE = estimation.sample_covariance(SNAPSHOTS[POSITIONS])
GRID = empty_grid(8, 6, 24e9, 120e3, 8.92e-6)
MATRIX = channel(np.random.default_rng(2), GRID, [(3.0, 1e-6, 10.0)])
CELLS = estimation.DelayDopplerGrid(GRID.mask, 16, 12)
CHANNELS = np.stack([MATRIX.values, 2 * MATRIX.values])
SEARCH = {"delay_window_s": (0.0, 2e-6), "speed_window_mps": (-60.0, 60.0)}
ARRAY = {"frequencies": SOURCES, "positions": UNIFORM.astype(float)}
POWERS = {"powers": np.ones(2), "noise_power": 1.0, "num_snapshots": 40}
WIDE = {"subcarrier_spacing_hz": 120e3, "symbol_s": 8.92e-6}

# Valid arguments of every function and class that takes some.
TWO_PATHS = {
    "matrix": MATRIX,
    "amplitudes": np.ones(2),
    "delays_s": np.array([0.5e-6, 1e-6]),
    "path_speeds_mps": np.array([10.0, 10.0]),
}
VALID = {
    "ChannelMatrix": dict(vars(MATRIX)),
    "DelayDopplerGrid": {"mask": GRID.mask, "num_delays": 8, "num_dopplers": 6},
    "accumulate_coherently": {"channels": CHANNELS, "phases": np.zeros(2)},
    "accumulate_noncoherently": {"maps": CHANNELS},
    "ambiguity": {"mask": GRID.mask, "oversampling": 2},
    "augmented_covariance": {"covariance": SPARSE_COVARIANCE, "positions": POSITIONS},
    "channel_matrix": {
        "values": MATRIX.values,
        "carrier_hz": 24e9,
        "noise_power": 1.0,
        "mask": GRID.mask,
        **WIDE,
    },
    "coarray_music_mse": {"frequencies": SOURCES, "positions": POSITIONS, **POWERS},
    "coarray_weights": {"positions": POSITIONS},
    "coprime_positions": {"first": 2, "second": 3},
    "debiased": {"values": MATRIX.values, "grid": CELLS, "cells": np.ones((16, 12), complex)},
    "delay_doppler_map": {
        "values": MATRIX.values,
        "carrier_hz": 24e9,
        "subcarrier_spacing_hz": 120e3,
        "num_delays": 8,
        "num_dopplers": 6,
        "compensate_migration": False,
    },
    "delay_speed_map": {
        "matrix": MATRIX,
        "delays_s": np.zeros(3),
        "path_speeds_mps": np.zeros(2),
    },
    "detection_statistic": {
        "matrices": [MATRIX],
        "delays_s": np.zeros(3),
        "path_speeds_mps": np.zeros(2),
    },
    "deterministic_crlb": {**ARRAY, "amplitudes": np.ones((2, 5), complex), "noise_power": 1.0},
    "doppler_resolution_hz": {"observation_s": 1e-3},
    "esprit": {"covariance": COVARIANCE, "num_sources": 2, "displacement": 1},
    "estimate_path": {"matrices": [MATRIX], **SEARCH},
    "fista": {"values": MATRIX.values, "grid": CELLS, "shrinkage": 3.0, "num_iterations": 5},
    "forward_backward": {"covariance": COVARIANCE},
    "gain_after_migration": {"cells": 1.0},
    "migration_gain": {"num_subcarriers": 8, "num_symbols": 6, "path_speed_mps": 10.0, **WIDE},
    "migration_limit_s": {"bandwidth_hz": 1e6, "path_speed_mps": 10.0},
    "music": {"covariance": COVARIANCE, "num_sources": 2, "positions": UNIFORM},
    "music_mse": {**ARRAY, **POWERS},
    "music_spectrum": {
        "covariance": COVARIANCE,
        "num_sources": 2,
        "frequencies": SOURCES,
        "positions": UNIFORM,
    },
    "mvdr_weights": {"covariance": COVARIANCE, "steering": np.ones(6)},
    "nested_positions": {"num_inner": 2, "num_outer": 2},
    "newtonized_omp": {"matrices": [MATRIX], "false_alarm_rate": 0.01, "max_paths": 2, **SEARCH},
    "null_steering_weights": {
        "steering": np.ones(6),
        "interference": estimation.steering(SOURCES, UNIFORM),
    },
    "num_sources_aic": {"eigenvalues": np.arange(1.0, 7.0), "num_snapshots": 40},
    "num_sources_mdl": {"eigenvalues": np.arange(1.0, 7.0), "num_snapshots": 40},
    "omp": {"values": MATRIX.values, "grid": CELLS, "threshold": 9.0, "max_paths": 2},
    "output_sinr": {
        "weights": np.ones(6),
        "steering": np.ones(6),
        "echo_power": 1.0,
        "covariance": COVARIANCE,
    },
    "path_information": {"matrices": [MATRIX], "snrs": np.ones(1)},
    "path_response": {"matrix": MATRIX, "delay_s": 1e-6, "path_speed_mps": 10.0},
    "peak_threshold": {"num_cells": 100, "false_alarm_rate": 0.01, "noise_power": 1.0},
    "phases_of_path": {"parts": [MATRIX], "delay_s": 1e-6, "path_speed_mps": 10.0},
    "product_snr": {"snr": 1.0},
    "refine_path": {"matrices": [MATRIX], "start": np.array([1e-6, 10.0])},
    "relative_phases": {"channels": CHANNELS},
    "reorganize": {"matrices": [MATRIX]},
    "root_music": {"covariance": COVARIANCE, "num_sources": 2},
    "sample_covariance": {"snapshots": SNAPSHOTS},
    "second_path_energy": {**TWO_PATHS, **SEARCH},
    "second_path_probability": {"false_alarm_rate": 0.01, **TWO_PATHS, **SEARCH},
    "sidelobes": {"mask": GRID.mask, "oversampling": 2},
    "smoothed_covariance": {"covariance": SPARSE_COVARIANCE, "positions": POSITIONS},
    "spatially_smoothed": {"snapshots": SNAPSHOTS, "size": 4},
    "splice": {"parts": [MATRIX], "phases": np.zeros(1)},
    "splicing_gain_db": {"num_parts": 2},
    "steering": ARRAY,
    "stochastic_crlb": {**ARRAY, **POWERS},
    "threshold_error": {
        "matrices": [MATRIX],
        "snrs": np.ones(1),
        "delay_s": 1e-6,
        "path_speed_mps": 10.0,
        **SEARCH,
    },
    "two_path_bound": TWO_PATHS,
    "unambiguous_delay_cells": {"mask": GRID.mask},
    "unambiguous_doppler_cells": {"mask": GRID.mask},
    "uniform_lags": {"positions": POSITIONS},
    "virtual_snapshot": {"covariance": SPARSE_COVARIANCE, "positions": POSITIONS},
}

# Classes of results, which have no arguments of users.
RESULTS = {"PathEstimate", "Sidelobes", "ThresholdError"}


# The SNR of a product may have any shape, and ESPRIT chooses a displacement by itself.
ALLOWED = {("product_snr", "snr", "an array"), ("esprit", "displacement", "nothing")}

FAULTS = fault_cases(VALID, ALLOWED)


def call(function, arguments):
    return getattr(estimation, function)(**arguments)


def test_the_contract_covers_every_public_name():
    assert set(VALID) | RESULTS == set(estimation.__all__)
    for function, arguments in VALID.items():
        parameters = set(inspect.signature(getattr(estimation, function)).parameters)
        assert set(arguments) >= parameters - {"search", "migrates"}


@pytest.mark.parametrize("function", VALID)
def test_valid_arguments_give_a_finite_result(function):
    result = call(function, VALID[function])
    if isinstance(result, np.ndarray | float | int):
        assert np.all(np.isfinite(result))


@pytest.mark.parametrize(("function", "argument", "fault"), FAULTS)
def test_a_faulty_argument_is_refused_by_its_name(function, argument, fault):
    with pytest.raises(ValueError, match=argument) as refusal:
        call(function, VALID[function] | {argument: fault})
    assert ": " in str(refusal.value)


@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        ("nested_positions", {"num_inner": -1}, "num_inner is -1: pass a whole number of at least"),
        ("nested_positions", {"num_inner": 3.5}, "num_inner is 3.5: pass a whole number"),
        ("coprime_positions", {"first": 5, "second": 2}, "pass the smaller one first"),
        ("uniform_lags", {"positions": POSITIONS / 2}, "positions have the entry .*whole numbers"),
        ("virtual_snapshot", {"covariance": COVARIANCE}, r"covariance .*by positions it is \(4, 4"),
        ("num_sources_mdl", {"num_snapshots": 0}, "num_snapshots is 0: .*at least 1"),
        ("num_sources_aic", {"num_snapshots": -5}, "num_snapshots is -5: .*at least 1"),
        ("num_sources_aic", {"eigenvalues": np.ones(3) + 1j}, "complex: .*eigvalsh"),
        ("music", {"covariance": SNAPSHOTS}, r"\(6, 40\): pass .*sample_covariance"),
        ("music", {"covariance": SNAPSHOTS[:, :6]}, "not Hermitian"),
        ("music", {"covariance": 0 * COVARIANCE}, "covariance is zero"),
        ("music", {"positions": np.arange(5)}, "positions .*by the covariance"),
        ("sample_covariance", {"snapshots": SNAPSHOTS[:, :0]}, r"snapshots is empty"),
        ("spatially_smoothed", {"size": 7}, "size is 7, but the array has 6 sensors"),
        ("mvdr_weights", {"covariance": np.ones((6, 6))}, "covariance has no inverse: .*loading"),
        ("mvdr_weights", {"steering": np.zeros(6)}, "steering is zero"),
        ("null_steering_weights", {"interference": np.ones(6)}, r"interference\[:, None\]"),
        ("null_steering_weights", {"interference": np.ones((6, 2))}, "each direction once"),
        ("null_steering_weights", {"steering": np.ones(5)}, "steering .*by interference"),
        ("output_sinr", {"echo_power": -1.0}, "echo_power is -1: pass zero or more"),
        ("output_sinr", {"weights": np.zeros(6)}, "weights leave no interference"),
        ("product_snr", {"snr": -1.0}, "snr has the entry -1"),
        ("stochastic_crlb", {"powers": np.ones(3)}, "powers .*by frequencies"),
        ("music_mse", {"frequencies": np.zeros(2)}, "frequencies has one twice"),
        ("music_mse", {"positions": np.arange(2.0)}, "pass more sensors than sources"),
        ("coarray_music_mse", {"positions": np.arange(2)}, "positions have 3 lags"),
        ("ChannelMatrix", {"noise_power": 0.0}, "noise_power is 0: .*1.0 for a simulation"),
        ("ChannelMatrix", {"time_s": np.arange(5.0)}, "values .*by frequency_hz and time_s"),
        ("channel_matrix", {"symbol_s": 0.0}, "symbol_s is 0"),
        ("channel_matrix", {"subcarrier_spacing_hz": -1.0}, "subcarrier_spacing_hz is -1"),
        ("channel_matrix", {"mask": GRID.mask[:3]}, "mask .*by values"),
        ("channel_matrix", {"mask": ~GRID.mask}, "mask has no resource element"),
        ("path_information", {"snrs": [-1.0]}, "snrs has the entry -1"),
        ("path_information", {"snrs": [1.0, 1.0]}, "snrs .*by matrices"),
        ("threshold_error", {"delay_s": 3e-6}, "delay_s is 3e-06, outside the window"),
        ("threshold_error", {"path_speed_mps": -70.0}, "path_speed_mps is -70, outside the window"),
        ("threshold_error", {"snrs": [0.0]}, "snrs has the entry 0"),
        ("second_path_energy", {"amplitudes": np.ones(3)}, "amplitudes .*by two paths"),
        ("two_path_bound", {"amplitudes": [1.0, 0.0]}, "amplitudes has the entry 0"),
        ("two_path_bound", {"delays_s": np.full(2, 1e-6)}, "are equal, 1e-06 s and 10 m/s"),
        ("two_path_bound", {"path_speeds_mps": np.ones(4)}, "path_speeds_mps .*by two paths"),
        ("second_path_probability", {"delays_s": np.ones(1)}, "delays_s .*by two paths"),
        ("newtonized_omp", {"false_alarm_rate": 0.0}, "false_alarm_rate is 0: .*below 1"),
        ("newtonized_omp", {"false_alarm_rate": 2.0}, "false_alarm_rate is 2: .*below 1"),
        ("newtonized_omp", {"max_paths": 0}, "max_paths is 0"),
        ("peak_threshold", {"num_cells": 0}, "num_cells is 0"),
        ("estimate_path", {"delay_window_s": (1.0, 0.0)}, "delay_window_s is empty.*swap its ends"),
        ("omp", {"search": (range(100), range(6))}, "search is .*1 to 16 cells of delay"),
        ("omp", {"threshold": -1.0}, "threshold is -1"),
        ("omp", {"values": MATRIX.values.T}, "values .*by the mask of the grid"),
        ("fista", {"shrinkage": -3.0}, "shrinkage is -3"),
        ("debiased", {"cells": np.zeros((3, 3))}, "cells .*by the grid"),
        ("accumulate_coherently", {"phases": np.zeros(3)}, "phases .*by channels"),
        ("splice", {"phases": np.zeros(3)}, "phases .*by parts"),
        ("migration_limit_s", {"path_speed_mps": 0.0}, "path_speed_mps is 0: a path at rest"),
        ("delay_doppler_map", {"num_delays": 7}, "num_delays is 7: .*at least 8"),
        ("DelayDopplerGrid", {"num_delays": 7}, "num_delays x num_dopplers, 7 x 6"),
    ],
)
def test_what_makes_no_sense_is_refused(function, changes, message):
    with pytest.raises(ValueError, match=message):
        call(function, VALID[function] | changes)


@pytest.mark.parametrize("function", ["estimate_path", "newtonized_omp", "refine_path"])
@pytest.mark.parametrize(("axis", "name"), [(0, "subcarrier"), (1, "symbol")])
def test_one_subcarrier_or_symbol_is_refused(function, axis, name):
    mask = np.zeros(GRID.mask.shape, bool)
    np.moveaxis(mask, axis, 0)[3] = True
    single = replace(MATRIX, mask=mask)
    with pytest.raises(ValueError, match=f"single {name} each"):
        call(function, VALID[function] | {"matrices": [single]})
    # A band that has several determines what the other does not.
    call(function, VALID[function] | {"matrices": [single, MATRIX]})


WITH_WINDOWS = ["estimate_path", "newtonized_omp", "threshold_error", "second_path_probability"]


@pytest.mark.parametrize("function", WITH_WINDOWS)
def test_a_window_with_images_of_the_path_is_refused(function):
    arguments = VALID[function]
    with pytest.raises(ValueError, match=r"delay_window_s .* every 8\.33e-06 s"):
        call(function, arguments | {"delay_window_s": (0.0, 1e-3)})
    with pytest.raises(ValueError, match=r"speed_window_mps .* every 1\.4e\+03 m/s"):
        call(function, arguments | {"speed_window_mps": (-800.0, 800.0)})
    call(function, arguments | {"delay_window_s": (0.0, 1 / 120e3)})


def test_a_second_band_extends_the_unambiguous_window():
    # Multiples of 1 / 120 kHz and of 1 / 90 kHz first meet at 1 / 30 kHz.
    rng = np.random.default_rng(3)
    bands = [empty_grid(64, 16, 24e9, spacing_hz, 8.92e-6) for spacing_hz in (120e3, 90e3)]
    matrices = [channel(rng, band, [(1.0, 20e-6, 10.0)]) for band in bands]
    path = estimation.estimate_path(matrices, (0.0, 1 / 30e3), (-60.0, 60.0))
    assert path.delay_s == pytest.approx(20e-6, abs=20e-9)
    with pytest.raises(ValueError, match=r"every 3\.33e-05 s"):
        estimation.estimate_path(matrices, (0.0, 1.01 / 30e3), (-60.0, 60.0))


def test_parts_that_differ_by_rounding_have_the_same_elements():
    # The same elements, one bit apart, are used twice.
    off = replace(MATRIX, frequency_hz=np.nextafter(MATRIX.frequency_hz, np.inf))
    with pytest.raises(ValueError, match="same resource element"):
        estimation.splice([MATRIX, off], np.zeros(2))

    # Blocks beside each other at the same times, but for rounding.
    upper_hz = MATRIX.frequency_hz + 8 * 120e3
    upper = replace(MATRIX, frequency_hz=upper_hz, time_s=MATRIX.time_s * (1 + 1e-15) + 1e-20)
    united = estimation.splice([MATRIX, upper], np.zeros(2))
    assert united.values.shape == (16, 6)
    assert np.array_equal(united.values, np.concatenate([MATRIX.values, MATRIX.values]))

    # One symbol a part, two of them at the same time.
    first = replace(MATRIX, values=MATRIX.values[:1], frequency_hz=np.array([1e6]), mask=one_row())
    second = replace(first, frequency_hz=np.nextafter(first.frequency_hz, 0))
    with pytest.raises(ValueError, match="same resource element"):
        estimation.splice([first, second], np.zeros(2))


def one_row():
    return np.ones((1, 6), bool)


def test_lists_are_as_good_as_arrays():
    assert np.array_equal(
        estimation.root_music(COVARIANCE.tolist(), 2), estimation.root_music(COVARIANCE, 2)
    )
    assert estimation.num_sources_mdl([1.0, 1.0, 40.0], 40) == 1
