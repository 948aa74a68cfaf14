"""Scheme compressed_sensing: first delays, then angles and velocities (CF section V-A, its
[25]).
"""

from __future__ import annotations

from cooperative_isac.schemes.parameter_scheme import ParameterScheme
from cooperative_isac.sensing.compressed_sensing import DELAY_CELLS, strongest_by_delay
from cooperative_isac.sensing.path_parameters import INTERPOLATED_CELLS


class CompressedSensingScheme(ParameterScheme):
    """Each access point finds delays by block-sparse recovery, then angle and Doppler shift of
    each.
    """

    name = "compressed_sensing"
    method = staticmethod(strongest_by_delay)
    packet_format = 34
    bins, cells = False, (DELAY_CELLS, INTERPOLATED_CELLS)
