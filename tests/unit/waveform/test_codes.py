"""Spreading codes: orthogonality, complementary autocorrelation, leakage by Doppler."""

import numpy as np
import pytest
from faulty_arguments import fault_cases

from cooperative_isac.waveform.codes import (
    complete_complementary_codes,
    despread,
    golay_pair,
    leakage_db,
    spread,
    walsh_codes,
)

# Valid arguments of every function.
VALID = {
    walsh_codes: {"length": 4},
    golay_pair: {"length": 4},
    complete_complementary_codes: {"length": 4},
    spread: {"symbols": np.ones((4, 3), complex), "codes": walsh_codes(4)},
    despread: {"received": np.ones((2, 4), complex), "codes": walsh_codes(4)},
    leakage_db: {"codes": walsh_codes(4), "turns_per_chip": 0.01},
}
# Symbols and chips have any number of axes.
ALLOWED = {(spread, "symbols", "wrong shape"), (despread, "received", "wrong shape")}

FAULTS = fault_cases(VALID, ALLOWED)


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


@pytest.mark.parametrize("make", [walsh_codes, golay_pair, complete_complementary_codes])
def test_lengths_that_are_no_power_of_two_are_refused(make):
    with pytest.raises(ValueError, match="length is 6: pass a power of two"):
        make(6)
    with pytest.raises(ValueError, match=r"length is 3\.5: pass a whole number"):
        make(3.5)
    with pytest.raises(ValueError, match="length is 0: pass a whole number of at least 1"):
        make(0)


@pytest.mark.parametrize("function", VALID)
def test_valid_arguments_give_a_finite_result(function):
    assert np.all(np.isfinite(function(**VALID[function])))


@pytest.mark.parametrize(("function", "argument", "fault"), FAULTS)
def test_a_faulty_argument_is_refused_by_its_name(function, argument, fault):
    with pytest.raises(ValueError, match=argument) as refusal:
        function(**VALID[function] | {argument: fault})
    assert ": " in str(refusal.value)


@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        (spread, {"symbols": np.ones((3, 4))}, "symbols has 3 streams, but codes has 4 rows"),
        (despread, {"received": np.ones((4, 3))}, r"received .*\(4, 3\), .*last axis has 4 chips"),
        (despread, {"received": 1.0}, "received .*last axis has 4 chips"),
        (leakage_db, {"codes": np.ones((1, 4))}, "codes has a single one"),
        (leakage_db, {"codes": 2 * walsh_codes(4)}, "codes has an entry of modulus 2"),
    ],
)
def test_what_makes_no_sense_is_refused(function, changes, message):
    with pytest.raises(ValueError, match=message):
        function(**VALID[function] | changes)


def test_lists_are_as_good_as_arrays():
    codes = walsh_codes(2)
    assert np.array_equal(spread([1.0, 2.0], codes.tolist()), [3.0, -1.0])
    assert np.array_equal(despread([3.0, -1.0], codes.tolist()), [1.0, 2.0])
