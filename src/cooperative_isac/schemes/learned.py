"""What all learned schemes share: weights are found, echoes encoded, packets decoded."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.downlink import pack_downlink
from cooperative_isac.fronthaul.raw_packet import FORMAT as RAW_ECHO
from cooperative_isac.fronthaul.raw_packet import unpack_echo
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.learned.latent_packet import INDICES, LATENTS, LatentCodec
from cooperative_isac.learned.network import Predictions
from cooperative_isac.learned.weights import WEIGHTS_FILE, load_weights
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Decoder, Encoder, PacketError, Scheme
from cooperative_isac.schemes.known_symbols import without_overflow
from cooperative_isac.schemes.local_receiver import at_noise_power
from cooperative_isac.schemes.raw_ml import RawEncoder
from cooperative_isac.schemes.views import check_plain
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.waveform.frame import Frame

WEIGHTS_VARIABLE = "ISAC_WEIGHTS"
SHIPPED = Path(__file__).resolve().parents[1] / "weights"
PRESENT = 0.5


class LearnedScheme(Scheme):
    """A network with its weights behind the contract of schemes.contract."""

    def __init__(self, scene: Scene, name: str):
        check_plain(scene, name)
        super().__init__(scene, name)
        path = find_weights(scene, name)
        self.network = load_weights(path, scene)
        self.codec = LatentCodec(self.network, zlib.crc32(path.read_bytes()))


class DistributedScheme(LearnedScheme):
    """A network at every station, whose latents or codeword indices travel (CF section III).

    dvqvae: with the best weights there are for the scene. dvqvae_demodulated: with convolutions on
    echoes that are freed of the symbols. dvqvae_paper: with the paper's own architecture and input,
    raw echoes (CF section III, Table II). dvae: without codebooks, float32 latents on the
    fronthaul, which shows what quantization costs (CF section V-A).
    """

    formats = (INDICES, LATENTS)

    def at(self, station: str) -> LatentEncoder:
        """A new encoder for one station; see schemes.contract."""
        return LatentEncoder(self.scene, self.scene.receiver(station).name, self.codec)

    def center(self) -> LatentDecoder:
        """A new decoder for the center; see schemes.contract."""
        return LatentDecoder(self.scene, self.codec)

    def downlink_bits(self, frame: Frame) -> int:
        """The payload of the frame, packed, where symbols or static paths are removed before
        encoding; else nothing.
        """
        if not (self.network.needs_symbols or StaticStage(self.scene).is_active):
            return 0
        return 8 * len(pack_downlink(frame.on(self.scene.band)))


class CentralScheme(LearnedScheme):
    """Raw echoes on the fronthaul; the encoders, too, are at the center, which knows the symbols.

    cnn: CF's convolutions on echoes that the center frees of the symbols, read with the scene's
    geometry. cnn_paper: the centralized baseline as CF describes it: raw echoes into convolutions
    and fully connected layers (CF section V-A).
    """

    formats = (RAW_ECHO,)

    def at(self, station: str) -> RawEncoder:
        """A new encoder for one station; see schemes.contract."""
        return RawEncoder(self.scene, self.scene.receiver(station).name)

    def center(self) -> CentralDecoder:
        """A new decoder for the center; see schemes.contract."""
        return CentralDecoder(self.scene, self.codec)

    def downlink_bits(self, frame: Frame) -> int:
        """Nothing: only the center uses the symbols, and it made them."""
        return 0


class LatentEncoder(Encoder):
    """One station: its echo through the network."""

    def __init__(self, scene: Scene, station: str, codec: LatentCodec):
        self.scene = scene
        self.station = station
        self._codec = codec
        self._static = StaticStage(scene)

    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of one station's codewords; see schemes.contract."""
        signal = frame.on(self.scene.band)
        noise_power_w = self.scene.propagation.noise_power_w
        samples = without_overflow(at_noise_power(echoes[self.scene.band], noise_power_w))
        cleaned = self._static.clean(samples, signal, frame.time_s)
        latents = self._codec.network.encode(cleaned, signal, self.station)
        return self._codec.pack(latents, self.station, frame.number)


class LatentDecoder(Decoder):
    """The center: latents of all stations through the network."""

    def __init__(self, scene: Scene, codec: LatentCodec):
        self.scene = scene
        self.codec = codec

    def decode(self, packets: Mapping[str, bytes], frame: Frame) -> tuple[Detection, ...]:
        """Detections from the packets that arrived; see schemes.contract."""
        if not packets:
            return ()
        network = self.codec.network
        latents = {
            station: self.unpacked(packet, station, frame)
            for station, packet in sorted(packets.items())
        }

        # Stations without a packet have zeros.
        missing = torch.zeros(network.latent_shape)
        stacked = torch.stack([latents.get(name, missing) for name in network.receivers])
        heard = torch.tensor([float(name in latents) for name in network.receivers])

        side_information = torch.from_numpy(network.side_information(frame.on(self.scene.band)))
        found = network.decode(network.center(stacked[None], heard[None], side_information[None]))
        return detections(self.scene, found, tuple(latents))

    def unpacked(self, packet: bytes, station: str, frame: Frame) -> Tensor:
        """Latents [L, D] as the center knows them from one station's packet. PacketError says why
        one is refused.
        """
        return self.codec.unpack(packet, station, frame.number)


class CentralDecoder(LatentDecoder):
    """The center: raw echoes through the encoders, too."""

    def __init__(self, scene: Scene, codec: LatentCodec):
        super().__init__(scene, codec)
        self._static = {site.name: StaticStage(scene) for site in scene.receivers}

    def unpacked(self, packet: bytes, station: str, frame: Frame) -> Tensor:
        """Latents [L, D] of the echo in one station's packet. PacketError says why one is
        refused.
        """
        signal = frame.on(self.scene.band)
        echo = unpack_echo(self.scene, self.scene.grid, station, frame.number, packet)
        echo = self._static[station].clean(echo, signal, frame.time_s)
        latents = self.codec.network.encode(echo, signal, station)
        if not torch.isfinite(latents).all():
            raise PacketError(station, "its echo is too strong to be one")
        return latents


def detections(scene: Scene, found: Predictions, sites: tuple[str, ...]) -> tuple[Detection, ...]:
    """What a network found in one frame (a batch of one) that moves fast enough to be no
    clutter.
    """
    chosen = found.presence[0] > PRESENT
    rows = zip(found.presence[0][chosen], found.state[0][chosen], found.std[0][chosen])
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
            f"{WEIGHTS_VARIABLE}={given} is neither a file nor a folder; name one, or unset it "
            "for the shipped weights"
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
