"""Live tracks of a tracker in arrays: identity, times, life and class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.classify import accumulate, decide, frame_log_odds, log_odds_of
from cooperative_isac.tracking.life import Gains, Lives, advance, no_gains, unborn
from cooperative_isac.tracking.sequential_test import SequentialTest
from cooperative_isac.tracking.track import Track, TrackStatus

# Statuses by their values, which arrays of lives contain.
STATUSES = {status.value: status for status in TrackStatus}


@dataclass(frozen=True)
class LiveTracks:
    """Attributes of live tracks beside the states of their motion filters.

    track_ids: [num_tracks], int, identities
    born_s: [num_tracks], float64, s, stamp of the first detection
    updated_s: [num_tracks], float64, s, stamp of the last detection
    unobserved_s: [num_tracks], float64, s, part of the time since then in which no receiver could
        have detected the target
    num_detections: [num_tracks], int
    log_odds: [num_tracks], float64, of UAV against vehicle
    former_lives: before the present frame
    lives: after the detections of the present frame so far
    """

    track_ids: np.ndarray
    born_s: np.ndarray
    updated_s: np.ndarray
    unobserved_s: np.ndarray
    num_detections: np.ndarray
    log_odds: np.ndarray
    former_lives: Lives
    lives: Lives

    def __len__(self) -> int:
        return len(self.track_ids)

    def at(self, tracks: np.ndarray) -> LiveTracks:
        """Some of the tracks.

        tracks: indices [num], int, or a mask [num_tracks], bool
        """
        return LiveTracks(
            self.track_ids[tracks],
            self.born_s[tracks],
            self.updated_s[tracks],
            self.unobserved_s[tracks],
            self.num_detections[tracks],
            self.log_odds[tracks],
            self.former_lives.at(tracks),
            self.lives.at(tracks),
        )

    def renamed(self, names: Mapping[int, int]) -> LiveTracks:
        """The tracks with other identities, by the former ones."""
        track_ids = [names.get(number, number) for number in self.track_ids.tolist()]
        return replace(self, track_ids=np.array(track_ids, int))

    def next_frame(self, unobserved_s: float) -> LiveTracks:
        """The tracks at the beginning of another frame.

        unobserved_s: part of the time since the last frame in which no receiver could have detected
            a target, s
        """
        return replace(self, unobserved_s=self.unobserved_s + unobserved_s, former_lives=self.lives)

    def hit(
        self,
        hits: np.ndarray,
        time_s: float,
        means: np.ndarray,
        covariances: np.ndarray,
        settings: Tracking,
        dimension: int,
        evidence: Gains,
    ) -> LiveTracks:
        """The tracks after a detection of some of them.

        A second detection in the same frame does not count for confirmation, and a detection in a
        second list of a frame revokes the miss in the first.

        hits: [num_tracks], bool, True where a track has a detection
        time_s: stamp of the detections, s
        means: [num_tracks, 6], float64, SI, map: updated states
        covariances: [num_tracks, 6, 6], float64, SI
        settings: of the scene
        dimension: of the scene, 2 or 3
        evidence: of the weak ones among the detections
        """
        # Lives as if all tracks had a detection; those without one keep their lives below.
        advanced = advance(
            self.former_lives, hit=True, since_update_s=0.0, settings=settings, evidence=evidence
        )

        # Evidence of the updated states for the class of the target.
        with np.errstate(invalid="ignore"):  # states of failed filters, which the tracker drops
            added = frame_log_odds(means, covariances, settings, dimension)
        return replace(
            self,
            updated_s=np.where(hits, time_s, self.updated_s),
            unobserved_s=np.where(hits, 0.0, self.unobserved_s),
            num_detections=self.num_detections + hits,
            log_odds=np.where(hits, accumulate(self.log_odds, added), self.log_odds),
            lives=_where(hits, advanced, self.lives),
        )

    def miss(
        self,
        missed: np.ndarray,
        time_s: float,
        settings: Tracking,
        observed: bool,
        test: SequentialTest,
        lost: np.ndarray,
    ) -> LiveTracks:
        """The tracks after a frame without a detection of some of them.

        missed: [num_tracks], bool, True where a track has no detection
        time_s: stamp of the frame, s
        settings: of the scene
        observed: True where enough receivers sent packets of the frame to detect the targets
        test: of tentative tracks with weak detections
        lost: [num_tracks], bool, True where the location is uncertain by life.LOST_ERROR_M
        """
        # Lives as if no track had a detection; those with one keep their lives below.
        advanced = advance(
            self.former_lives,
            hit=False,
            since_update_s=time_s - self.updated_s,
            settings=settings,
            unobserved_s=self.unobserved_s,
            observed=observed,
            evidence=no_gains(len(self), test),
            lost=lost,
        )
        return replace(self, lives=_where(missed, advanced, self.lives))


def newborn(track_ids: np.ndarray, time_s: float) -> LiveTracks:
    """New tracks without a detection.

    track_ids: [num_tracks], int, identities
    time_s: stamp of their first frame, s
    """
    num_tracks = len(track_ids)
    return LiveTracks(
        track_ids=track_ids,
        born_s=np.full(num_tracks, time_s),
        updated_s=np.full(num_tracks, time_s),
        unobserved_s=np.zeros(num_tracks),
        num_detections=np.zeros(num_tracks, int),
        log_odds=np.zeros(num_tracks),
        former_lives=unborn(num_tracks),
        lives=unborn(num_tracks),
    )


def concatenate(first: LiveTracks, second: LiveTracks) -> LiveTracks:
    """The tracks of both, one after the other."""
    return LiveTracks(
        np.concatenate([first.track_ids, second.track_ids]),
        np.concatenate([first.born_s, second.born_s]),
        np.concatenate([first.updated_s, second.updated_s]),
        np.concatenate([first.unobserved_s, second.unobserved_s]),
        np.concatenate([first.num_detections, second.num_detections]),
        np.concatenate([first.log_odds, second.log_odds]),
        _concatenated(first.former_lives, second.former_lives),
        _concatenated(first.lives, second.lives),
    )


def restored(tracks: Sequence[Track], time_s: float, scores: Mapping[int, float]) -> LiveTracks:
    """Live tracks that continue snapshots of established tracks.

    tracks: snapshots
    time_s: their stamp, s
    scores: of those of weak detections, by identity (life.Lives)
    """
    # Lives without counters: these are established already.
    statuses = np.array([track.status.value for track in tracks], int)
    known = np.array([scores.get(track.track_id, -np.inf) for track in tracks], float)
    lives = replace(unborn(len(tracks)), statuses=statuses, scores=known)

    # Times and classes as the snapshots have them.
    ages_s = np.array([track.age_s for track in tracks], float)
    since_update_s = np.array([track.since_update_s for track in tracks], float)
    log_odds = [log_odds_of(track.target_class, track.class_probability) for track in tracks]
    live = newborn(np.array([track.track_id for track in tracks], int), time_s)
    return replace(
        live,
        born_s=time_s - ages_s,
        updated_s=time_s - since_update_s,
        num_detections=np.array([track.num_detections for track in tracks], int),
        log_odds=np.array(log_odds, float),
        former_lives=lives,
        lives=lives,
    )


def snapshots(
    tracks: LiveTracks, means: np.ndarray, covariances: np.ndarray, time_s: float
) -> list[Track]:
    """Snapshots of tracks for other components.

    tracks: live ones
    means: [num_tracks, 6], float64, SI, map; snapshots share them, so never write to them later
    covariances: [num_tracks, 6, 6], float64, SI; likewise
    time_s: stamp, s
    """
    # Lists of Python numbers: to take single entries of arrays is slow.
    track_ids = tracks.track_ids.tolist()
    statuses = tracks.lives.statuses.tolist()
    log_odds = tracks.log_odds.tolist()
    ages_s = (time_s - tracks.born_s).tolist()
    since_update_s = (time_s - tracks.updated_s).tolist()
    num_detections = tracks.num_detections.tolist()

    taken = []
    for index in range(len(tracks)):
        target_class, probability = decide(log_odds[index])
        taken.append(
            Track(
                track_id=track_ids[index],
                status=STATUSES[statuses[index]],
                target_class=target_class,
                class_probability=probability,
                position_m=means[index, :3],
                velocity_mps=means[index, 3:],
                covariance=covariances[index],
                age_s=ages_s[index],
                since_update_s=since_update_s[index],
                num_detections=num_detections[index],
            )
        )
    return taken


def _where(chosen: np.ndarray, lives: Lives, others: Lives) -> Lives:
    """Lives where a mask [num_tracks], bool, is True, and others elsewhere."""
    return Lives(
        np.where(chosen, lives.statuses, others.statuses),
        np.where(chosen, lives.num_frames, others.num_frames),
        np.where(chosen, lives.num_hits, others.num_hits),
        np.where(chosen, lives.num_weak, others.num_weak),
        np.where(chosen, lives.num_strong, others.num_strong),
        np.where(chosen, lives.scores, others.scores),
    )


def _concatenated(first: Lives, second: Lives) -> Lives:
    """The lives of both, one after the other."""
    return Lives(
        np.concatenate([first.statuses, second.statuses]),
        np.concatenate([first.num_frames, second.num_frames]),
        np.concatenate([first.num_hits, second.num_hits]),
        np.concatenate([first.num_weak, second.num_weak]),
        np.concatenate([first.num_strong, second.num_strong]),
        np.concatenate([first.scores, second.scores]),
    )
