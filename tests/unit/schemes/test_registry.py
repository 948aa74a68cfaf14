"""Schemes by name, also those of other packages."""

import pytest

from cooperative_isac.schemes.local_ml import LocalMlScheme
from cooperative_isac.schemes.registry import make_scheme, scheme_names, scheme_scene

SHOUTING = """
from cooperative_isac.schemes import contract

class Scheme(contract.Scheme):
    def at(self, station):
        raise NotImplementedError
    def center(self):
        raise NotImplementedError
    def downlink_bits(self, frame):
        return 0
"""
BEFORE = """
class Scheme:
    name, period_s = "brightest", None

    def __init__(self, scene):
        self.scene = scene

    def encode(self, echo, frame, receiver):
        return b""

    def decode(self, packets, frame):
        return ()

    def downlink_bits(self, frame):
        return 8 * len(frame.indices.tobytes())
"""
# The same, derived from the protocol that the module had then.
DERIVED = "from cooperative_isac.schemes import contract\n" + BEFORE.replace(
    "class Scheme:", "class Scheme(contract.Scheme):"
)


def test_the_built_in_scheme_is_there(small):
    scheme = make_scheme("local_ml", small)
    assert isinstance(scheme, LocalMlScheme) and scheme.name == "local_ml" and scheme.scene is small
    assert "local_ml" in scheme_names()


def test_an_installed_package_can_bring_a_scheme(small, install_scheme):
    install_scheme("shouting", SHOUTING)
    assert {"local_ml", "shouting"} <= set(scheme_names())
    scheme = make_scheme("shouting", small)
    assert scheme.name == "shouting" and scheme.scene is small


@pytest.mark.parametrize("text", [BEFORE, DERIVED], ids=["alone", "derived"])
def test_a_scheme_of_the_previous_contract_is_refused_with_the_remedy(small, install_scheme, text):
    """A scheme of the previous contract: one object with encode and decode."""
    install_scheme("brightest", text)
    for make in (make_scheme, scheme_scene):
        with pytest.raises(ValueError, match="scheme 'brightest'") as caught:
            make("brightest", small)
        message = str(caught.value)
        assert (
            "at(station)" in message and "center()" in message and "docs/own_scheme.md" in message
        )
        assert "\n" not in message


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
