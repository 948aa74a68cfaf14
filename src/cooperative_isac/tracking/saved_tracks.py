"""Established tracks as plain values, from which another process can continue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cooperative_isac.scene.model import TargetClass
from cooperative_isac.tracking.track import ESTABLISHED, Track, TrackStatus


def saved_tracks(tracks: Sequence[Track]) -> list[dict]:
    """Established tracks as values that JSON stores without loss.

    Tentative ones are left out: with one or two detections, they start again in less time than a
    restart takes.
    """
    return [
        {
            "track_id": track.track_id,
            "status": track.status.value,
            "target_class": track.target_class.value,
            "class_probability": track.class_probability,
            "position_m": np.asarray(track.position_m).tolist(),
            "velocity_mps": np.asarray(track.velocity_mps).tolist(),
            "covariance": np.asarray(track.covariance).tolist(),
            "age_s": track.age_s,
            "since_update_s": track.since_update_s,
            "num_detections": track.num_detections,
        }
        for track in tracks
        if track.status in ESTABLISHED
    ]


def loaded_tracks(saved: Sequence[dict]) -> tuple[Track, ...]:
    """Inverse of `saved_tracks`.

    Raises ValueError where the values are no tracks, or a track is invalid.
    """
    try:
        tracks = tuple(_track(item) for item in saved)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not saved tracks: {error!r}") from None
    return tracks


def loaded_scores(saved: Mapping) -> dict[int, float]:
    """Scores of tracks of weak detections, by identity, of which JSON makes texts.

    Raises ValueError where the values are no scores.
    """
    try:
        scores = {int(identity): float(score) for identity, score in saved.items()}
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not saved scores: {error!r}") from None
    if not all(math.isfinite(score) for score in scores.values()):
        raise ValueError("a saved score is not finite")
    return scores


def _track(item: dict) -> Track:
    """One validated track."""
    position_m = np.array(item["position_m"], float).reshape(3)
    velocity_mps = np.array(item["velocity_mps"], float).reshape(3)
    covariance = np.array(item["covariance"], float).reshape(6, 6)

    # States from which no filter can continue.
    finite = np.isfinite(position_m).all() and np.isfinite(velocity_mps).all()
    if not finite or not np.isfinite(covariance).all():
        raise ValueError(f"saved track {item['track_id']} is not finite")
    if np.linalg.eigvalsh(covariance).min() <= 0:
        raise ValueError(
            f"the covariance of saved track {item['track_id']} is not positive definite"
        )

    return Track(
        track_id=int(item["track_id"]),
        status=TrackStatus(item["status"]),
        target_class=TargetClass(item["target_class"]),
        class_probability=float(item["class_probability"]),
        position_m=position_m,
        velocity_mps=velocity_mps,
        covariance=covariance,
        age_s=float(item["age_s"]),
        since_update_s=float(item["since_update_s"]),
        num_detections=int(item["num_detections"]),
    )
