"""The built-in schemes and their properties: the one place where they are listed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuiltIn:
    """A scheme of this package.

    home: module and class, "module:class"
    needs_weights: True for a network, which is trained for a scene
    has_one_path: each station reports one path of a target, so that two stations must detect it
    is_coarse: its velocities are too coarse to separate slow targets from clutter
    in_figures: False where the figures of CF leave it out
    """

    name: str
    home: str
    needs_weights: bool = False
    has_one_path: bool = False
    is_coarse: bool = False
    in_figures: bool = True


_RECOVERY = "cooperative_isac.schemes.parameter_scheme:RecoveryScheme"
_MUSIC = "cooperative_isac.schemes.parameter_scheme:MusicScheme"
_MONOSTATIC = "cooperative_isac.schemes.monostatic:MonostaticScheme"
_DISTRIBUTED = "cooperative_isac.schemes.learned:DistributedScheme"
_CENTRAL = "cooperative_isac.schemes.learned:CentralScheme"

# In the order of CF's figures.
_ALL = (
    BuiltIn("local_ml", "cooperative_isac.schemes.local_ml:LocalMlScheme"),
    BuiltIn("raw_ml", "cooperative_isac.schemes.raw_ml:RawMlScheme"),
    BuiltIn(
        "symbol_level",
        "cooperative_isac.schemes.symbol_level:SymbolLevelScheme",
        in_figures=False,
    ),
    BuiltIn("music", _MUSIC, has_one_path=True, is_coarse=True),
    BuiltIn("music_fine", _MUSIC, has_one_path=True),
    BuiltIn("compressed_sensing", _RECOVERY, has_one_path=True),
    BuiltIn("monostatic", _MONOSTATIC, is_coarse=True),
    BuiltIn("monostatic_fine", _MONOSTATIC, is_coarse=True),
    BuiltIn("dvqvae", _DISTRIBUTED, needs_weights=True),
    BuiltIn("dvqvae_demodulated", _DISTRIBUTED, needs_weights=True),
    BuiltIn("dvqvae_paper", _DISTRIBUTED, needs_weights=True),
    BuiltIn("dvae", _DISTRIBUTED, needs_weights=True),
    BuiltIn("cnn", _CENTRAL, needs_weights=True),
    BuiltIn("cnn_paper", _CENTRAL, needs_weights=True),
)
BUILT_IN = {scheme.name: scheme for scheme in _ALL}
CLASSICAL = tuple(scheme.name for scheme in _ALL if not scheme.needs_weights and scheme.in_figures)
LEARNED = tuple(scheme.name for scheme in _ALL if scheme.needs_weights)
