"""CF Fig. 12: error over the bits on the fronthaul: codebooks of several sizes, and all schemes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cooperative_isac.evaluation.monte_carlo import draw_frame, score
from cooperative_isac.learned.network import Network
from cooperative_isac.learned.quantizer import Codebook
from cooperative_isac.learned.weights import load_weights
from cooperative_isac.metrics.consistency import rmse
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.learned import detections, find_weights

SIZES = (4, 8, 16, 32, 64, 128, 256)
REFIT_STEPS, REFIT_BATCH = 200, 4096
REFIT_SEED = 20_000


@torch.no_grad()
def codebook_rows(
    scene: Scene, scheme: str, num_frames: int, seed: int, on_frame: Callable[[], None]
) -> list[dict]:
    """Errors of a trained network with its codebooks made anew, larger and smaller, by k-means on
    its latents.

    Encoders and center stay as they were trained: the curve shows what the number of bits alone is
    worth.
    """
    network = load_weights(find_weights(scene, scheme), scene).eval()
    frames = [
        _encoded(network, replace(scene, seed=REFIT_SEED + seed), number, on_frame)
        for number in range(num_frames)
    ]
    latents = {
        name: torch.cat([encoded[name] for _, encoded in frames]) for name in network.receivers
    }
    draws = [
        _encoded(network, replace(scene, seed=seed), number, on_frame)
        for number in range(num_frames)
    ]
    rows = []
    for size in SIZES:
        books = {
            name: refitted(_codebook(network, name), size, latents[name])
            for name in network.receivers
        }
        bits = (
            network.latent_shape[0]
            * next(iter(books.values())).config.num_parts
            * (size - 1).bit_length()
        )
        rows.append(
            {
                "scheme": f"{scheme}, codebooks of {size}",
                "fronthaul_bits": bits,
                **_errors(scene, network, draws, books),
            }
        )
    return rows


def _codebook(network: Network, receiver: str) -> Codebook:
    codebook = network.codebook(receiver)
    assert codebook is not None  # only networks that quantize have a curve
    return codebook


def refitted(codebook: Codebook, size: int, latents: torch.Tensor) -> Codebook:
    """A codebook of another size for the same latents [count, D], by the same moving averages."""
    generator = torch.Generator().manual_seed(size)
    config = replace(codebook.config, size=size, decay=0.9, restart_after=5)
    made = Codebook(latents.shape[-1], config)
    for step in range(REFIT_STEPS):
        batch = latents[torch.randint(len(latents), (REFIT_BATCH,), generator=generator)]
        if step == REFIT_STEPS - 20:
            made.config = replace(config, restart_after=0)
        made.update(batch, made.nearest(batch), generator)
    return made


def draw_fronthaul(scene: Scene, rows: Sequence[dict], path: Path) -> None:
    """Errors of location and velocity over bits per access point and frame."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    curve = [row for row in rows if "codebooks" in row["scheme"]]
    for axes, key, label in zip(
        figure.subplots(1, 2),
        ("rmse_location_m", "rmse_velocity_mps"),
        ("RMSE of location (m)", "RMSE of velocity (m/s)"),
    ):
        axes.plot(
            [row["fronthaul_bits"] for row in curve],
            [row[key] for row in curve],
            "o-",
            markersize=4,
            label="codebooks of 4 to 256",
        )
        for index, row in enumerate(row for row in rows if row not in curve):
            axes.plot(
                row["fronthaul_bits"], row[key], "osv^<>DPX*hd"[index % 12], label=row["scheme"]
            )
        axes.set(xscale="log", yscale="log", xlabel="bits per access point and frame", ylabel=label)
        axes.grid(alpha=0.3, which="both")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    figure.suptitle(f"CF Fig. 12: fronthaul, {scene.name}, simulated")
    figure.savefig(path, dpi=90)


def _encoded(network: Network, scene: Scene, number: int, on_frame: Callable[[], None]):
    draw = draw_frame(scene, number)
    band = scene.band
    latents = {
        name: network.encode(echoes[band].samples, draw.frame.on(band), name)
        for name, echoes in draw.echoes.items()
    }
    on_frame()
    return draw, latents


def _errors(scene: Scene, network: Network, draws, books: dict[str, Codebook]) -> dict[str, float]:
    location, velocity, num_targets = [], [], 0
    for draw, latents in draws:
        sent = torch.stack(
            [books[name].lookup(books[name].nearest(latents[name])) for name in network.receivers]
        )
        side_information = torch.from_numpy(network.side_information(draw.frame.on(scene.band)))
        found = network.decode(
            network.center(sent[None], torch.ones(1, len(sent)), side_information[None])
        )
        errors = score(draw.targets, detections(scene, found, network.receivers), scene.dimension)
        location.append(errors[0])
        velocity.append(errors[1])
        num_targets += len(draw.targets)
    location, velocity = np.concatenate(location), np.concatenate(velocity)
    return {
        "rmse_location_m": rmse(location),
        "rmse_velocity_mps": rmse(velocity),
        "detection_rate": len(location) / num_targets,
    }
