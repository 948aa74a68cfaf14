"""CF Fig. 12: error over the fronthaul bits, for codebooks of several sizes and all schemes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from cooperative_isac.evaluation.cell_free.plots import (
    LOCATION_PANEL,
    VELOCITY_PANEL,
    VELOCITY_UNKNOWN,
    Row,
    add_legend,
    save_picture,
    set_error_scale,
)
from cooperative_isac.evaluation.cell_free.styles import pictures, scheme_style
from cooperative_isac.evaluation.monte_carlo import Draw, draw_frame, score
from cooperative_isac.learned.index_coder import frequency_tables
from cooperative_isac.learned.latent_packet import LatentCodec
from cooperative_isac.learned.network import Network
from cooperative_isac.learned.quantizer import Codebook, usage
from cooperative_isac.learned.weights import load_weights
from cooperative_isac.metrics.consistency import rmse
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.learned import detections, find_weights

# Numbers of codewords of a part: 2 to 8 bits.
CODEBOOK_SIZES = (4, 8, 16, 32, 64, 128, 256)
# Steps of the moving averages that fit a codebook, and latents in a step: enough for the largest
# codebook to converge.
REFIT_STEPS = 200
REFIT_BATCH = 4096
# Decay of the moving averages, and steps after which an unused codeword is restarted. Both are
# faster than in training, as the latents do not change here.
REFIT_DECAY = 0.9
REFIT_RESTART_AFTER = 5
# Last steps, without restarts, so that restarted codewords settle.
SETTLING_STEPS = 20
# Added to the seed of the frames that codebooks are fitted to, so that they are not evaluated on
# the same frames.
REFIT_SEED = 20_000


@torch.no_grad()
def codebook_rows(
    scene: Scene, scheme: str, num_frames: int, seed: int, on_frame: Callable[[], None]
) -> list[dict]:
    """Errors of a trained network whose codebooks are replaced by larger and smaller ones.

    The codebooks and the tables of their frequencies are fitted to the latents of the trained
    encoders. Encoders and decoder are not trained again, so that the curve shows the effect of the
    number of bits alone: those of the packets, entropy coded.

    scheme: name of the learned scheme
    num_frames: frames to fit codebooks to, and to evaluate them on
    on_frame: called after each frame

    Returns a row for each size of the codebooks.
    """
    network = load_weights(find_weights(scene, scheme), scene).eval()

    # Latents of other frames, to fit codebooks to.
    fitting_scene = replace(scene, seed=REFIT_SEED + seed)
    fitting = []
    for number in range(num_frames):
        fitting.append(_encoded(network, fitting_scene, number)[1])
        on_frame()
    latents = {
        name: torch.cat([encoded[name] for encoded in fitting]) for name in network.receivers
    }

    # Latents of the frames that are evaluated.
    frames = []
    for number in range(num_frames):
        frames.append(_encoded(network, replace(scene, seed=seed), number))
        on_frame()

    # Bits and errors with codebooks of each size.
    trained = {name: _codebook(network, name) for name in network.receivers}
    rows = []
    for size in CODEBOOK_SIZES:
        for name, codebook in trained.items():
            network.codebooks[name] = refitted(codebook, size, latents[name])
        rows.append(
            {"scheme": f"{scheme}, codebooks of {size}", **_figures(scene, network, frames)}
        )
    return rows


def _codebook(network: Network, receiver: str) -> Codebook:
    codebook = network.codebook(receiver)
    assert codebook is not None, "only networks that quantize have a curve"
    return codebook


def refitted(codebook: Codebook, size: int, latents: torch.Tensor) -> Codebook:
    """Fit a codebook of another size, with the moving averages of the training.

    codebook: trained codebook, whose configuration is used
    size: number of codewords; a latent has one of them for each of its parts
    latents: [count, latent_size], float32, latents to fit to
    """
    # Every size has random numbers of its own, so that results do not depend on other sizes.
    generator = torch.Generator().manual_seed(size)
    config = replace(
        codebook.config, size=size, decay=REFIT_DECAY, restart_after=REFIT_RESTART_AFTER
    )
    fitted = Codebook(latents.shape[-1], config)
    for step in range(REFIT_STEPS):
        # Without restarts at the end.
        if step == REFIT_STEPS - SETTLING_STEPS:
            fitted.config = replace(config, restart_after=0)

        indices = torch.randint(len(latents), (REFIT_BATCH,), generator=generator)
        batch = latents[indices]
        fitted.update(batch, fitted.nearest(batch), generator)

    # Frequencies of the codewords
    fitted.tables = frequency_tables(usage(fitted.nearest(latents), size))
    return fitted


def draw_fronthaul(
    scene: Scene, scheme: str, curve: Sequence[Row], points: Sequence[Row], path: Path
) -> list[Path]:
    """Draw the errors of location and velocity over the fronthaul bits.

    scheme: scheme of the curve
    curve: rows of codebook_rows
    points: a row for each scheme as it is
    path: PNG file; further pictures have its name with a number

    Returns the files that were written.
    """
    rows = {row["scheme"]: row for row in points}
    style = scheme_style(scheme)
    paths = []
    for number, group in enumerate(pictures(list(rows)), start=1):
        figure = Figure(figsize=(11, 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        panels = (LOCATION_PANEL, VELOCITY_PANEL)
        for axes, (key, label) in zip(figure.subplots(1, len(panels)), panels):
            axes.plot(
                [row["fronthaul_bits"] for row in curve],
                [row[key] for row in curve],
                color=style.color,
                marker=".",
                linewidth=1.2,
                label=f"{scheme}, codebooks of {CODEBOOK_SIZES[0]} to {CODEBOOK_SIZES[-1]}",
            )
            for name in group:
                if key == VELOCITY_PANEL[0] and name in VELOCITY_UNKNOWN:
                    continue
                _draw_point(axes, name, rows[name]["fronthaul_bits"], rows[name][key])
            axes.set(xscale="log", xlabel="uplink bits per access point and frame", ylabel=label)
            set_error_scale(axes)
            # Labels at powers of ten only: those between would overlap.
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.3, which="both")
        add_legend(figure)
        figure.suptitle(f"CF Fig. 12: fronthaul; {scene.name}, simulated")
        paths.append(save_picture(figure, path, number))
    return paths


def _draw_point(axes: Axes, scheme: str, bits: float, error: float | None) -> None:
    """Draw the single point of a scheme that found targets."""
    if error is None:
        return
    style = scheme_style(scheme)
    axes.plot(bits, error, color=style.color, marker=style.marker, linestyle="", label=scheme)


def _encoded(network: Network, scene: Scene, number: int) -> tuple[Draw, dict[str, torch.Tensor]]:
    """A random frame without its echoes, and its latents by receiver."""
    draw = draw_frame(scene, number)
    band = scene.band
    latents = {
        name: network.encode(echoes[band].samples, draw.frame.on(band), name)
        for name, echoes in draw.echoes.items()
    }

    # At the scale of Table I the echoes of a hundred frames are 1.7 GB.
    return replace(draw, echoes={}), latents


def _figures(
    scene: Scene,
    network: Network,
    frames: Sequence[tuple[Draw, Mapping[str, torch.Tensor]]],
) -> dict[str, float]:
    """Bits of a packet, errors of detected targets, and share of targets found."""
    codec = LatentCodec(network, model=0)
    packet_bits = []
    location_errors_m = []
    velocity_errors_mps = []
    num_targets = 0
    for draw, latents in frames:
        # Encode and decode.
        number = draw.frame.number
        packets = {name: codec.pack(latents[name], name, number) for name in network.receivers}
        packet_bits += [8 * len(packet) for packet in packets.values()]
        received = torch.stack(
            [codec.unpack(packet, name, number) for name, packet in packets.items()]
        )[None]

        # Estimate, as a batch of one frame.
        is_received = torch.ones(1, len(packets))
        frame_information = network.side_information(draw.frame.on(scene.band))
        side_information = torch.from_numpy(frame_information)[None]
        output = network.decode(network.center(received, is_received, side_information))

        # Score.
        found = detections(scene, output, network.receivers)
        location_m, velocity_mps, _ = score(draw.targets, found, scene.dimension)
        location_errors_m.append(location_m)
        velocity_errors_mps.append(velocity_mps)
        num_targets += len(draw.targets)

    # Errors of all frames.
    all_location_errors_m = np.concatenate(location_errors_m)
    all_velocity_errors_mps = np.concatenate(velocity_errors_mps)
    return {
        "fronthaul_bits": float(np.mean(packet_bits)),
        "rmse_location_m": rmse(all_location_errors_m),
        "rmse_velocity_mps": rmse(all_velocity_errors_mps),
        "detection_rate": len(all_location_errors_m) / num_targets,
    }
