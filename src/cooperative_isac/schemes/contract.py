"""The contract of schemes: an encoder at every station, a decoder at the center."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.envelope import PacketError
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.scene.model import Scene
from cooperative_isac.waveform.frame import Frame

__all__ = ["Decoder", "Encoder", "PacketError", "Scheme"]


class Encoder(ABC):
    """The end of a scheme at one station, with its state from earlier frames.

    num_left_out: targets detected in the last frame that its packet cannot carry
    """

    num_left_out: int = 0

    @abstractmethod
    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of one frame, for all bands together.

        echoes: by name of the band, for the bands on the air on which the station receives
        frame: transmitted signals; its time_s is None where frames are independent draws
        """

    def idle(self) -> None:
        """Work to be done between sending a packet and receiving the next echo.

        It changes later packets only. A caller may skip it: encode then does it first.
        """
        return


class Decoder(ABC):
    """The end of a scheme at the center, with its state from earlier frames.

    follows: whether it follows targets from frame to frame, and needs the times of frames for that;
    others decode a frame by itself
    """

    follows: bool = False

    def prepare(self) -> None:
        """Compute ahead of the first frame what it would take longer for."""
        return

    @abstractmethod
    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections in one frame from the packets that arrived, by name of the station.

        PacketError names the station of a damaged packet; decode the others without it.
        """


class Scheme(ABC):
    """Compression of echoes at stations, and detection at the center from the packets.

    Nothing but the bytes of the packets travels between the two ends.

    scene: scene with the stations that the scheme works with (see arranged)
    name: name of the scheme
    formats: format numbers of its packets (fronthaul.envelope), by which a center separates them
    from those of other schemes in one frame
    synchronizes: values of the scene's `synchronization` by which it corrects clock offsets
    uses: keys of the scene's `sensing` that only some schemes use, and this one does
    (registry.SCHEME_SETTINGS)
    whitens: whether it measures the interference of symbols that receivers do not use, where data
    and code words share the resource elements; others take it for thermal noise
    cooperates: whether stations leave out targets at which their links are not used, in a scene
    with cooperation by zones
    """

    formats: tuple[int, ...] = ()
    synchronizes: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    whitens: bool = False
    cooperates: bool = False

    def __init__(self, scene: Scene, name: str):
        self.scene = scene
        self.name = name

    @abstractmethod
    def at(self, station: str) -> Encoder:
        """A new encoder for one station; KeyError with the names of the stations."""

    @abstractmethod
    def center(self) -> Decoder:
        """A new decoder for the center."""

    @abstractmethod
    def downlink_bits(self, frame: Frame) -> int:
        """Downlink bits per station and frame: symbols and precoders that encoders need."""

    def name_of(self, station: str) -> str:
        """Name of the scheme of one station: its own, where a scene has several schemes."""
        return self.name

    @staticmethod
    def arranged(scene: Scene) -> Scene:
        """The scene with the stations that the scheme works with; by default the scene itself.

        Idempotent.

        Raises ValueError where the scheme cannot work with the scene.
        """
        return scene
