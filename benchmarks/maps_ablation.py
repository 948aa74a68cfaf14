"""Ablation of scheme dvqvae: the trained network without one of its parts at a time.

python benchmarks/maps_ablation.py [--frames N] [--seed N]
"""

import argparse
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from cooperative_isac.evaluation.monte_carlo import draw_frame, make_ends, measure_scheme
from cooperative_isac.learned.plane.consensus import MAX_OUTLIERS
from cooperative_isac.learned.plane.output import PlaneOutput
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.schemes.contract import Decoder, Encoder
from cooperative_isac.schemes.learned import LearnedScheme, detections

# Added to the log of a standard deviation, so that a measurement has no weight.
USELESS = 40.0


@dataclass(frozen=True)
class Variant:
    """A variant of the network.

    quantized: codewords on the fronthaul; otherwise float32 latents
    lengths: the lengths of paths refine the first location
    max_outliers: largest number of outliers among the paths of a target; 0: least squares
    """

    name: str
    quantized: bool = True
    lengths: bool = True
    max_outliers: int = MAX_OUTLIERS


VARIANTS = (
    Variant("as shipped"),
    Variant("float32, no codebooks", quantized=False),
    Variant("least squares, all paths", max_outliers=0),
    Variant("first location, without lengths", lengths=False),
    Variant("neither", lengths=False, max_outliers=0),
)


class VariantEncoder(Encoder):
    """Packets are tensors, since nothing travels here."""

    def __init__(self, scene, station, network, variant):
        self.scene = scene
        self.station = station
        self.network = network
        self.variant = variant

    def encode(self, echoes, frame):
        band = self.scene.band
        latents = self.network.encode(echoes[band].samples, frame.on(band), self.station)
        codebook = self.network.codebook(self.station)
        sent = codebook.lookup(codebook.nearest(latents)) if self.variant.quantized else latents
        return sent.numpy().tobytes()


class VariantDecoder(Decoder):
    def __init__(self, scene, network, variant):
        self.scene = scene
        self.network = network
        self.variant = variant

    def decode(self, packets, frame):
        latents = [
            torch.frombuffer(bytearray(packets[name]), dtype=torch.float32).reshape(
                self.network.latent_shape
            )
            for name in self.network.receivers
        ]
        output = self.network.center(
            torch.stack(latents)[None], torch.ones(1, len(latents)), torch.empty(1, 0)
        )
        self.network.center.paths.max_outliers = self.variant.max_outliers
        return detections(self.scene, self.network.decode(self._changed(output)), tuple(packets))

    def _changed(self, output: PlaneOutput) -> PlaneOutput:
        if self.variant.lengths:
            return output
        useless = output.length.log_std + USELESS
        return replace(output, length=replace(output.length, log_std=useless))


class VariantScheme(LearnedScheme):
    """Scheme dvqvae as one variant."""

    def __init__(self, scene, variant):
        super().__init__(scene, "dvqvae")
        self.variant = variant

    def at(self, station):
        return VariantEncoder(self.scene, station, self.network, self.variant)

    def center(self):
        return VariantDecoder(self.scene, self.network, self.variant)

    def downlink_bits(self, frame):
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200, help="random frames (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the frames (default: 1)")
    options = parser.parse_args()
    scene = replace(load_scene("cell_free_compact"), seed=options.seed)
    schemes = [make_ends(VariantScheme(scene, variant)) for variant in VARIANTS]
    errors, found, wanted = [([], []) for _ in schemes], [0] * len(schemes), 0
    with torch.no_grad():
        for number in track(range(options.frames), "frames"):
            draw = draw_frame(scene, number)
            wanted += len(draw.targets)
            for index, scheme in enumerate(schemes):
                sample = measure_scheme(scheme, draw, scene.dimension)
                found[index] += len(sample.location_errors_m)
                for kept, new in zip(
                    errors[index], (sample.location_errors_m, sample.velocity_errors_mps)
                ):
                    kept += list(np.linalg.norm(new, axis=1))
    headers = "median, m", "RMSE", "median, m/s", "RMSE", "found"
    table = Table(
        "", *(Column(name, no_wrap=True, justify="right") for name in headers), box=SIMPLE_HEAD
    )
    for variant, own, count in zip(VARIANTS, errors, found):
        figures = [
            f"{value:.3f}"
            for lengths in own
            for value in (np.median(lengths), np.sqrt(np.mean(np.square(lengths))))
        ]
        table.add_row(variant.name, *figures, f"{count / wanted:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
