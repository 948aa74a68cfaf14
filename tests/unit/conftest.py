"""Scenes and schemes that the tests of the science share."""

from pathlib import Path

import pytest

from cooperative_isac.scene.file.config import load_scene

SCENES = Path(__file__).resolve().parents[1] / "scenes"


@pytest.fixture(scope="session")
def small():
    """A plane with two transmitters, two receivers, reference symbols and static clutter."""
    return load_scene(SCENES / "small.yaml")


@pytest.fixture(scope="session")
def tilted():
    """Arrays of every kind, tilted every way in three dimensions; drawn clutter, clock offsets."""
    return load_scene(SCENES / "tilted.yaml")


@pytest.fixture(scope="session")
def tiny():
    """A plane with two transmitters and two receivers on a grid of 32 x 32, one drawn target."""
    return load_scene(SCENES / "tiny.yaml")


@pytest.fixture(scope="session")
def two_tiny():
    """A plane with two bands of different rates, two stations that send and receive, and a receiver
    that drives.
    """
    return load_scene(SCENES / "two_tiny.yaml")


@pytest.fixture(scope="session")
def pair_plane():
    """A plane with one transmitter and one receiver, static clutter and two live targets."""
    return load_scene(SCENES / "pair.yaml")


@pytest.fixture
def install_scheme(tmp_path, monkeypatch):
    """Installs a scheme by name as another package's entry point; its module defines class
    Scheme.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def install(name, text):
        (tmp_path / f"{name}_package.py").write_text(text)
        metadata = tmp_path / f"{name}_package-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1.0\n"
        )
        points = f"[cooperative_isac.schemes]\n{name} = {name}_package:Scheme\n"
        (metadata / "entry_points.txt").write_text(points)

    return install
