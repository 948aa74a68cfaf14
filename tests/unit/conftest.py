"""Scenes that the tests of the science share."""

from pathlib import Path

import pytest

from cooperative_isac.scene.config import load_scene

SCENES = Path(__file__).resolve().parents[1] / "scenes"


@pytest.fixture(scope="session")
def small():
    """A plane with two transmitters, two receivers, reference symbols and static clutter."""
    return load_scene(SCENES / "small.yaml")


@pytest.fixture(scope="session")
def tilted():
    """Arrays of every kind, tilted every way in three dimensions; drawn clutter, clock offsets."""
    return load_scene(SCENES / "tilted.yaml")
