"""Schemes by name, also those of other packages."""

from dataclasses import replace

import pytest

from cooperative_isac.schemes.local_ml import LocalMlScheme
from cooperative_isac.schemes.registry import (
    make_scheme,
    scheme_names,
    scheme_scene,
    unused_settings,
)

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


@pytest.mark.parametrize(
    ("key", "value", "using"),
    [("candidate_bits", 4000, "local_ml"), ("report_bits", 8, "local_ml")]
    + [("symbol_bits", 4, "symbol_level")],
)
def test_settings_that_no_scheme_uses_are_named(small, install_scheme, key, value, using):
    scene = replace(small, sensing=replace(small.sensing, **{key: value}))
    assert not list(unused_settings(["music"], small))
    (line,) = unused_settings(["music", "raw_ml"], scene)
    assert line == (
        f"sensing.{key} is {value}, and music and raw_ml do not use it; leave it out, or use "
        f"scheme {using}"
    )
    assert not list(unused_settings(["music", using], scene))

    # A scheme of one's own may use every key.
    install_scheme("shouting", SHOUTING)
    assert not list(unused_settings(["shouting"], scene))


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
