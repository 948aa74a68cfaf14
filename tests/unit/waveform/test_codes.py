"""Spreading codes: orthogonality, complementary autocorrelation, leakage by Doppler."""

import numpy as np
import pytest

from cooperative_isac.waveform.codes import (
    complete_complementary_codes,
    despread,
    golay_pair,
    leakage_db,
    spread,
    walsh_codes,
)


def test_golay_pair_has_no_side_lobe():
    first, second = golay_pair(32)
    total = np.correlate(first, first, "full") + np.correlate(second, second, "full")
    expected = np.zeros(63)
    expected[31] = 64
    assert total == pytest.approx(expected)


def test_complementary_sets_do_not_correlate_at_any_shift():
    sets = complete_complementary_codes(16)
    cross = sum(np.correlate(sets[0, i], sets[1, i], "full") for i in range(2))
    assert cross == pytest.approx(np.zeros(31))
    own = sum(np.correlate(sets[1, i], sets[1, i], "full") for i in range(2))
    assert np.abs(own).argmax() == 15
    assert np.delete(own, 15) == pytest.approx(np.zeros(30))


def test_streams_come_back():
    rng = np.random.default_rng(1)
    symbols = rng.normal(size=(4, 10)) + 1j * rng.normal(size=(4, 10))
    codes = walsh_codes(4)
    assert despread(spread(symbols, codes), codes) == pytest.approx(symbols)


def test_leakage_grows_with_doppler():
    codes = walsh_codes(8)
    assert leakage_db(codes, 0.0) < -200
    slow = leakage_db(codes, 1e-4)
    fast = leakage_db(codes, 1e-3)
    # The first order in the Doppler shift: 20 dB a decade.
    assert fast - slow == pytest.approx(20, abs=0.5)


def test_lengths_that_are_no_power_of_two_are_refused():
    for make in (walsh_codes, golay_pair):
        with pytest.raises(ValueError, match="power of two"):
            make(6)
