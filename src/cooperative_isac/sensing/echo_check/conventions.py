"""Checks of orders and signs: samples, subcarriers, symbols, elements at both ends, delay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cooperative_isac.sensing.echo_check.findings import OK, UNDECIDED, WRONG, Check
from cooperative_isac.sensing.echo_check.hypotheses import STATIC_DEVIATIONS, Choice
from cooperative_isac.sensing.echo_check.matcher import Matcher
from cooperative_isac.sensing.echo_check.orders import ONE_WAY_MIRRORS, Order

# Text of a check without a clear line of sight, on which the check of that name reports.
UNSEEN = "cannot be checked: no clear line of sight (see there)"

# Log-likelihood by which one hypothesis must exceed another: wrong once in 3 million.
MIN_EVIDENCE = 15.0

# Power of the stated hypothesis over a rival, dB: element errors of 10 degrees cost 0.13 dB.
MIN_MARGIN_DB = 0.2

# Share of the power beside the line of sight that may fall on a rival's replica by chance.
REFLECTED_SHARE = 0.1

# Checks of the order of samples: name, fault in words, and attribute of Order.
SAMPLE_CHECKS = (
    ("samples", "samples are conjugated (re - j im)", "conjugated"),
    ("subcarriers", "subcarriers are {}", "subcarriers_name"),
    ("symbols", "symbols are {}", "symbols_name"),
)


def check_conventions(matcher: Matcher, orders: Sequence[Order], choice: Choice) -> list[Check]:
    """One check for each convention of orders and signs.

    matcher: replicas of the line of sight
    orders: hypotheses of the order of samples
    choice: the most likely hypothesis
    """
    # Order and conjugation of samples, subcarriers and symbols.
    sample_checks = [
        _check_samples(orders, choice, name, fault, attribute)
        for name, fault, attribute in SAMPLE_CHECKS
    ]

    # Axes 1 to 3 of the hypotheses' powers: name of the check, fault in words with {} for the
    # alternative that was found, and names of the alternatives, empty for the stated convention.
    axes = (
        (
            "transmit elements",
            "transmit elements are mirrored (phase of the wrong sign, or reverse order)",
            ["", "mirrored"],
        ),
        ("delay sign", "phase rises with delay: exp(+j 2 pi f delay)", ["", "reversed"]),
        (
            "receive elements",
            "receive elements are {}",
            [element for element, _ in matcher.elements],
        ),
    )
    axis_checks = [
        _check_axis(choice, axis, name, fault, values)
        for axis, (name, fault, values) in enumerate(axes, start=1)
    ]
    return sample_checks + axis_checks


def _check_samples(
    orders: Sequence[Order], choice: Choice, name: str, fault: str, attribute: str
) -> Check:
    """Check of one respect of the order of samples.

    name: of the check
    fault: in words, with {} for the order that was found
    attribute: of Order, which is compared
    """
    # Rivals differ from the chosen order in this respect only.
    chosen = orders[choice.index[0]]
    others = {other for _, _, other in SAMPLE_CHECKS} - {attribute}
    rivals = [
        index
        for index, order in enumerate(orders)
        if all(getattr(order, other) == getattr(chosen, other) for other in others)
    ]

    # Verdict by the line of sight, or by all static paths where it is not visible.
    values = [getattr(orders[index], attribute) for index in rivals]
    found = getattr(chosen, attribute)
    if choice.static is not None:
        return _static_verdict(choice, name, values, choice.static[rivals], found, fault)
    power = np.array([choice.power[(index, *choice.index[1:])] for index in rivals])
    return _verdict(choice, name, values, power, found, fault)


def _check_axis(choice: Choice, axis: int, name: str, fault: str, values: Sequence[str]) -> Check:
    """Check of transmit elements, sign of the delay, or receive elements.

    axis: of the hypotheses' powers
    name: of the check
    fault: in words, with {} for the value that was found
    values: names along the axis, empty for the stated convention
    """
    power = np.array(
        [
            choice.power[(*choice.index[:axis], value, *choice.index[axis + 1 :])]
            for value in range(len(values))
        ]
    )
    return _verdict(choice, name, values, power, values[choice.index[axis]], fault)


def _verdict(
    choice: Choice, name: str, values: Sequence, power: np.ndarray, found, fault: str
) -> Check:
    """Check of one convention by the line of sight.

    values: names of the alternatives, empty or False for the stated one
    power: [num_values], log-likelihood gain of each
    found: name of the most likely one
    fault: in words, with {} for a name
    """
    if not choice.visible:
        return Check(name, UNDECIDED, UNSEEN)
    if len(values) < 2:
        return Check(name, OK, "there is only one way")

    # Margins over the stated convention, or over all others where that is the most likely.
    rivals = _rivals(values, found)
    margins_db = {index: 10 * np.log10(choice.best / max(power[index], 1.0)) for index in rivals}
    if found:
        text = f"{fault.format(found)}; the line of sight is {margins_db[rivals[0]]:.0f} dB "
        return Check(name, WRONG, text + "stronger so")

    # Rivals that these sites and reflections leave as likely as the stated convention.
    reflected = REFLECTED_SHARE * choice.best * (1 / choice.share - 1)
    needed = max(MIN_EVIDENCE, reflected)
    twins = [
        index
        for index in rivals
        if choice.best - power[index] < needed or margins_db[index] < MIN_MARGIN_DB
    ]
    apart_db = [margins_db[index] for index in rivals if index not in twins]
    same = " or ".join(fault.format(values[index]) if "{}" in fault else fault for index in twins)
    grave = [index for index in twins if values[index] not in ONE_WAY_MIRRORS]
    if grave or not apart_db:
        text = f"cannot be checked: at these sites it looks the same if {same}"
        return Check(name, UNDECIDED, text)

    digits = 0 if min(apart_db) >= 10 else 1
    text = f"as stated; every other way is at least {min(apart_db):.{digits}f} dB weaker"
    if twins:
        text += f", but it looks the same if {same}"
    return Check(name, OK, text)


def _static_verdict(
    choice: Choice, name: str, values: Sequence, energy: np.ndarray, found, fault: str
) -> Check:
    """Check of an order of samples by all static paths, where none of them is known.

    values: names of the alternatives, empty or False for the stated one
    energy: [num_values], static energy over noise of each
    found: name of the most likely one
    fault: in words, with {} for a name
    """
    # Energies of the best order and of its strongest rival. A rival counts for no less than noise:
    # half of STATIC_DEVIATIONS, with the root of the energy as its standard deviation.
    assert choice.static is not None
    best = choice.static.max()
    rival = max(float(energy[index]) for index in _rivals(values, found))
    noise = STATIC_DEVIATIONS / 2 * np.sqrt(best)
    margin_db = 10 * np.log10(best / max(rival, noise, 1.0))

    # Static paths must be twice as strong as in any other order.
    if best < 2 * max(rival, 1.0):
        return Check(name, UNDECIDED, UNSEEN)
    if found:
        text = f"{fault.format(found)}; static paths are at least {margin_db:.0f} dB stronger so"
        return Check(name, WRONG, text)
    text = f"as stated, by reflections: every other way is at least {margin_db:.0f} dB weaker"
    return Check(name, OK, text)


def _rivals(values: Sequence, found) -> list[int]:
    """Indices to compare with: the stated convention, or all others where it was found."""
    return [
        index for index, value in enumerate(values) if value != found and (not found or not value)
    ]
