"""What the distributed schemes of CF section V-A share: parameters on the wire, geometry at the
center.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from cooperative_isac.fronthaul.parameter_packet import pack_parameters, unpack_parameters
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.fusion.triangulate import Measurement, triangulate
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.known_symbols import KnownSymbols
from cooperative_isac.sensing.parameter_sensor import Method, ParameterSensor
from cooperative_isac.sensing.path_parameters import Accuracy, accuracy_of, check_plane, on_bins
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.waveform.signal import Signal


class ParameterScheme:
    """Angle, range and range rate of each target, 96 bits, from linear arrays in a plane.

    method: how an access point finds paths; packet_format: the number of its packets; bins: whether
    it reports the bins of the frame's DFT, as CF's baselines do, or interpolates between them;
    cells: how well it is taken to know range and range rate, in resolution cells, since packets do
    not say.
    """

    name: str
    method: Method
    packet_format: int
    bins: bool
    cells: tuple[float, float]
    period_s: float | None = None

    def __init__(self, scene: Scene):
        check_plane(scene, self.name)
        self.scene = scene
        self.known = KnownSymbols(scene)
        self.static = StaticStage(scene)

    @cached_property
    def _sensors(self) -> dict[str, ParameterSensor]:
        return {
            site.name: ParameterSensor(self.scene, site, self.known.grid, type(self).method)
            for site in self.scene.receivers
        }

    @cached_property
    def _accuracies(self) -> dict[str, Accuracy]:
        return {
            site.name: accuracy_of(self.scene, site, *self.cells) for site in self.scene.receivers
        }

    def encode(self, echo: np.ndarray, frame: Signal, receiver: str) -> bytes:
        """Packet of the targets that one receiver heard; see schemes.contract."""
        known = self.known.of_frame(frame)
        echo, static = self.static.prepare(self.known.of_echo(echo), known, receiver, self.period_s)
        targets = self._sensors[receiver].sense(echo, known, static)
        if self.bins:
            targets = [on_bins(self.scene, target) for target in targets]
        return pack_parameters(self.scene, self.packet_format, receiver, frame.number, targets)

    def decode(self, packets: Mapping[str, bytes], frame: Signal) -> tuple[Detection, ...]:
        """Detections from the packets of the receivers that were heard; see schemes.contract."""
        heard = {
            receiver: unpack_parameters(
                self.scene, self.packet_format, receiver, frame.number, packet
            )
            for receiver, packet in sorted(packets.items())
        }
        return self.locate(
            [
                Measurement(self.scene.receiver(receiver), target, self._accuracies[receiver])
                for receiver, targets in heard.items()
                for target in targets
            ]
        )

    def locate(self, measurements: list[Measurement]) -> tuple[Detection, ...]:
        """Detections of all measurements of a frame."""
        return triangulate(self.scene, measurements)

    def downlink_bits(self, frame: Signal) -> int:
        """The payload of the frame, packed; nothing with reference symbols only."""
        return self.known.downlink_bits(frame)
