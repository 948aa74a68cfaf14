"""Schemes by name, also those that another package brings."""

import pytest

from cooperative_isac.schemes.local_ml import LocalMlScheme
from cooperative_isac.schemes.registry import make_scheme, scheme_names, scheme_scene


def test_the_built_in_scheme_is_there(small):
    scheme = make_scheme("local_ml", small)
    assert isinstance(scheme, LocalMlScheme) and scheme.name == "local_ml" and scheme.scene is small
    assert "local_ml" in scheme_names()


def test_an_installed_package_can_bring_a_scheme(small, install_scheme):
    text = "class Scheme:\n    def __init__(self, scene):\n        self.heard = scene.name\n"
    install_scheme("shouting", text)
    assert {"local_ml", "shouting"} <= set(scheme_names())
    assert make_scheme("shouting", small).heard == "small"


def test_a_scheme_may_bring_its_own_sites(small):
    assert scheme_scene("local_ml", small) is small
    for scene in (scheme_scene("monostatic", small), make_scheme("monostatic", small).scene):
        assert [site.name for site in scene.receivers + scene.transmitters] == ["bs", "bs"]


def test_an_unknown_scheme_names_the_known_ones(small):
    with pytest.raises(
        ValueError, match=r"scheme 'smoke_signals' is not known; use one of .*local_ml"
    ):
        make_scheme("smoke_signals", small)
    with pytest.raises(ValueError, match="scheme 'smoke_signals' is not known"):
        scheme_scene("smoke_signals", small)
