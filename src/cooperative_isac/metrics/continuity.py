"""How continuously a target is tracked, and under how many names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cooperative_isac.metrics.assignment import match_within


def sensing_continuity(errors_m: np.ndarray, threshold_m: float) -> float:
    """Fraction of consecutive instants in which the error is below a threshold (DC II-B); nan without.

    errors_m: [n], float64, m; inf where nothing tracked the target.
    """
    return float(np.mean(errors_m < threshold_m)) if len(errors_m) else float("nan")


def match_tracks(distances_m: np.ndarray, names: Sequence[str], track_ids: Sequence[int],
                 previous: Mapping[str, int], threshold_m: float) -> dict[str, int]:
    """Track of each tracked target (CLEAR MOT: Bernardin and Stiefelhagen 2008).

    distances_m: [num_targets, num_tracks], float64, m; rows as names, columns as track_ids. A target keeps
    its previous track while that is within the threshold; the rest are matched at the least sum of distances.
    """
    matches = {name: previous[name] for row, name in enumerate(names) if previous.get(name) in track_ids
               and distances_m[row, track_ids.index(previous[name])] < threshold_m}
    rows = [row for row, name in enumerate(names) if name not in matches]
    columns = [column for column, track_id in enumerate(track_ids) if track_id not in matches.values()]
    for row, column in match_within(distances_m[np.ix_(rows, columns)], threshold_m):
        matches[names[rows[row]]] = track_ids[columns[column]]
    return matches


def identity_switches(track_ids: Sequence[int | None]) -> int:
    """How often the track of one target became another one; None where it had none, which is no switch."""
    known = [track_id for track_id in track_ids if track_id is not None]
    return sum(before != after for before, after in zip(known, known[1:]))


def count_false_tracks(matched: Mapping[int, Sequence[bool]]) -> int:
    """Tracks that were matched to a target for less than half of their established life.

    matched: for each track, whether it was matched in each frame in which it was confirmed or coasting.
    """
    return sum(2 * sum(frames) < len(frames) for frames in matched.values())
