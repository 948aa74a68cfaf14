"""Schemes monostatic and monostatic_fine: one full-duplex base station (CF section V-A, [13])."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.triangulate import Measurement, locate_each
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import LinkMode
from cooperative_isac.schemes.parameter_scheme import ParameterDecoder, ParameterScheme

# Name of the base station.
STATION = "bs"
# Tolerance of the check that the box is in front of the array, m: rounding errors.
ROUNDING_M = 1e-6


class MonostaticScheme(ParameterScheme):
    """A base station receives the echoes of its own signal, without self-interference.

    It measures one component of a velocity, along its line of sight; the other is reported as 0,
    with the scene's maximum speed as its standard deviation.
    """

    def center(self) -> MonostaticDecoder:
        """A new decoder for the center; see schemes.contract."""
        return MonostaticDecoder(self.scene, self.name, self.method)

    @staticmethod
    def arranged(scene: Scene) -> Scene:
        """The scene with one station in the middle of the transmitters, (50, 0) in CF.

        The station has the array of the first transmitter.
        """
        if scene.layout is not None:
            raise ValueError(
                "schemes 'monostatic' and 'monostatic_fine' put a station of their own amid "
                "transmitters; scene "
                f"'{scene.name}' names its stations: choose `links: active` there, with another "
                "scheme"
            )
        if scene.transmitters[0].name == scene.receivers[0].name:
            return scene

        # Station in the middle.
        middle = np.mean([site.position_m for site in scene.transmitters], axis=0)
        station = replace(scene.transmitters[0], name=STATION, position_m=middle)

        # The box must be in front of its array, with its corner that is the least far along the
        # boresight, too.
        nearest = np.where(station.boresight > 0, scene.box.low_m, scene.box.high_m)
        if (nearest - middle) @ station.boresight < -ROUNDING_M:
            raise ValueError(
                f"scheme 'monostatic' puts a station amid the transmitters of '{scene.name}', "
                f"at {middle[:2].tolist()} m, where part of the area is behind its array: use a "
                "scene whose transmitters look at the area from one side, or another scheme"
            )
        return replace(
            scene, transmitters=(station,), receivers=(station,), link_mode=LinkMode.ACTIVE
        )


class MonostaticDecoder(ParameterDecoder):
    """Decoder at the center: every measurement is a target, as no other station can confirm it."""

    def locate(self, scene: Scene, measurements: Sequence[Measurement]) -> tuple[Detection, ...]:
        """Detections from all measurements of a frame."""
        return locate_each(scene, measurements)
