"""Figures of resources of one station: spliced antennas, code words, pieces of spectrum."""

import io

import numpy as np
import pytest
from rich.console import Console
from unit.evaluation.figure_runs import measured

from cooperative_isac.evaluation.deep_cooperation import antennas, sensing_codes, shared_elements
from cooperative_isac.evaluation.deep_cooperation.command import EXPERIMENTS, TABLES

LIGHT_SPEED_MPS = 299_792_458
SPACING_HZ = 120e3
SYMBOL_S = (1 + 144 / 2048) / SPACING_HZ
METERS_PER_SECOND = LIGHT_SPEED_MPS / 24e9


def root_delay_bound_m(snr, num_subcarriers, num_symbols, spacing_hz=SPACING_HZ):
    """Root bound of a path's length on a regular grid without migration, closed form, m."""
    sum_of_squares = num_symbols * num_subcarriers * (num_subcarriers**2 - 1) / 12
    information = 2 * snr * (2 * np.pi * spacing_hz / LIGHT_SPEED_MPS) ** 2 * sum_of_squares
    return 1 / np.sqrt(information)


def root_speed_bound_mps(snr, num_subcarriers, num_symbols, step_s=SYMBOL_S):
    """Root bound of a path's speed on a regular grid without migration, closed form, m/s."""
    sum_of_squares = num_subcarriers * num_symbols * (num_symbols**2 - 1) / 12
    information = 2 * snr * (2 * np.pi * step_s / METERS_PER_SECOND) ** 2 * sum_of_squares
    return 1 / np.sqrt(information)


@pytest.mark.parametrize(
    ("name", "quantity"), [("splicing", "range_m"), ("splicing_time", "velocity_mps")]
)
def test_spliced_antennas_gain_more_than_accumulated_ones(name, quantity):
    result = measured(name, 2, 60)
    errors = {curve: average[quantity] for curve, average in result.average.items()}
    bounds = {curve: bound[quantity] for curve, bound in result.bound.items()}
    assert errors[antennas.SPLICED] < errors[antennas.ACCUMULATED] / 2.5
    for curve in (antennas.SPLICED, antennas.SPLICED_OWN, antennas.SPLICED_JOINT):
        assert errors[curve] / bounds[curve] == pytest.approx(1, abs=0.3), curve

    # Phases of the echo itself gain no more than accumulation, shared symbols do in a joint fit.
    assert bounds[antennas.SPLICED_OWN] == pytest.approx(bounds[antennas.ACCUMULATED], rel=0.01)
    assert errors[antennas.SPLICED_JOINT] < 0.7 * errors[antennas.ACCUMULATED]
    assert errors[antennas.SPLICED_SHARED] > 1.3 * errors[antennas.SPLICED_JOINT]


def test_shared_symbols_gain_with_two_antennas_only_by_a_joint_fit():
    errors = {
        curve: average["velocity_mps"]
        for curve, average in measured("splicing_time", 1, 60).average.items()
    }
    assert errors[antennas.SPLICED_JOINT] < 0.75 * errors[antennas.ACCUMULATED]
    assert errors[antennas.SPLICED_SHARED] > 2 * errors[antennas.ACCUMULATED]


def test_antennas_spliced_in_time_have_the_bound_of_one_that_senses_all_the_time():
    bounds = EXPERIMENTS["splicing_time"]().bounds(16.0)
    whole = root_speed_bound_mps(antennas.SNR, antennas.NUM_SUBCARRIERS, 16 * antennas.NUM_SYMBOLS)
    assert bounds[antennas.SPLICED]["velocity_mps"] == pytest.approx(whole / 2, rel=1e-3)


def test_bounds_of_sensing_beside_data_are_closed_forms():
    # One eighth of the power, of the elements or of the words.
    snr = 10**-0.8
    bounds = EXPERIMENTS["sensing_codes"]().bounds(-9.0)
    for way, size, word_snr, step in (
        (sensing_codes.NOISE, (128, 64), snr / 8 / (1 + 7 / 8 * (snr + 10**1.5)), (1, 1)),
        (sensing_codes.CANCELLED, (128, 64), snr / 8 / (1 + 7 / 8 * snr), (1, 1)),
        (sensing_codes.BOTH, (128, 64), snr, (1, 1)),
        (sensing_codes.TIME, (128, 8), snr, (1, 1)),
        (sensing_codes.FREQUENCY, (16, 64), snr, (1, 1)),
        (sensing_codes.COMB, (16, 64), snr, (8, 1)),
    ):
        path_m = root_delay_bound_m(word_snr, *size, step[0] * SPACING_HZ)
        path_speed_mps = root_speed_bound_mps(word_snr, *size, step[1] * SYMBOL_S)
        assert bounds[way]["path_m"] == pytest.approx(path_m, rel=1e-3), way
        assert bounds[way]["path_speed_mps"] == pytest.approx(path_speed_mps, rel=1e-3), way


def test_code_word_beside_cancelled_data_keeps_both_resolutions():
    result = measured("sensing_codes", 2, 24)
    average = result.average
    ratios = {
        way: average[way][quantity] / result.bound[way][quantity]
        for way, quantity in (
            (sensing_codes.CANCELLED, "path_m"),
            (sensing_codes.BOTH, "path_speed_mps"),
            (sensing_codes.WORDS, "path_m"),
            (sensing_codes.TIME, "path_speed_mps"),
            (sensing_codes.FREQUENCY, "path_m"),
        )
    }
    assert min(ratios.values()) > 0.6, ratios
    assert max(ratios.values()) < 1.5, ratios

    # A division loses the resolution of its own dimension.
    word = average[sensing_codes.CANCELLED]
    assert average[sensing_codes.TIME]["path_speed_mps"] > 4 * word["path_speed_mps"]
    assert average[sensing_codes.FREQUENCY]["path_m"] > 4 * word["path_m"]

    # Data over the line of sight hides the word, and the comb of eight is ambiguous.
    assert average[sensing_codes.NOISE]["path_m"] > 50
    assert average[sensing_codes.COMB]["path_m"] > 50


def test_comb_is_at_its_bound_where_its_span_holds_the_delays():
    result = measured("sensing_codes", 3, 24)
    ratio = (
        result.average[sensing_codes.COMB]["path_m"] / result.bound[sensing_codes.COMB]["path_m"]
    )
    assert ratio == pytest.approx(1, abs=0.4)


def test_ways_of_sensing_beside_data_have_their_costs_in_a_table():
    figures = sensing_codes.way_figures(8)
    word = figures[sensing_codes.CANCELLED]
    assert word.rate == pytest.approx(np.log2(1 + 7 / 8 * 10**1.5))
    assert word.rate_lost == pytest.approx(np.log2((1 + 10**1.5) / (1 + 7 / 8 * 10**1.5)))
    assert figures[sensing_codes.COMB].rate == pytest.approx(7 / 8 * np.log2(1 + 10**1.5))

    # Data as noise, in dB over the noise.
    as_noise = 10 * np.log10(1 + 7 / 8 * (10**1.5 + 10**-0.8))
    assert figures[sensing_codes.NOISE].snr_lost_db == pytest.approx(as_noise)

    # Gain of a period of eight chips for a Doppler shift: the Dirichlet kernel.
    turns = np.linspace(-40, 40, 81) / METERS_PER_SECOND * SYMBOL_S
    kernel = np.sinc(8 * turns) / np.sinc(turns)
    lost_db = 10 * np.log10(np.mean(kernel**-2))
    assert figures[sensing_codes.WORDS].snr_lost_db == pytest.approx(lost_db)

    # Resolution or span, an eighth of that of the whole grid.
    assert figures[sensing_codes.TIME].resolution_mps == pytest.approx(8 * word.resolution_mps)
    assert figures[sensing_codes.FREQUENCY].resolution_m == pytest.approx(8 * word.resolution_m)
    assert figures[sensing_codes.COMB].span_m == pytest.approx(LIGHT_SPEED_MPS / SPACING_HZ / 8)
    assert figures[sensing_codes.WORDS].span_mps == pytest.approx(METERS_PER_SECOND / SYMBOL_S / 8)

    console = Console(record=True, width=160, file=io.StringIO())
    console.print(TABLES["sensing_codes"]())
    assert "every n-th symbol" in console.export_text()


def test_decided_data_are_the_transmitted_data():
    # Received without noise: the channel from all symbols is the echo times their power.
    rng = np.random.default_rng(3)
    shape = (sensing_codes.NUM_SUBCARRIERS, sensing_codes.NUM_SYMBOLS)
    echo = np.full(shape, 0.1 + 0.2j)
    reception = sensing_codes.Reception(np.full(shape, 5.0j), echo, np.zeros(shape))
    data = rng.choice(np.array([1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j]) / np.sqrt(2), shape)
    channels = sensing_codes.superposed(reception, data, 4)
    values = channels[sensing_codes.BOTH].values
    assert values.mean() == pytest.approx(0.1 + 0.2j, rel=0.05)
    assert np.angle(values) == pytest.approx(np.angle(0.1 + 0.2j))


def test_walsh_words_reject_the_data_of_a_static_line_of_sight():
    rng = np.random.default_rng(4)
    shape = (sensing_codes.NUM_SUBCARRIERS, sensing_codes.NUM_SYMBOLS)
    by_subcarrier = np.exp(2j * np.pi * rng.random(shape[0]))
    sight = np.repeat(100 * by_subcarrier[:, None], shape[1], axis=1)
    reception = sensing_codes.Reception(sight, np.full(shape, 0.3j), np.zeros(shape))
    data = rng.choice(np.array([1.0, 1j, -1.0, -1j]), shape)
    channel = sensing_codes.despread_word(reception, data, 8)
    assert channel.values.shape == (shape[0], shape[1] // 8)
    assert channel.values == pytest.approx(0.3j)


def test_code_words_keep_the_unambiguous_range():
    result = measured("code_division", 2, 30)
    assert result.average[shared_elements.WORDS]["found"] == 1
    assert result.average[shared_elements.COMB]["found"] < 0.8

    # Targets within its span are at the comb's bound, which is that of the words.
    near = result.average[shared_elements.COMB_NEAR]
    bounds = {curve: bound["range_m"] for curve, bound in result.bound.items()}
    assert near["found"] == 1
    assert near["range_m"] / bounds[shared_elements.COMB_NEAR] == pytest.approx(1, abs=0.35)
    assert bounds[shared_elements.COMB_NEAR] == pytest.approx(
        bounds[shared_elements.WORDS], rel=0.01
    )


def test_weak_target_on_pieces_takes_sparse_recovery():
    result = measured("fragments_weak", 3, 15)
    found = {curve: average["weak_found"] for curve, average in result.average.items()}
    assert found["one piece, zero filling"] >= 0.9
    for pieces in ("two pieces", "four pieces"):
        assert found[f"{pieces}, zero filling"] < 0.2
        assert found[f"{pieces}, Newtonized OMP"] >= 0.8


def test_coprime_array_saves_antennas_only_at_low_snr():
    weak = measured("sparse_arrays", 2).average
    strong = measured("sparse_arrays", 5).average
    uniform = "uniform, 6 antennas"
    coprime = "coprime, 6 antennas"
    assert weak[coprime]["direction_deg"] < weak[uniform]["direction_deg"]
    assert strong[coprime]["direction_deg"] > 2 * strong[uniform]["direction_deg"]
