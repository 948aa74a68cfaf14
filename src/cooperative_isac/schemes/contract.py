"""The contract that every scheme keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from cooperative_isac.fronthaul.envelope import PacketError
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.signal import Signal

__all__ = ["PacketError", "Scheme", "SchemeClass", "after_sending", "arranged_scene"]


class Scheme(Protocol):
    """Encode at the access point, decode at the center; the packet's bytes are all that travels
    between them.

    period_s: time from one frame to the next, set by who feeds it consecutive frames of one scene,
    so that it may use what earlier ones taught it; None where frames are independent draws.

    A scheme that needs another network than the scene's sites also has a static method
    arrange(scene) ->
    Scene: the same scene with its own transmitters and receivers. Arranging twice changes nothing
    more.

    A scheme may have a method after_sending(receiver): what an access point does when the packet of
    a frame is on its way and the next echo not there yet. It changes later packets only, and encode
    does it where nobody did.
    """

    name: str
    period_s: float | None

    def encode(self, echo: np.ndarray, frame: Signal, receiver: str) -> bytes:
        """Compress one echo [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), to a
        packet.
        """

    def decode(self, packets: Mapping[str, bytes], frame: Signal) -> tuple[Detection, ...]:
        """Detections in one frame from the packets of the receivers that were heard.

        PacketError names a damaged packet; decode the others without it.
        """

    def downlink_bits(self, frame: Signal) -> int:
        """Bits that each access point must be told of a frame before it can encode."""


class SchemeClass(Protocol):
    """What makes a scheme for a scene, mostly the class of the scheme."""

    name: str

    def __call__(self, scene: Scene) -> Scheme:
        """A scheme for the scene. ValueError says why there can be none."""


def after_sending(scheme: Scheme, receiver: str) -> None:
    """What a receiver still has to do when its packet is on its way: nothing in most schemes."""
    work = getattr(scheme, "after_sending", None)
    if work is not None:
        work(receiver)


def arranged_scene(scheme: Scheme | SchemeClass, scene: Scene) -> Scene:
    """The scene with the sites of a scheme: its own if it has an `arrange`, else the scene's.

    ValueError: the sites are its own, and the scene's echoes come from a path file.
    """
    arrange = getattr(scheme, "arrange", None)
    arranged = scene if arrange is None else arrange(scene)
    if arranged is not scene and scene.propagation.paths is not None:
        raise ValueError(
            f"scheme '{scheme.name}' works with sites of its own, but "
            f"{scene.propagation.paths.source} has paths between those of scene "
            f"'{scene.name}' only; use another scheme"
        )
    return arranged
