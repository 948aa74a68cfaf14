"""Angles of arrival at a linear array from the subspaces of its covariance."""

from __future__ import annotations

import numpy as np
from scipy.signal import find_peaks

from cooperative_isac.estimation.coarray import augmented_covariance
from cooperative_isac.estimation.model_order import num_sources_aic, num_sources_mdl
from cooperative_isac.estimation.peaks import vertex
from cooperative_isac.estimation.subspace import esprit, music, root_music
from cooperative_isac.scene.arrays import steering_vectors
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.path_parameters import arrival_direction, beam_width

# Samples of the MUSIC spectrum per beam width: its peaks are narrower than a beam by about the
# square root of the SNR after integration, and 32 keep a few samples on each at 30 dB.
SPECTRUM_OVERSAMPLING = 32

# Criteria of the number of sources, by the value of sensing.num_sources.
CRITERIA = {"aic": num_sources_aic, "mdl": num_sources_mdl}

# Values of sensing.directions that need elements at equal distances, and their methods.
OF_UNIFORM_ARRAYS = {"root_music": root_music, "esprit": esprit}


def check_directions(scene: Scene, station: str) -> None:
    """Check of a station for the method of its angles (`directions` of sensing).

    scene: seen on one band
    station: name of the receiver
    Raises ValueError where its array is not one for the method.
    """
    directions = scene.sensing.directions
    site = scene.receiver(station)
    if directions in OF_UNIFORM_ARRAYS and site.kind != "ula":
        raise ValueError(
            f"sensing.directions is '{directions}', which needs equal distances between "
            f"antennas, and receiver '{site.name}' has a {site.kind} array: use music or "
            "coarray_music, or arrays of kind ula"
        )


def arrival_cosines(
    snapshots: np.ndarray, receiver: Site, wavelength_m: float, directions: str, num_sources: str
) -> np.ndarray:
    """Cosines of the angles of arrival of all sources in the snapshots of a linear array.

    The number of sources is that of an information criterion. Akaike's rather finds too many than
    too few: a direction without a target is searched in vain, at no other cost.

    snapshots: [num_rx_ant, num_snapshots], complex64, sqrt(W)
    receiver: station with a linear array
    wavelength_m: wavelength of the carrier, m
    directions: music (peaks of the spectrum) | root_music | esprit | coarray_music (MUSIC on the
    virtual array)
    num_sources: aic | mdl
    Returns [num_cosines], float64, from -1 to 1.
    """
    num_snapshots = snapshots.shape[1]
    sample = (snapshots @ snapshots.conj().T / num_snapshots).astype(complex)

    # Covariance of the antennas, or of the virtual array of their differences.
    places_m = receiver.elements_m @ receiver.axis
    covariance = sample
    if directions == "coarray_music":
        covariance = augmented_covariance(sample, places_m / _spacing_m(places_m))

    # Number of sources; eigenvalues of a virtual array may be negative.
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    positive = np.maximum(np.abs(eigenvalues), np.finfo(float).tiny)
    count = CRITERIA[num_sources](positive, num_snapshots)
    if not count:
        return np.zeros(0)
    if directions == "music":
        noise = eigenvectors[:, : len(eigenvalues) - count]
        return _spectrum_peaks(noise, count, receiver, wavelength_m)

    # Frequencies along the array, cycles a spacing, and all angles that have them.
    method = OF_UNIFORM_ARRAYS.get(directions, music)
    frequencies = method(covariance, count)
    return _aliases(frequencies, _spacing_m(places_m) / wavelength_m)


def _spacing_m(places_m: np.ndarray) -> float:
    """Distance of the nearest two of some elements on a line, m; 1 for a single one."""
    distances_m = np.diff(np.sort(places_m))
    return float(distances_m.min()) if len(distances_m) else 1.0


def _spectrum_peaks(
    noise: np.ndarray, num_sources: int, receiver: Site, wavelength_m: float
) -> np.ndarray:
    """Cosines of the highest peaks of the MUSIC spectrum, not more than there are sources.

    noise: [num_rx_ant, num_rx_ant - num_sources], complex128, basis of the noise subspace
    """
    # Cosines of the angle of arrival, several within the width of a beam.
    num_beams = 2 / beam_width(receiver, wavelength_m)
    num_cosines = int(np.ceil(num_beams * SPECTRUM_OVERSAMPLING)) + 1
    cosines = np.linspace(-1, 1, num_cosines)

    # Spectrum over them, in logarithms: its peaks are parabolas.
    directions = arrival_direction(receiver, cosines)
    steering = steering_vectors(receiver.elements_m, directions, wavelength_m)
    in_noise = steering.conj() @ noise
    leakage = np.sum(np.abs(in_noise) ** 2, axis=1)
    spectrum = -np.log(leakage)

    # Highest peaks.
    peaks, _ = find_peaks(spectrum)
    by_height = np.argsort(-spectrum[peaks])
    highest = peaks[by_height][:num_sources]

    # Interpolated between samples.
    offsets, _ = vertex(spectrum[highest - 1], spectrum[highest], spectrum[highest + 1])
    step = cosines[1] - cosines[0]
    return cosines[highest] + offsets * step


def _aliases(frequencies: np.ndarray, spacing_wavelengths: float) -> np.ndarray:
    """Cosines of all angles of arrival with given frequencies along an array.

    Elements more than half a wavelength apart see several angles alike; with less, frequencies
    beyond the spacing are those of no angle.

    frequencies: [num_frequencies], float64, cycles a spacing
    """
    # Whole cycles between elements, which they do not see.
    most = int(np.ceil(spacing_wavelengths))
    whole = np.arange(-most, most + 1)
    cosines = np.add.outer(frequencies, whole).ravel() / spacing_wavelengths
    return cosines[np.abs(cosines) <= 1]
