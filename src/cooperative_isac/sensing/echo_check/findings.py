"""Findings of the self-test, and the assessment that they make up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OK = "ok"
WRONG = "wrong"
UNDECIDED = "undecided"


@dataclass(frozen=True)
class Check:
    """One finding.

    name: of the check
    verdict: OK, WRONG or UNDECIDED
    text: finding in words, for a radio engineer
    """

    name: str
    verdict: str
    text: str


@dataclass(frozen=True)
class EchoAssessment:
    """Assessment of the echoes of one receiver; None stands for a quantity that is not measured.

    receiver: name of the station
    num_frames: number of echoes
    checks: one for each convention and power
    delay_offset_s: delay of the line of sight beyond its delay in the scene, s
    line_of_sight_db: [num_transmitters], float64, energy in a frame over noise, dB; -inf: no path
    noise_power_w: measured noise per antenna and resource element, W
    static_to_noise_db: all static paths over noise, per resource element and antenna, dB
    """

    receiver: str
    num_frames: int
    checks: tuple[Check, ...]
    delay_offset_s: float | None = None
    line_of_sight_db: np.ndarray | None = None
    noise_power_w: float | None = None
    static_to_noise_db: float | None = None

    @property
    def verdict(self) -> str:
        """The worst of all checks; UNDECIDED only where none of them is OK."""
        verdicts = [check.verdict for check in self.checks]
        if WRONG in verdicts:
            return WRONG
        return OK if OK in verdicts else UNDECIDED

    def check(self, name: str) -> Check:
        """The check of that name.

        Raises KeyError where it was not made.
        """
        return {check.name: check for check in self.checks}[name]


def dbm(power_w: float) -> str:
    """A power in words, dBm."""
    return f"{10 * np.log10(power_w * 1e3):.1f} dBm"
