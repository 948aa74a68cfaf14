"""What all learned schemes share: weights are found, echoes encoded, packets decoded."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.fronthaul.envelope import PacketError
from cooperative_isac.fronthaul.raw_packet import pack_echo, unpack_echo
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.learned.latent_packet import LatentCodec
from cooperative_isac.learned.network import Found
from cooperative_isac.learned.weights import WEIGHTS_FILE, load_weights
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.known_symbols import without_overflow
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.waveform.signal import Signal

WEIGHTS_VARIABLE = "ISAC_WEIGHTS"
SHIPPED = Path(__file__).resolve().parents[1] / "weights"
PRESENT = 0.5


class LearnedScheme:
    """A network with its weights behind the contract of schemes.contract."""

    period_s = None

    def __init__(self, scene: Scene, name: str):
        self.scene, self.name = scene, name
        self.static = StaticStage(scene)
        path = find_weights(scene, name)
        self.network = load_weights(path, scene)
        self.codec = LatentCodec(self.network, zlib.crc32(path.read_bytes()))

    def encode(self, echo: np.ndarray, frame: Signal, receiver: str) -> bytes:
        """Packet of one receiver's codewords; see schemes.contract."""
        echo = self.static.clean(without_overflow(echo), frame, receiver, self.period_s)
        return self.codec.pack(self.network.encoded(echo, frame, receiver), receiver, frame.number)

    def decode(self, packets: Mapping[str, bytes], frame: Signal) -> tuple[Detection, ...]:
        """Detections from the packets of the receivers that were heard; see schemes.contract."""
        if not packets:
            return ()
        latents = {
            name: self.unpacked(packet, name, frame) for name, packet in sorted(packets.items())
        }
        missing = torch.zeros(self.network.latent_shape)
        stacked = torch.stack([latents.get(name, missing) for name in self.network.receivers])
        heard = torch.tensor([float(name in latents) for name in self.network.receivers])
        knowledge = torch.from_numpy(self.network.knowledge(frame))
        found = self.network.read(self.network.center(stacked[None], heard[None], knowledge[None]))
        return detections(self.scene, found, tuple(latents))

    def unpacked(self, packet: bytes, receiver: str, frame: Signal) -> Tensor:
        """Latents [L, D] as the center knows them from one receiver's packet. PacketError says why
        one is refused.
        """
        return self.codec.unpack(packet, receiver, frame.number)

    def downlink_bits(self, frame: Signal) -> int:
        """The payload of the frame, packed, where symbols or static paths are removed before
        encoding; else nothing.
        """
        return (
            8 * len(pack_downlink(frame))
            if self.network.needs_symbols or self.static.is_active
            else 0
        )


class CentralScheme(LearnedScheme):
    """Raw echoes on the fronthaul; the encoders, too, are at the center, which knows the
    symbols.
    """

    def encode(self, echo: np.ndarray, frame: Signal, receiver: str) -> bytes:
        """Packet of one receiver's whole echo; see schemes.contract."""
        return pack_echo(self.scene, receiver, frame.number, echo)

    def unpacked(self, packet: bytes, receiver: str, frame: Signal) -> Tensor:
        """Latents [L, D] of the echo in one receiver's packet. PacketError says why one is
        refused.
        """
        echo = unpack_echo(self.scene, self.scene.grid, receiver, frame.number, packet)
        echo = self.static.clean(echo, frame, receiver, self.period_s)
        latents = self.network.encoded(echo, frame, receiver)
        if not torch.isfinite(latents).all():
            raise PacketError(receiver, "its echo is too strong to be one")
        return latents

    def downlink_bits(self, frame: Signal) -> int:
        """Nothing: only the center uses the symbols, and it made them."""
        return 0


def detections(scene: Scene, found: Found, sites: tuple[str, ...]) -> tuple[Detection, ...]:
    """What a network found in one frame (a batch of one) that moves fast enough to be no
    clutter.
    """
    chosen = found.presence[0] > PRESENT
    rows = zip(found.presence[0][chosen], found.state[0][chosen], found.deviation[0][chosen])
    all_found = [_detection(scene, *row, sites) for row in rows]
    return tuple(
        one
        for one in all_found
        if np.isfinite(one.position_m).all()
        and np.isfinite(one.velocity_mps).all()
        and np.linalg.norm(one.velocity_mps) >= scene.sensing.min_speed_mps
    )


def _detection(
    scene: Scene, presence: Tensor, state: Tensor, deviation: Tensor, sites: tuple[str, ...]
) -> Detection:
    size = scene.dimension
    position, velocity = np.array([0.0, 0.0, scene.plane_height_m]), np.zeros(3)
    position[:size], velocity[:size] = state[:size].numpy(), state[size:].numpy()
    variances = np.full((2, 3), scene.height_std_m**2)
    variances[:, :size] = deviation.double().numpy().reshape(2, size) ** 2
    odds_db = 10 / np.log(10) * float(torch.logit(presence.double(), eps=1e-6))
    return Detection(
        position,
        velocity,
        np.diag(variances.ravel()),
        odds_db,
        sites,
        len(sites) * len(scene.transmitters),
    )


def find_weights(scene: Scene, name: str) -> Path:
    """The weights of a scheme for a scene: those of ISAC_WEIGHTS, a file or folder, else shipped
    ones.

    In a folder, those for echoes of one shape,
    <scene>-<scheme>-<antennas>x<subcarriers>x<symbols>.safetensors, go before
    <scene>-<scheme>-q<Q>.safetensors (Q targets), and these before <scene>-<scheme>.safetensors.
    The folder of a training run has its own.
    """
    given = os.path.expanduser(os.environ.get(WEIGHTS_VARIABLE, ""))
    if os.path.isfile(given):
        return Path(given)
    if given and not os.path.isdir(given):
        raise ValueError(
            f"{WEIGHTS_VARIABLE}={given} is neither a file nor a folder; name one, or unset it for "
            "the "
            "shipped weights"
        )
    if given and os.path.isfile(Path(given, WEIGHTS_FILE)):
        return Path(given, WEIGHTS_FILE)
    stem = f"{scene.name}-{name}"
    shape = scene.receivers[0].num_ant, scene.grid.num_subcarriers, scene.grid.num_symbols
    endings = f"-{'x'.join(map(str, shape))}", f"-q{scene.draw.num_targets}", ""
    folders = [Path(given)] if given else []
    for folder in (*folders, SHIPPED):
        for path in (folder / f"{stem}{ending}.safetensors" for ending in endings):
            if path.is_file():
                return path
    known = sorted(path.stem for path in SHIPPED.glob("*.safetensors"))
    command = f"isac train {scene.source or scene.name} --scheme {name}"
    raise ValueError(
        f"scheme '{name}' has no weights for scene '{scene.name}' ({stem}.safetensors); "
        f"shipped: {', '.join(known) or 'none'}. Train some with '{command}' and name them with "
        f"{WEIGHTS_VARIABLE}=FILE"
    )
