"""Which detections can be of which tracks: rounds of association, and the pairs in each of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cooperative_isac.scene.geometry import STATE_AXES
from cooperative_isac.scene.model import Tracking
from cooperative_isac.tracking.association import Pairs, gate, gated_pairs
from cooperative_isac.tracking.life import expired
from cooperative_isac.tracking.live_tracks import LiveTracks
from cooperative_isac.tracking.measurement import Measurements

# Factors of the detections' covariances in a second round of association, for tracks without a
# detection: errors with heavy tails, of four standard deviations, must not end an established
# track; a tentative one may be a false alarm, and gets half of that.
ESTABLISHED_INFLATION = 16.0
TENTATIVE_INFLATION = 4.0

# Least probability that a weak detection is of a track, rather than false: less likely ones do not
# update an established track, and update a tentative one, whose score they lower, hardly at all.
LEAST_PROBABILITY = 0.05


@dataclass(frozen=True)
class Round:
    """One round of association.

    eligible: [num_tracks], bool, tracks that take part
    inflation: factor of the detections' covariances
    least_probability: with which a weak detection is of its track
    """

    eligible: np.ndarray
    inflation: float
    least_probability: float


def rounds(tracks: LiveTracks, time_s: float, settings: Tracking) -> tuple[Round, ...]:
    """Rounds of association: established tracks come first, each kind with a second chance.

    tracks: all tracks
    time_s: stamp of the detections, s
    settings: of the scene
    """
    # A track that has coasted too long takes no detection.
    current = ~expired(time_s - tracks.updated_s, settings, tracks.unobserved_s)
    live = tracks.lives.established & current
    tentative = ~tracks.lives.established & current
    return (
        Round(live, 1.0, LEAST_PROBABILITY),
        Round(live, ESTABLISHED_INFLATION, LEAST_PROBABILITY),
        Round(tentative, 1.0, 0.0),
        Round(tentative, TENTATIVE_INFLATION, 0.0),
    )


@dataclass(frozen=True)
class Gating:
    """Gates of the tracks of a scene.

    settings: tracking settings of the scene
    dimension: of the scene, 2 or 3
    """

    settings: Tracking
    dimension: int

    @cached_property
    def largest_squared(self) -> float:
        """Squared Mahalanobis distance up to which a detection is in a gate."""
        return gate(self.settings.gate_probability, self.dimension)

    def pairs(
        self,
        means: np.ndarray,
        covariances: np.ndarray,
        established: np.ndarray,
        silence_s: np.ndarray,
        measurements: Measurements,
        inflation: float,
    ) -> Pairs:
        """Pairs of a track and a detection that may be assigned to each other.

        means: [num_tracks, 6], float64, SI, map: predicted states
        covariances: [num_tracks, 6, 6], float64, SI
        established: [num_tracks], bool
        silence_s: [num_tracks], float64, s, time in which the targets have moved unseen
        measurements: the detections
        inflation: factor of the detections' covariances; above 1, a detection is no further from
            its track than a target can move
        """
        pairs = gated_pairs(
            means, covariances, measurements, self.dimension, self.largest_squared, inflation
        )

        # Partial detections update established tracks only.
        partial = measurements.partial[pairs.detections]
        if inflation == 1.0:
            return pairs.where(established[pairs.tracks] | ~partial)

        # With inflated covariances: full detections within reach.
        reach_m = self.settings.max_speed_mps * silence_s
        differences_m = measurements.values[pairs.detections, :3] - means[pairs.tracks, :3]
        distances_m = np.linalg.norm(differences_m, axis=1)
        return pairs.where(~partial & (distances_m <= reach_m[pairs.tracks]))

    def log_ratios(self, pairs: Pairs, measurements: Measurements) -> np.ndarray:
        """Log-likelihood ratios of detections of tracks to false ones, [num_pairs], float64.

        Infinite for detections by stations, which are not weak.

        pairs: of a track and a detection
        measurements: the detections
        """
        log_likelihoods = pairs.log_likelihoods(len(STATE_AXES[self.dimension]))
        ratios = log_likelihoods - measurements.log_false_densities[pairs.detections]
        return np.where(measurements.weak[pairs.detections], ratios, np.inf)
