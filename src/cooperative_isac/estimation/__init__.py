"""Estimation of angles, delays and speeds: arrays in, arrays out, no scene.

Each estimator of the resource level of cooperation stands alone and can be used with plain arrays.
It checks its arguments: a ValueError names the faulty one, what is wrong with it, and a remedy.
Source: DC section III.
"""

from cooperative_isac.estimation.accumulation import (
    accumulate_coherently,
    accumulate_noncoherently,
    delay_doppler_map,
    doppler_resolution_hz,
    gain_after_migration,
    migration_gain,
    migration_limit_s,
    relative_phases,
)
from cooperative_isac.estimation.beamforming import (
    mvdr_weights,
    null_steering_weights,
    output_sinr,
)
from cooperative_isac.estimation.bounds import (
    coarray_music_mse,
    deterministic_crlb,
    music_mse,
    stochastic_crlb,
)
from cooperative_isac.estimation.channel_matrix import (
    ChannelMatrix,
    channel_matrix,
    path_response,
)
from cooperative_isac.estimation.coarray import (
    augmented_covariance,
    coarray_weights,
    coprime_positions,
    nested_positions,
    product_snr,
    smoothed_covariance,
    uniform_lags,
    virtual_snapshot,
)
from cooperative_isac.estimation.covariance import (
    forward_backward,
    sample_covariance,
    spatially_smoothed,
    steering,
)
from cooperative_isac.estimation.model_order import num_sources_aic, num_sources_mdl
from cooperative_isac.estimation.newtonized import newtonized_omp
from cooperative_isac.estimation.range_doppler import (
    PathEstimate,
    delay_speed_map,
    detection_statistic,
    estimate_path,
    path_information,
    refine_path,
)
from cooperative_isac.estimation.recovery import (
    DelayDopplerGrid,
    debiased,
    fista,
    omp,
    peak_threshold,
)
from cooperative_isac.estimation.reorganization import reorganize
from cooperative_isac.estimation.second_path import (
    second_path_energy,
    second_path_probability,
    two_path_bound,
)
from cooperative_isac.estimation.sidelobes import (
    Sidelobes,
    ambiguity,
    sidelobes,
    unambiguous_delay_cells,
    unambiguous_doppler_cells,
)
from cooperative_isac.estimation.splicing import phases_of_path, splice, splicing_gain_db
from cooperative_isac.estimation.subspace import esprit, music, music_spectrum, root_music
from cooperative_isac.estimation.threshold import ThresholdError, threshold_error

__all__ = [
    "ChannelMatrix",
    "DelayDopplerGrid",
    "PathEstimate",
    "Sidelobes",
    "ThresholdError",
    "accumulate_coherently",
    "accumulate_noncoherently",
    "ambiguity",
    "augmented_covariance",
    "channel_matrix",
    "coarray_music_mse",
    "coarray_weights",
    "coprime_positions",
    "debiased",
    "delay_doppler_map",
    "delay_speed_map",
    "detection_statistic",
    "deterministic_crlb",
    "doppler_resolution_hz",
    "esprit",
    "estimate_path",
    "fista",
    "forward_backward",
    "gain_after_migration",
    "migration_gain",
    "migration_limit_s",
    "music",
    "music_mse",
    "music_spectrum",
    "mvdr_weights",
    "nested_positions",
    "newtonized_omp",
    "null_steering_weights",
    "num_sources_aic",
    "num_sources_mdl",
    "omp",
    "output_sinr",
    "path_information",
    "path_response",
    "peak_threshold",
    "phases_of_path",
    "product_snr",
    "refine_path",
    "relative_phases",
    "reorganize",
    "root_music",
    "sample_covariance",
    "second_path_energy",
    "second_path_probability",
    "sidelobes",
    "smoothed_covariance",
    "spatially_smoothed",
    "splice",
    "splicing_gain_db",
    "steering",
    "stochastic_crlb",
    "threshold_error",
    "two_path_bound",
    "unambiguous_delay_cells",
    "unambiguous_doppler_cells",
    "uniform_lags",
    "virtual_snapshot",
]
