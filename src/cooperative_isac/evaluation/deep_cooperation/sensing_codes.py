"""Sensing and communication on shared elements by code words, or on elements each (DC III-D).

A receiver at another station estimates a target's path. It knows the sensing symbols and the static
line of sight; the data is unknown. Code words share all resource elements with the data; the
divisions in time and frequency take elements from it. All have the same energy for sensing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.constants import c as LIGHT_SPEED_MPS

from cooperative_isac.estimation import (
    ChannelMatrix,
    channel_matrix,
    estimate_path,
    path_response,
)
from cooperative_isac.evaluation.deep_cooperation.bistatic import path_bounds, path_errors
from cooperative_isac.evaluation.deep_cooperation.draws import (
    complex_noise,
    random_phase,
    symbol_duration_s,
)
from cooperative_isac.evaluation.deep_cooperation.experiment import Errors, Experiment, Quantity
from cooperative_isac.waveform.codes import despread, golay_pair, spread, walsh_codes
from cooperative_isac.waveform.qam import constellation

# Frame of 15.4 MHz around 24 GHz.
CARRIER_HZ = 24e9
SPACING_HZ = 120e3
SYMBOL_S = symbol_duration_s(SPACING_HZ)
NUM_SUBCARRIERS = 128
NUM_SYMBOLS = 64

# SNR of a resource element at the receiver, linear: of the echo, whose path shows even at the
# smallest share, and of the line of sight, from which QPSK is decided without a code.
ECHO_SNR = 10**-0.8
SIGHT_SNR = 10**1.5
SIGHT_S = 0.2e-6

# Shares of sensing, dB: one part in 32, 16, 8, 4 and 2 of power, words or elements.
SHARES_DB = (-15.0, -12.0, -9.0, -6.0, -3.0)
# Number of parts of the table.
TABLE_PARTS = 8

# Delays and path speeds of a run, and the windows of the search, which leave room for errors on
# both sides.
DELAYS_S = (0.4e-6, 1.6e-6)
MAX_SPEED_MPS = 40.0
SEARCH_DELAYS_S = (0.0, 2e-6)
SEARCH_SPEED_MPS = 100.0
# Longest window of speeds over the unambiguous span of a grid: an image at the edge is not in it.
SPAN_SHARE = 0.98
# Path speeds over which the bound of Walsh words is averaged, whose gain depends on them.
BOUND_SPEEDS_MPS = np.linspace(-MAX_SPEED_MPS, MAX_SPEED_MPS, 81)

NOISE = "code word, data is noise"
CANCELLED = "code word, data decided and cancelled"
BOTH = "code word and decided data"
WORDS = "one of n Walsh words"
TIME = "block of symbols"
FREQUENCY = "block of subcarriers"
COMB = "every n-th subcarrier"
# One more division, of the table alone: its bounds are those of the comb.
REGULAR = "every n-th symbol"


@dataclass(frozen=True)
class Reception:
    """What turns transmitted symbols into received ones.

    sight: [num_subcarriers, num_symbols], complex128, channel of the line of sight
    echo: [num_subcarriers, num_symbols], complex128, channel of the target's path
    noise: [num_subcarriers, num_symbols], complex128, of unit variance
    """

    sight: np.ndarray
    echo: np.ndarray
    noise: np.ndarray

    def of(self, symbols: np.ndarray) -> np.ndarray:
        """Received samples, [num_subcarriers, num_symbols], complex128.

        symbols: [num_subcarriers, num_symbols], complex128, transmitted
        """
        return (self.sight + self.echo) * symbols + self.noise


def sensing_codes() -> Experiment:
    """Path of a target and rate of the data over the share of sensing."""
    return Experiment(
        name="sensing_codes",
        title="DC III-D: sensing beside data by code words, in time and in frequency",
        axis="share 1/n of sensing in power, words or elements (dB)",
        values=SHARES_DB,
        quantities={
            "path_m": Quantity("RMSE of path length (m)"),
            "path_speed_mps": Quantity("RMSE of path speed (m/s)"),
            "rate": Quantity("rate of the data (bit/s/Hz)", "mean", logarithmic=False),
        },
        trial=_trial,
        bounds=_bounds,
    )


def _trial(share_db: float, generator: np.random.Generator) -> Errors:
    """Errors of one run: all ways have the same paths, noise and power."""
    # Line of sight and path of the target.
    delay_s = generator.uniform(*DELAYS_S)
    path_speed_mps = generator.uniform(-MAX_SPEED_MPS, MAX_SPEED_MPS)
    sight = np.sqrt(SIGHT_SNR) * random_phase(generator) * path_response(_grid(), SIGHT_S, 0.0)
    response = path_response(_grid(), delay_s, path_speed_mps)
    echo = np.sqrt(ECHO_SNR) * random_phase(generator) * response
    reception = Reception(sight, echo, complex_noise(generator, echo.shape))

    # Channels that each way estimates of the target's path.
    num_parts = _parts_of(share_db)
    data = generator.choice(constellation(4), size=echo.shape)
    channels = superposed(reception, data, num_parts)
    channels[WORDS] = despread_word(reception, data, num_parts)
    for way, mask in _masks(num_parts).items():
        channels[way] = _divided(reception, mask)

    errors = {}
    rates = _rates(num_parts)
    for way, channel in channels.items():
        path = estimate_path([channel], SEARCH_DELAYS_S, _speed_window_mps(channel))
        errors[way] = {**path_errors(path, delay_s, path_speed_mps), "rate": rates[way]}
    return errors


def superposed(reception: Reception, data: np.ndarray, num_parts: int) -> dict[str, ChannelMatrix]:
    """Channels from a code word over the whole frame with data of its own on every element.

    reception: of the frame
    data: [num_subcarriers, num_symbols], complex, QPSK
    num_parts: the word has one part of the power
    """
    share = 1 / num_parts
    word = np.sqrt(share) * _code_word()
    received = reception.of(word + np.sqrt(1 - share) * data)

    # The known symbols over the line of sight are subtracted, the data stays.
    without_word = received - reception.sight * word

    # QPSK decisions over the line of sight, for which the echo is noise.
    equalized = without_word / reception.sight
    decided = (np.sign(equalized.real) + 1j * np.sign(equalized.imag)) / np.sqrt(2)
    decided_data = np.sqrt(1 - share) * decided
    cancelled = without_word - reception.sight * decided_data

    # Correlation with the symbols that each way knows.
    known = {
        NOISE: (without_word, word),
        CANCELLED: (cancelled, word),
        BOTH: (cancelled, word + decided_data),
    }
    return {
        way: replace(_grid(), values=samples * symbols.conj())
        for way, (samples, symbols) in known.items()
    }


def despread_word(reception: Reception, data: np.ndarray, num_parts: int) -> ChannelMatrix:
    """Channel from one Walsh word over symbols, with data on the orthogonal others.

    reception: of the frame
    data: [num_subcarriers, num_symbols], complex, QPSK, of which one part is replaced by sensing
    num_parts: words of equal power
    """
    # Sensing on the first word, a data symbol on each of the others, period by period.
    words = walsh_codes(num_parts)
    periods = data.reshape(NUM_SUBCARRIERS, -1, num_parts)
    streams = np.moveaxis(periods, -1, 0).copy()
    streams[0] = 1.0
    symbols = spread(streams, words).reshape(data.shape) / np.sqrt(num_parts)

    # Despreading: the data of the static line of sight vanishes, that of the echo nearly so.
    received = reception.of(symbols)
    chips = received.reshape(NUM_SUBCARRIERS, -1, num_parts)
    on_word = np.sqrt(num_parts) * despread(chips, words[:1])[0]

    # The word itself over the line of sight.
    sight = reception.sight.reshape(chips.shape).mean(axis=-1)
    return replace(_periods(num_parts), values=on_word - sight)


def _divided(reception: Reception, mask: np.ndarray) -> ChannelMatrix:
    """Channel from sensing symbols alone on a share of the elements."""
    received = reception.of(np.ones(mask.shape))
    values = np.where(mask, received - reception.sight, 0)
    return replace(_grid(), values=values, mask=mask)


def _bounds(share_db: float) -> Errors:
    """Root bounds, with unknown data as white Gaussian noise."""
    # All elements, at the SNR that the data leaves of the word.
    num_parts = _parts_of(share_db)
    bounds = {}
    for way, snr in _word_snrs(num_parts).items():
        bounds[way] = path_bounds([_grid()], [snr])
    bounds[WORDS] = _words_bound(num_parts)

    # A share of the elements, at the full SNR.
    for way, mask in _masks(num_parts).items():
        bounds[way] = path_bounds([replace(_grid(), mask=mask)], [ECHO_SNR])
    return bounds


def _word_snrs(num_parts: int) -> dict[str, float]:
    """SNR of the echo on one element after correlation with the known symbols, linear.

    num_parts: the word has one part of the power
    """
    share = 1 / num_parts
    data_over_echo = (1 - share) * ECHO_SNR
    data_over_sight = (1 - share) * SIGHT_SNR
    return {
        NOISE: share * ECHO_SNR / (1 + data_over_sight + data_over_echo),
        CANCELLED: share * ECHO_SNR / (1 + data_over_echo),
        BOTH: ECHO_SNR,
    }


def _words_bound(num_parts: int) -> dict[str, float]:
    """Root bounds after despreading of Walsh words, root mean square over the speeds of a run.

    Despreading loses what a Doppler shift turns within a period; the data that it leaks is small
    beside the noise and left out.
    """
    factor = np.sqrt(_despreading_loss(num_parts))
    bound = path_bounds([_periods(num_parts)], [ECHO_SNR])
    return {quantity: float(factor * value) for quantity, value in bound.items()}


def _rates(num_parts: int) -> dict[str, float]:
    """Rate of the data over the line of sight, bit/s/Hz, by Shannon's formula.

    The receiver of the data knows the sensing symbols and subtracts them.
    """
    share = 1 / num_parts
    beside_word = float(np.log2(1 + (1 - share) * SIGHT_SNR))
    on_others = float((1 - share) * np.log2(1 + SIGHT_SNR))
    rates = dict.fromkeys((NOISE, CANCELLED, BOTH), beside_word)
    rates.update(dict.fromkeys((WORDS, TIME, FREQUENCY, COMB), on_others))
    return rates


@dataclass(frozen=True)
class WayFigures:
    """What a way of sharing gives and costs at one share.

    rate: of the data, bit/s/Hz
    rate_lost: beside a frame of data alone, bit/s/Hz
    snr_lost_db: of the sensing symbols by unknown data and by despreading, dB
    resolution_m: of path lengths, one over the occupied band, m
    resolution_mps: of path speeds, one over the occupied time, m/s
    span_m: unambiguous path length, m
    span_mps: unambiguous span of path speeds, m/s
    """

    rate: float
    rate_lost: float
    snr_lost_db: float
    resolution_m: float
    resolution_mps: float
    span_m: float
    span_mps: float


def way_figures(num_parts: int = TABLE_PARTS) -> Mapping[str, WayFigures]:
    """Rates, losses of SNR, resolutions and unambiguous spans of all ways.

    num_parts: sensing has one part of them
    """
    # Extent in subcarriers and symbols, and steps from one sensing element to the next: Walsh words
    # sample the Doppler shift once a period, as regular symbols do.
    extents = {TIME: (NUM_SUBCARRIERS, NUM_SYMBOLS // num_parts)}
    extents[FREQUENCY] = (NUM_SUBCARRIERS // num_parts, NUM_SYMBOLS)
    steps = {COMB: (num_parts, 1), REGULAR: (1, num_parts), WORDS: (1, num_parts)}

    rates = _rates(num_parts)
    rates[REGULAR] = rates[TIME]
    of_data_alone = float(np.log2(1 + SIGHT_SNR))
    losses_db = _losses_db(num_parts)
    figures = {}
    for way, rate in rates.items():
        num_subcarriers, num_symbols = extents.get(way, (NUM_SUBCARRIERS, NUM_SYMBOLS))
        subcarrier_step, symbol_step = steps.get(way, (1, 1))
        figures[way] = WayFigures(
            rate=rate,
            rate_lost=of_data_alone - rate,
            snr_lost_db=losses_db.get(way, 0.0),
            resolution_m=LIGHT_SPEED_MPS / (num_subcarriers * SPACING_HZ),
            resolution_mps=LIGHT_SPEED_MPS / (CARRIER_HZ * num_symbols * SYMBOL_S),
            span_m=LIGHT_SPEED_MPS / (subcarrier_step * SPACING_HZ),
            span_mps=LIGHT_SPEED_MPS / (CARRIER_HZ * symbol_step * SYMBOL_S),
        )
    return figures


def _losses_db(num_parts: int) -> dict[str, float]:
    """Loss of SNR of the sensing symbols, dB, by way; those of the divisions have none."""
    # The SNR of the word without any data over that beside the data.
    losses_db = {}
    snrs = _word_snrs(num_parts)
    for way in (NOISE, CANCELLED):
        ratio = ECHO_SNR / num_parts / snrs[way]
        losses_db[way] = float(10 * np.log10(ratio))

    # Walsh words lose what the Doppler shift turns within a period.
    losses_db[WORDS] = float(10 * np.log10(_despreading_loss(num_parts)))
    return losses_db


def _despreading_loss(num_parts: int) -> float:
    """Factor by which despreading of Walsh words raises variances, mean over a run's speeds."""
    # Power gain of the mean over the chips of a period; a variance is inverse to it.
    doppler_hz = CARRIER_HZ * BOUND_SPEEDS_MPS / LIGHT_SPEED_MPS
    turns = np.multiply.outer(doppler_hz, SYMBOL_S * np.arange(num_parts))
    gains = np.abs(np.exp(2j * np.pi * turns).mean(axis=1)) ** 2
    return float(np.mean(1 / gains))


def _masks(num_parts: int) -> dict[str, np.ndarray]:
    """Sensing elements of the divisions, [num_subcarriers, num_symbols], bool, by way."""
    empty = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), bool)
    masks = {way: empty.copy() for way in (TIME, FREQUENCY, COMB)}
    masks[TIME][:, : NUM_SYMBOLS // num_parts] = True
    masks[FREQUENCY][: NUM_SUBCARRIERS // num_parts] = True
    masks[COMB][::num_parts] = True
    return masks


def _parts_of(share_db: float) -> int:
    """Number of parts of which sensing has one."""
    return round(10 ** (-share_db / 10))


@cache
def _code_word() -> np.ndarray:
    """Code word over the whole frame: [num_subcarriers, num_symbols], float64, entries +1, -1."""
    chips = golay_pair(NUM_SUBCARRIERS * NUM_SYMBOLS)[0]
    return chips.reshape(NUM_SUBCARRIERS, NUM_SYMBOLS)


def _speed_window_mps(channel: ChannelMatrix) -> tuple[float, float]:
    """Window of the search for path speeds, within the unambiguous span of the symbols."""
    step_s = float(channel.time_s[1] - channel.time_s[0])
    span_mps = LIGHT_SPEED_MPS / (CARRIER_HZ * step_s)
    limit_mps = min(SEARCH_SPEED_MPS, SPAN_SHARE * span_mps / 2)
    return -limit_mps, limit_mps


def _periods(num_parts: int) -> ChannelMatrix:
    """Resource elements after despreading: one symbol a period of the words, at its middle."""
    grid = _grid()
    middles_s = grid.time_s.reshape(-1, num_parts).mean(axis=1)
    shape = (NUM_SUBCARRIERS, len(middles_s))
    return replace(
        grid, values=np.zeros(shape, complex), time_s=middles_s, mask=np.ones(shape, bool)
    )


def _grid() -> ChannelMatrix:
    zeros = np.zeros((NUM_SUBCARRIERS, NUM_SYMBOLS), complex)
    return channel_matrix(zeros, CARRIER_HZ, SPACING_HZ, SYMBOL_S, 1.0)
