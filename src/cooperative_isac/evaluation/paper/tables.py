"""CF Tables I to III: the setting, the networks' sizes, and what a frame takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from cooperative_isac.evaluation.paper.scenes import changed_scene
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

REPETITIONS = 5
SETTINGS = ((16, 256), (8, 256), (8, 128))  # antennas, subcarriers and symbols of CF Table III


def setting_rows() -> list[dict]:
    """CF Table I beside the compact scene."""
    scenes = {
        name: dict(describe(load_scene(name))) for name in ("cell_free_table1", "cell_free_compact")
    }
    labels = dict.fromkeys(label for texts in scenes.values() for label in texts)
    return [
        {"what": label, **{name: texts.get(label, "") for name, texts in scenes.items()}}
        for label in labels
        if label != "file" and not label.startswith("target")
    ]


def size_rows() -> list[dict]:
    """CF Table II: parameters and bits of the paper's network at its own scale, and of the compact
    one.
    """
    rows, compact = [], load_scene("cell_free_compact")
    with torch.device("meta"):
        paper = Dvqvae(load_scene("cell_free_table1"), DvqvaeConfig())
    for name, network in (
        ("dvqvae_paper, Table I", paper),
        ("dvqvae_demodulated, compact", Spectra(compact, SpectraConfig())),
        ("dvqvae, compact", Maps(compact, MapsConfig())),
    ):
        book = network.codebook(network.receivers[0])
        assert book is not None  # each of them quantizes
        rows.append(
            {
                "network": name,
                "encoder_parameters": count_parameters(network.encoders[network.receivers[0]]),
                "decoder_parameters": count_parameters(network.center),
                "latents": network.latent_shape[0],
                "latent_size": network.latent_shape[1],
                "codewords": book.config.size,
                "bits": network.latent_shape[0] * book.config.num_parts * book.config.width,
            }
        )
    return rows


@torch.no_grad()
def time_rows(batch: int, on_row: Callable[[], None]) -> list[dict]:
    """CF Table III: milliseconds a frame of encoder, quantizer and decoder, in batches as in CF, on
    this CPU and GPU.
    """
    rows = []
    for device in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
        for antennas, elements in SETTINGS:
            changes = {
                "receivers.*.array.num_elements": antennas,
                "transmitters.*.array.num_elements": antennas,
                "waveform.num_subcarriers": elements,
                "waveform.num_symbols": elements,
                "waveform.group_size": 4,
            }
            scene = changed_scene("cell_free_table1", changes)
            for name, network in (
                ("dvqvae_paper", Dvqvae(scene, DvqvaeConfig())),
                ("dvqvae_demodulated", Spectra(scene, SpectraConfig())),
            ):
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
        compact = load_scene("cell_free_compact")
        for name, network in (
            ("dvqvae_demodulated", Spectra(compact, SpectraConfig())),
            ("dvqvae", Maps(compact, MapsConfig())),
        ):
            rows.append(
                {
                    "device": device,
                    "network": name,
                    "antennas": 8,
                    "elements": 64,
                    **_times(network, compact, batch, device),
                }
            )
            on_row()
    return rows


def _times(network: Network, scene: Scene, batch: int, device: str) -> dict[str, float]:
    network = network.to(device).eval()
    frame, site = transmit(scene, 0), scene.receivers[0]
    silence = np.zeros(
        (site.num_ant, scene.grid.num_subcarriers, scene.grid.num_symbols), np.complex64
    )
    observation = _batch(network.encoder_input(silence, frame, site.name), batch, device)
    side_information = _batch(network.side_information(frame), batch, device)
    codebook, encoder = network.codebook(site.name), network.encoders[site.name]
    assert codebook is not None  # each of them quantizes
    latents = encoder(observation)
    sent = codebook.lookup(codebook.nearest(latents))[:, None].expand(
        -1, len(network.receivers), -1, -1
    )
    heard = torch.ones(batch, len(network.receivers), device=device)
    stages = {
        "encoder_ms": lambda: encoder(observation),
        "quantizer_ms": lambda: codebook.nearest(latents),
        "decoder_ms": lambda: network.decode(network.center(sent, heard, side_information)),
    }
    return {stage: 1e3 / batch * _fastest_s(work, device) for stage, work in stages.items()}


def _batch(values: np.ndarray, batch: int, device: str) -> torch.Tensor:
    return torch.from_numpy(values).to(device).expand(batch, *values.shape).contiguous()


def _fastest_s(work: Callable[[], object], device: str) -> float:
    times = []
    for _ in range(REPETITIONS):
        began_s = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began_s)
    return min(times)
