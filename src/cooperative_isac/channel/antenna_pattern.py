"""Radiation patterns of single antenna elements."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.station import Site

# 3GPP TR 38.901 table 7.3-1.
PEAK_GAIN_DBI = 8.0
BEAM_WIDTH_DEG = 65.0
LARGEST_ATTENUATION_DB = 30.0


def tr38901_gain_dbi(zenith_deg: np.ndarray, azimuth_deg: np.ndarray) -> np.ndarray:
    """Gain of an element in its own axes; its boresight is at zenith 90, azimuth 0.

    zenith_deg: [...], float64, degrees
    azimuth_deg: [...], float64, degrees
    Returns [...], float64, dBi.
    Source: 3GPP TR 38.901 table 7.3-1.
    """
    vertical_db = np.minimum(12 * ((zenith_deg - 90) / BEAM_WIDTH_DEG) ** 2, LARGEST_ATTENUATION_DB)
    horizontal_db = np.minimum(12 * (azimuth_deg / BEAM_WIDTH_DEG) ** 2, LARGEST_ATTENUATION_DB)
    return PEAK_GAIN_DBI - np.minimum(vertical_db + horizontal_db, LARGEST_ATTENUATION_DB)


def element_amplitude(site: Site, directions: np.ndarray) -> np.ndarray:
    """Field amplitude of a site's elements over isotropic ones, the root of their power gain.

    directions: [..., 3], float64, unit vectors in map from the site
    Returns [...], float64; ones for isotropic elements.
    """
    if site.pattern == "isotropic":
        return np.ones(np.shape(directions)[:-1])

    # Directions in the axes of the array.
    local = directions @ site.rotation
    x, y, z = np.moveaxis(local, -1, 0)
    zenith_deg = np.degrees(np.arccos(np.clip(z, -1, 1)))
    azimuth_deg = np.degrees(np.arctan2(y, x))

    gain_dbi = tr38901_gain_dbi(zenith_deg, azimuth_deg)
    return 10 ** (gain_dbi / 20)
