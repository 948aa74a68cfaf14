"""Where a target of some size scatters: a glint on its hull, and its corners."""

from __future__ import annotations

import numpy as np

from cooperative_isac.scene.model import Body, TargetState

# Share of the radar cross section that the specular glint has; the visible corners share the rest
# evenly. Half and half is an assumption between a smooth hull (all glint) and the five separate
# scatterers of TR 38.901's vehicle.
GLINT_SHARE = 0.5
# Slower than this a target has no heading of its own, m/s.
STANDING_MPS = 1e-3
CORNERS = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]])


def body_axes(velocity_mps: np.ndarray) -> np.ndarray:
    """Body axes to map axes, [3, 3]: x along the horizontal velocity (standing: map's x), z up."""
    speed = np.hypot(velocity_mps[0], velocity_mps[1])
    cosine, sine = velocity_mps[:2] / speed if speed > STANDING_MPS else (1.0, 0.0)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def body_points(
    body: Body, state: TargetState, toward_tx: np.ndarray, toward_rx: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points from which a body scatters on one link, and their shares of its radar cross section.

    The glint is where an ellipsoid that fills the box reflects specularly: there its normal halves
    the angle between the directions to both ends. The corners, at half height, are where rotors,
    lamps and wheel arches are; one is hidden from an end that it could only see through the box.

    toward_tx, toward_rx: [3], unit vectors from the target's middle to both ends of the link
    Returns points [num_points, 3] in map, the glint first, and shares [num_points], which sum to 1.
    """
    axes = body_axes(state.velocity_mps)
    half = body.size_m / 2
    ends = np.stack([toward_tx, toward_rx]) @ axes

    # glint on the ellipsoid, along the bisector; between opposite ends it is on top
    bisector = ends.sum(axis=0)
    if np.linalg.norm(bisector) < 1e-6:
        bisector = np.array([0.0, 0.0, 1.0])
    reach = np.linalg.norm(half * bisector)
    glint = half**2 * bisector / reach if reach > 0 else np.zeros(3)

    # corners that both ends see
    hidden = np.all(CORNERS[:, None, :2] * ends[None, :, :2] < 0, axis=-1).any(axis=-1)
    corners = CORNERS[~hidden] * half

    points = np.vstack([glint, corners])
    shares = np.full(len(points), (1 - GLINT_SHARE) / max(len(corners), 1))
    shares[0] = GLINT_SHARE if len(corners) else 1.0
    return state.position_m + points @ axes.T, shares
