"""CF Tables I to III: setting, sizes of the networks, and processing times on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

from cooperative_isac.evaluation.cell_free.scenes import changed_scene
from cooperative_isac.learned.maps.network import Maps, MapsConfig
from cooperative_isac.learned.network import Network
from cooperative_isac.learned.paper.config import DvqvaeConfig
from cooperative_isac.learned.paper.dvqvae import Dvqvae
from cooperative_isac.learned.spectra.network import Spectra, SpectraConfig
from cooperative_isac.pipeline import transmit
from cooperative_isac.scene.describe import describe
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.scene.model import Scene
from cooperative_isac.training.command import count_parameters

# Runs of each stage, of which the fastest counts: others are slowed down by other processes.
REPETITIONS = 5
# Numbers of antennas, and of subcarriers and symbols, of CF Table III and of the compact scene.
SETTINGS = ((16, 256), (8, 256), (8, 128))
COMPACT_SETTING = (8, 64)


def setting_rows() -> list[dict]:
    """CF Table I: a row for each property, with the scene of the paper and the compact one."""
    names = ("cell_free_table1", "cell_free_compact")
    properties = {name: dict(describe(load_scene(name))) for name in names}
    labels = list(dict.fromkeys(label for texts in properties.values() for label in texts))
    rows = []
    for label in labels:
        if label == "file" or label.startswith("target"):
            continue
        values = {name: texts.get(label, "") for name, texts in properties.items()}
        rows.append({"what": label, **values})
    return rows


def size_rows() -> list[dict]:
    """CF Table II: a row for each network, with its numbers of parameters and bits."""
    compact = load_scene("cell_free_compact")
    # On the meta device the network of the paper takes no memory.
    with torch.device("meta"):
        paper = Dvqvae(load_scene("cell_free_table1"), DvqvaeConfig())

    rows = []
    for name, network in (
        ("dvqvae_paper, Table I", paper),
        ("dvqvae_demodulated, compact", Spectra(compact, SpectraConfig())),
        ("dvqvae, compact", Maps(compact, MapsConfig(cleaned=True))),
    ):
        receiver = network.receivers[0]
        codebook = network.codebook(receiver)
        assert codebook is not None, "all of these networks quantize"
        num_latents, latent_size = network.latent_shape
        rows.append(
            {
                "network": name,
                "encoder_parameters": count_parameters(network.encoders[receiver]),
                "decoder_parameters": count_parameters(network.center),
                "latents": num_latents,
                "latent_size": latent_size,
                "codewords": codebook.config.size,
                "bits": num_latents * codebook.config.num_parts * codebook.config.width,
            }
        )
    return rows


@torch.no_grad()
def time_rows(batch: int, on_row: Callable[[], None]) -> list[dict]:
    """CF Table III: times per frame of encoder, quantizer and decoder on this CPU and GPU.

    batch: frames in a batch
    on_row: called after each row

    Returns a row for each device, network and setting.
    """
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.append("cuda")

    rows = []
    for device in devices:
        for name, network, scene, (antennas, elements) in _timed_networks():
            rows.append(
                {
                    "device": device,
                    "network": name,
                    "antennas": antennas,
                    "elements": elements,
                    **_times(network, scene, batch, device),
                }
            )
            on_row()
    return rows


def _timed_networks() -> Iterator[tuple[str, Network, Scene, tuple[int, int]]]:
    """Yield name, network, scene and setting of the rows of CF Table III."""
    # The networks at the settings of the paper.
    for antennas, elements in SETTINGS:
        changes = {
            "receivers.*.array.num_elements": antennas,
            "transmitters.*.array.num_elements": antennas,
            "waveform.num_subcarriers": elements,
            "waveform.num_symbols": elements,
            # Subcarriers that share a precoder; it divides all numbers of subcarriers.
            "waveform.group_size": 4,
        }
        scene = changed_scene("cell_free_table1", changes)
        setting = (antennas, elements)
        yield "dvqvae_paper", Dvqvae(scene, DvqvaeConfig()), scene, setting
        yield "dvqvae_demodulated", Spectra(scene, SpectraConfig()), scene, setting

    # The networks of the compact scene.
    compact = load_scene("cell_free_compact")
    yield "dvqvae_demodulated", Spectra(compact, SpectraConfig()), compact, COMPACT_SETTING
    yield "dvqvae", Maps(compact, MapsConfig(cleaned=True)), compact, COMPACT_SETTING


def _times(network: Network, scene: Scene, batch: int, device: str) -> dict[str, float]:
    """Times of the three stages of a network, ms per frame."""
    network = network.to(device).eval()
    receiver = scene.receivers[0]
    encoder = network.encoders[receiver.name]
    codebook = network.codebook(receiver.name)
    assert codebook is not None, "all of these networks quantize"

    # Inputs of the network; the times do not depend on the echo.
    frame = transmit(scene, 0)
    shape = (receiver.num_ant, scene.grid.num_subcarriers, scene.grid.num_symbols)
    no_echo = np.zeros(shape, np.complex64)
    encoder_input = _batch(network.encoder_input(no_echo, frame, receiver.name), batch, device)
    side_information = _batch(network.side_information(frame), batch, device)

    # Quantized latents of all receivers.
    latents = encoder(encoder_input)
    quantized = codebook.lookup(codebook.nearest(latents))
    num_receivers = len(network.receivers)
    received = quantized[:, None].expand(-1, num_receivers, -1, -1)
    is_received = torch.ones(batch, num_receivers, device=device)

    stages = {
        "encoder_ms": lambda: encoder(encoder_input),
        "quantizer_ms": lambda: codebook.nearest(latents),
        "decoder_ms": lambda: network.decode(
            network.center(received, is_received, side_information)
        ),
    }
    return {stage: 1e3 / batch * _fastest_s(run, device) for stage, run in stages.items()}


def _batch(values: np.ndarray, batch: int, device: str) -> torch.Tensor:
    """The same values for each frame of a batch, on a device."""
    tensor = torch.from_numpy(values).to(device)
    return tensor.expand(batch, *values.shape).contiguous()


def _fastest_s(run: Callable[[], object], device: str) -> float:
    """Time of the fastest of several runs, s."""
    times_s = []
    for _ in range(REPETITIONS):
        start_s = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times_s.append(time.perf_counter() - start_s)
    return min(times_s)
