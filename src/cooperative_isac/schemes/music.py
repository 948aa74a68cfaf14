"""Schemes music and music_fine: MUSIC angles and two-dimensional DFTs (CF section V-A, its
[11]).
"""

from __future__ import annotations

from cooperative_isac.schemes.parameter_scheme import ParameterScheme
from cooperative_isac.sensing.music import strongest_by_music
from cooperative_isac.sensing.path_parameters import BIN_CELLS, INTERPOLATED_CELLS


class MusicScheme(ParameterScheme):
    """Each access point finds angles by MUSIC, then range and velocity at peaks of a
    two-dimensional DFT.
    """

    name = "music"
    method = staticmethod(strongest_by_music)
    packet_format = 33
    bins, cells = True, (BIN_CELLS, BIN_CELLS)


class MusicFineScheme(MusicScheme):
    """Beyond the paper: peaks are interpolated between bins, for the same bits."""

    name = "music_fine"
    bins, cells = False, (INTERPOLATED_CELLS, INTERPOLATED_CELLS)
