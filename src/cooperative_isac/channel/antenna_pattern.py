"""Radiation patterns of single antenna elements."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.model import Site

# 3GPP TR 38.901 table 7.3-1.
PEAK_GAIN_DBI = 8.0
BEAM_WIDTH_DEG = 65.0
LARGEST_ATTENUATION_DB = 30.0


def tr38901_gain_dbi(zenith_deg: np.ndarray, azimuth_deg: np.ndarray) -> np.ndarray:
    """Gain of an element in its own axes (3GPP TR 38.901 table 7.3-1).

    Boresight is at zenith 90, azimuth 0.

    zenith_deg, azimuth_deg: [...], degrees
    Returns [...], dBi.
    """
    vertical = np.minimum(12 * ((zenith_deg - 90) / BEAM_WIDTH_DEG) ** 2, LARGEST_ATTENUATION_DB)
    horizontal = np.minimum(12 * (azimuth_deg / BEAM_WIDTH_DEG) ** 2, LARGEST_ATTENUATION_DB)
    return PEAK_GAIN_DBI - np.minimum(vertical + horizontal, LARGEST_ATTENUATION_DB)


def element_amplitude(site: Site, directions: np.ndarray) -> np.ndarray:
    """Field amplitude of a site's elements over isotropic ones.

    directions: [..., 3], unit vectors in map from the site
    Returns [...], the square root of the power gain; ones where the elements are isotropic.
    """
    if site.pattern == "isotropic":
        return np.ones(np.shape(directions)[:-1])
    own = directions @ site.rotation
    zenith = np.degrees(np.arccos(np.clip(own[..., 2], -1, 1)))
    azimuth = np.degrees(np.arctan2(own[..., 1], own[..., 0]))
    return 10 ** (tr38901_gain_dbi(zenith, azimuth) / 20)
