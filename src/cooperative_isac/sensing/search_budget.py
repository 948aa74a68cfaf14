"""Budgets of local maximum likelihood: limits of the computation of one frame, by kind of scene."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchBudget:
    """Limits of the computation of one frame.

    max_peaks: peaks of the likelihood surface that are fitted in one search
    follow_matches: matches before the packet is sent
    search_matches: matches of the search after it
    search_every: frames from one search to the next; receivers take turns
    searches_first: search before the packet is sent, in frames without a predicted path
    follow_steps: steps of Fisher scoring from the prediction
    follow_tolerance: gain of log-likelihood that is not worth another of these steps
    """

    max_peaks: int
    follow_matches: int
    search_matches: int
    search_every: int
    searches_first: bool
    follow_steps: int = 4
    follow_tolerance: float = 3.0


# Points in empty space.
POINT_BUDGET = SearchBudget(
    max_peaks=24, follow_matches=10, search_matches=16, search_every=2, searches_first=False
)

# Points, while a receiver begins to use further links: the fit goes on in the next frames.
STARTUP_BUDGET = SearchBudget(
    max_peaks=24, follow_matches=8, search_matches=8, search_every=2, searches_first=False
)

# Points among static paths, where slow paths converge late.
SUPPRESSED_BUDGET = SearchBudget(
    max_peaks=48, follow_matches=16, search_matches=24, search_every=1, searches_first=True
)

# Bodies, which have many points. No search before the first packet: a fit within its budget is off
# by the size of a body, and would start a track there.
BODY_BUDGET = SearchBudget(
    max_peaks=48, follow_matches=16, search_matches=24, search_every=1, searches_first=False
)

# Stations that receive each other and themselves, at a high SNR: errors of scoring that ends early
# would exceed the covariances with which the reports of several bands are combined.
NETWORK_BUDGET = SearchBudget(
    max_peaks=24,
    follow_matches=30,
    search_matches=40,
    search_every=2,
    searches_first=False,
    follow_steps=8,
    follow_tolerance=1.0,
)
