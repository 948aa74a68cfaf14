"""Learned schemes: they find their weights, encode echoes and decode packets."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cooperative_isac.channel.echo import Echo
from cooperative_isac.fronthaul.downlink import downlink_size
from cooperative_isac.fronthaul.raw_packet import RAW_ECHO, unpack_echo
from cooperative_isac.fusion.detection import Detection
from cooperative_isac.learned.latent_packet import (
    CODED_INDICES,
    INDICES,
    LATENTS,
    LatentCodec,
)
from cooperative_isac.learned.network import PRESENCE_THRESHOLD, Predictions
from cooperative_isac.learned.scene_facts import fact_differences, scene_facts
from cooperative_isac.learned.weights import (
    WEIGHTS_FILE,
    DamagedWeightsError,
    load_weights,
    model_before_tables,
    weights_description,
)
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.contract import Decoder, Encoder, PacketError, Scheme
from cooperative_isac.schemes.known_symbols import without_overflow
from cooperative_isac.schemes.local_receiver import at_noise_power
from cooperative_isac.schemes.raw_ml import RawEncoder
from cooperative_isac.schemes.views import check_plain
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.waveform.frame import Frame

# Environment variable with a file or folder of weights.
WEIGHTS_VARIABLE = "ISAC_WEIGHTS"
# Folder of the shipped weights.
SHIPPED = Path(__file__).resolve().parents[1] / "weights"
# Probabilities are kept this far from 0 and 1, so that their log-odds are finite.
SMALLEST_PROBABILITY = 1e-6


class LearnedScheme(Scheme):
    """A scheme with a network and its weights."""

    def __init__(self, scene: Scene, name: str):
        check_plain(scene, name)
        super().__init__(scene, name)
        path = find_weights(scene, name)
        self.network = load_weights(path, scene)
        self.codec = LatentCodec(
            self.network, zlib.crc32(path.read_bytes()), model_before_tables(path)
        )


class DistributedScheme(LearnedScheme):
    """An encoder at every station, latents or codeword indices on the fronthaul (CF section III).

    dvqvae: convolutions on maps of locations
    dvqvae_demodulated: convolutions on demodulated echoes
    dvqvae_paper: the architecture and input of the paper, raw echoes (CF section III, Table II)
    dvae: as dvqvae without codebooks, float32 latents on the fronthaul, which shows the loss by
    quantization (CF section V-A)
    """

    formats = (INDICES, LATENTS, CODED_INDICES)

    def at(self, station: str) -> LatentEncoder:
        """A new encoder for one station; see schemes.contract."""
        return LatentEncoder(self.scene, self.scene.receiver(station).name, self.codec)

    def center(self) -> LatentDecoder:
        """A new decoder for the center; see schemes.contract."""
        return LatentDecoder(self.scene, self.codec)

    def downlink_bits(self, frame: Frame) -> int:
        """Size of the packed symbols and precoders, where encoders need them; else zero.

        They are needed to demodulate echoes and to remove static paths.
        """
        stages = [StaticStage(self.scene, site) for site in self.scene.receivers]
        if not (self.network.needs_symbols or any(stage.is_active for stage in stages)):
            return 0
        return 8 * downlink_size(self.scene)


class CentralScheme(LearnedScheme):
    """Raw echoes on the fronthaul; encoders and decoder are at the center.

    cnn: CF's convolutions on demodulated echoes, and a decoder with the scene's geometry
    cnn_paper: the centralized baseline as CF describes it, convolutions on raw echoes and fully
    connected layers (CF section V-A)
    """

    formats = (RAW_ECHO,)

    def at(self, station: str) -> RawEncoder:
        """A new encoder for one station; see schemes.contract."""
        return RawEncoder(self.scene, self.scene.receiver(station).name)

    def center(self) -> CentralDecoder:
        """A new decoder for the center; see schemes.contract."""
        return CentralDecoder(self.scene, self.codec)

    def downlink_bits(self, frame: Frame) -> int:
        """Zero: only the center, which generates the symbols, needs them."""
        return 0


class LatentEncoder(Encoder):
    """Encoder of one station: its echo through the network."""

    def __init__(self, scene: Scene, station: str, codec: LatentCodec):
        self.scene = scene
        self.station = station
        self._codec = codec
        self._static = StaticStage(scene, scene.receiver(station))

    def encode(self, echoes: Mapping[str, Echo], frame: Frame) -> bytes:
        """The packet of one station's latents or codewords; see schemes.contract."""
        # Scale the echo to the noise of the band, and remove static paths.
        signal = frame.on(self.scene.band)
        noise_power_w = self.scene.propagation.noise_power_w
        samples = without_overflow(at_noise_power(echoes[self.scene.band], noise_power_w))
        cleaned = self._static.clean(samples, signal, frame.time_s)

        # Encode and pack.
        latents = self._codec.network.encode(cleaned, signal, self.station)
        return self._codec.pack(latents, self.station, frame.number)


class LatentDecoder(Decoder):
    """Decoder at the center: latents of all stations through the network."""

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

        # Stack them in the network's order, with zeros for stations without a packet.
        missing = torch.zeros(network.latent_shape)
        stacked = torch.stack([latents.get(name, missing) for name in network.receivers])
        receiver_mask = torch.tensor([float(name in latents) for name in network.receivers])

        # Run the center on a batch of one frame.
        side_information = network.side_information(frame.on(self.scene.band))
        output = network.center(
            stacked[None], receiver_mask[None], torch.from_numpy(side_information)[None]
        )
        return detections(self.scene, network.decode(output), tuple(latents))

    def unpacked(self, packet: bytes, station: str, frame: Frame) -> Tensor:
        """Latents in the packet of one station, [L, D], float32.

        Raises PacketError where the packet is refused.
        """
        return self.codec.unpack(packet, station, frame.number)


class CentralDecoder(LatentDecoder):
    """Decoder at the center: raw echoes of all stations through encoders and center."""

    def __init__(self, scene: Scene, codec: LatentCodec):
        super().__init__(scene, codec)
        self._static = {site.name: StaticStage(scene, site) for site in scene.receivers}

    def unpacked(self, packet: bytes, station: str, frame: Frame) -> Tensor:
        """Latents of the echo in the packet of one station, [L, D], float32.

        Raises PacketError where the packet is refused.
        """
        signal = frame.on(self.scene.band)
        echo = unpack_echo(self.scene, self.scene.grid, station, frame.number, packet)
        echo = self._static[station].clean(echo, signal, frame.time_s)
        latents = self.codec.network.encode(echo, signal, station)
        if not torch.isfinite(latents).all():
            raise PacketError(station, "its echo is too strong to be one")
        return latents


def detections(
    scene: Scene, predictions: Predictions, stations: tuple[str, ...]
) -> tuple[Detection, ...]:
    """Detections of predictions that are present, finite and faster than clutter.

    predictions: of one frame (a batch of one)
    stations: names of the stations whose latents were used
    """
    is_present = predictions.presence[0] > PRESENCE_THRESHOLD
    rows = zip(
        predictions.presence[0][is_present],
        predictions.state[0][is_present],
        predictions.std[0][is_present],
    )
    found = [_detection(scene, *row, stations) for row in rows]
    return tuple(
        detection
        for detection in found
        if np.isfinite(detection.position_m).all()
        and np.isfinite(detection.velocity_mps).all()
        and np.linalg.norm(detection.velocity_mps) >= scene.sensing.min_speed_mps
    )


def _detection(
    scene: Scene, presence: Tensor, state: Tensor, std: Tensor, stations: tuple[str, ...]
) -> Detection:
    """The detection of one prediction.

    presence: [], float32, probability
    state, std: [2 dimension], float32, m and m/s
    """
    # Mean; in a plane the height is that of the plane.
    size = scene.dimension
    position = np.array([0.0, 0.0, scene.plane_height_m])
    velocity = np.zeros(3)
    position[:size] = state[:size].numpy()
    velocity[:size] = state[size:].numpy()

    # Covariance, without correlations.
    variances = np.full((2, 3), scene.height_std_m**2)
    variances[:, :size] = std.double().numpy().reshape(2, size) ** 2
    covariance = np.diag(variances.ravel())

    # In place of an SNR: odds of presence in dB, limited to 60 dB.
    odds_db = 10 / np.log(10) * float(torch.logit(presence.double(), eps=SMALLEST_PROBABILITY))
    num_paths = len(stations) * len(scene.transmitters)
    return Detection(position, velocity, covariance, odds_db, stations, num_paths)


def find_weights(scene: Scene, name: str) -> Path:
    """File of the weights of a scheme for a scene.

    The file in ISAC_WEIGHTS comes first, then the folder in it, then the shipped weights. The
    folder of a training run has one file. In other folders these come first to last:

        <scene>-<scheme>-<antennas>x<subcarriers>x<symbols>.safetensors  for this shape of echoes
        <scene>-<scheme>-q<Q>.safetensors                                for Q targets
        <scene>-<scheme>.safetensors

    and after them the files of another scene with the same sites, arrays and grid, by the same
    endings.

    Raises ValueError where there is none.
    """
    # File or folder of the user.
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

    # A file of the scene.
    endings = _endings(scene, name)
    folders = [Path(given), SHIPPED] if given else [SHIPPED]
    for folder in folders:
        for ending in endings:
            path = folder / f"{scene.name}{ending}.safetensors"
            if path.is_file():
                return path

    # A scene of another name, of the same sites, arrays and grid.
    for folder in folders:
        for ending in endings:
            path = _weights_of_same_sites(folder, ending, scene)
            if path is not None:
                return path

    # There is none.
    shipped = sorted(path.stem for path in SHIPPED.glob("*.safetensors"))
    command = f"isac train {scene.source or scene.name} --scheme {name}"
    raise ValueError(
        f"scheme '{name}' has no weights for scene '{scene.name}' "
        f"({scene.name}-{name}.safetensors); "
        f"shipped: {', '.join(shipped) or 'none'}. Train some with '{command}' and name them with "
        f"{WEIGHTS_VARIABLE}=FILE"
    )


def _endings(scene: Scene, name: str) -> tuple[str, ...]:
    """Endings of the names of files that serve a scene, the most specific first."""
    grid = scene.grid
    shape = f"{scene.receivers[0].num_ant}x{grid.num_subcarriers}x{grid.num_symbols}"
    return f"-{name}-{shape}", f"-{name}-q{scene.draw.num_targets}", f"-{name}"


def _weights_of_same_sites(folder: Path, ending: str, scene: Scene) -> Path | None:
    """The first file in a folder that was trained for the sites of a scene, or None.

    ending: of its name: scheme and, if any, the shape of echoes or the number of targets
    """
    facts = scene_facts(scene)
    for path in sorted(folder.glob(f"*{ending}.safetensors")):
        try:
            trained_for = weights_description(path)["scene"]
        except DamagedWeightsError:
            continue
        if not fact_differences(trained_for, facts):
            return path
    return None
