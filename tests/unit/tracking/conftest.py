"""Detections and loops for the tracking tests."""

import numpy as np
import pytest

from cooperative_isac.fusion.detection import Detection


@pytest.fixture
def detect():
    """A detection at a position and velocity, by default with 0.15 m and 0.5 m/s in every axis."""

    def build(
        position, velocity=(0.0, 0.0, 0.0), position_std=0.15, velocity_std=0.5, covariance=None
    ):
        if covariance is None:
            covariance = np.diag([position_std**2] * 3 + [velocity_std**2] * 3)
        return Detection(
            np.array(position, float), np.array(velocity, float), covariance, 20.0, ("rx1",), 2
        )

    return build
