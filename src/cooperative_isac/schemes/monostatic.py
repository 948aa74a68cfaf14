"""Schemes monostatic and monostatic_fine: one full-duplex base station (CF section V-A, its
[13]).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.triangulate import Measurement, locate_each
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.parameter_scheme import ParameterScheme
from cooperative_isac.sensing.beam_scan import strongest_by_scan
from cooperative_isac.sensing.path_parameters import BIN_CELLS, INTERPOLATED_CELLS

STATION = "bs"
SLACK_M = 1e-6


class MonostaticScheme(ParameterScheme):
    """A base station hears the echoes of its own signal, its self-interference canceled perfectly.

    It knows one component of a velocity, along its line of sight; the other is reported as 0, with
    the scene's maximum speed as its standard deviation.
    """

    name = "monostatic"
    method = staticmethod(strongest_by_scan)
    packet_format = 35
    bins, cells = True, (BIN_CELLS, BIN_CELLS)

    def __init__(self, scene: Scene):
        super().__init__(self.arrange(scene))

    @staticmethod
    def arrange(scene: Scene) -> Scene:
        """The network of one station amid the transmitters, (50, 0) in CF, with the first one's
        array.
        """
        if scene.transmitters[0].name == scene.receivers[0].name:
            return scene
        middle = np.mean([site.position_m for site in scene.transmitters], axis=0)
        station = replace(scene.transmitters[0], name=STATION, position_m=middle)
        corners = np.array([scene.box.low_m, scene.box.high_m])
        nearest = np.where(station.boresight > 0, *corners)
        if (nearest - middle) @ station.boresight < -SLACK_M:
            raise ValueError(
                f"scheme 'monostatic' puts a station amid the transmitters of '{scene.name}', "
                f"at {middle[:2].tolist()} m, where part of the area is behind its array: use a "
                "scene whose transmitters look at the area from one side, or another scheme"
            )
        return replace(scene, transmitters=(station,), receivers=(station,))

    def locate(self, measurements: list[Measurement]) -> tuple[Detection, ...]:
        """Every measurement is a target: there is no second opinion."""
        return locate_each(self.scene, measurements)


class MonostaticFineScheme(MonostaticScheme):
    """Beyond the paper: range and velocity are interpolated between the DFT's bins, for the same
    bits.
    """

    name = "monostatic_fine"
    bins, cells = False, (INTERPOLATED_CELLS, INTERPOLATED_CELLS)
