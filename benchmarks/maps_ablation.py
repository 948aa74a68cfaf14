"""Ablation of scheme dvqvae: errors of the trained network without some of its parts.

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

# Added to the logarithm of a standard deviation, so that the measurement has no weight.
USELESS = 40.0


@dataclass(frozen=True)
class Variant:
    """A variant of the scheme.

    quantized: packets are codewords, not latents in float32
    lengths: the lengths of paths refine the location
    max_outliers: largest number of outliers among the paths of a target; 0 is least squares
    """

    name: str
    quantized: bool = True
    lengths: bool = True
    max_outliers: int = MAX_OUTLIERS


VARIANTS = (
    Variant("as shipped"),
    Variant("float32, no codebooks", quantized=False),
    Variant("least squares, all paths", max_outliers=0),
    Variant("no path lengths", lengths=False),
    Variant("least squares, no lengths", lengths=False, max_outliers=0),
)


class VariantEncoder(Encoder):
    """Encoder of a variant. Its packets are tensors, as they stay in this process."""

    def __init__(self, scene, station, network, variant):
        self.scene = scene
        self.station = station
        self.network = network
        self.variant = variant

    def encode(self, echoes, frame):
        """Quantized latents, or the latents themselves, as bytes of float32."""
        band = self.scene.band
        latents = self.network.encode(echoes[band].samples, frame.on(band), self.station)
        codebook = self.network.codebook(self.station)
        sent = codebook.lookup(codebook.nearest(latents)) if self.variant.quantized else latents
        return sent.numpy().tobytes()


class VariantDecoder(Decoder):
    """Decoder of a variant."""

    def __init__(self, scene, network, variant):
        self.scene = scene
        self.network = network
        self.variant = variant

    def decode(self, packets, frame):
        """Detections of a frame; the network `maps` takes no side information."""
        # Latents of all receivers, a batch of one frame.
        shape = self.network.latent_shape
        latents = []
        for name in self.network.receivers:
            values = torch.frombuffer(bytearray(packets[name]), dtype=torch.float32)
            latents.append(values.reshape(shape))
        is_received = torch.ones(1, len(latents))
        side_information = torch.empty(1, 0)
        output = self.network.center(torch.stack(latents)[None], is_received, side_information)
        self.network.center.paths.max_outliers = self.variant.max_outliers
        found = self.network.decode(self._without_lengths(output))
        return detections(self.scene, found, tuple(packets))

    def _without_lengths(self, output: PlaneOutput) -> PlaneOutput:
        """The output with useless path lengths, if the variant does without them."""
        if self.variant.lengths:
            return output
        useless = output.length.log_std + USELESS
        return replace(output, length=replace(output.length, log_std=useless))


class VariantScheme(LearnedScheme):
    """A variant of scheme dvqvae."""

    def __init__(self, scene, variant):
        super().__init__(scene, "dvqvae")
        self.variant = variant

    def at(self, station):
        return VariantEncoder(self.scene, station, self.network, self.variant)

    def center(self):
        return VariantDecoder(self.scene, self.network, self.variant)

    def downlink_bits(self, frame):
        return 0


def measure(scene, num_frames):
    """Errors of all variants on the same random frames.

    Returns the location errors, m, and velocity errors, m/s, of the detected targets of each
    variant; and the number of targets.
    """
    schemes = [make_ends(VariantScheme(scene, variant)) for variant in VARIANTS]
    location_errors_m = [[] for _ in VARIANTS]
    velocity_errors_mps = [[] for _ in VARIANTS]
    num_targets = 0
    for number in track(range(num_frames), "frames"):
        draw = draw_frame(scene, number)
        num_targets += len(draw.targets)
        for index, scheme in enumerate(schemes):
            sample = measure_scheme(scheme, draw, scene.dimension)
            location_errors_m[index] += list(np.linalg.norm(sample.location_errors_m, axis=1))
            velocity_errors_mps[index] += list(np.linalg.norm(sample.velocity_errors_mps, axis=1))
    return location_errors_m, velocity_errors_mps, num_targets


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200, help="number of frames (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    options = parser.parse_args()

    scene = replace(load_scene("cell_free_compact"), seed=options.seed)
    with torch.no_grad():
        location_errors_m, velocity_errors_mps, num_targets = measure(scene, options.frames)

    headers = ("median, m", "RMSE", "median, m/s", "RMSE", "found")
    columns = [Column(name, no_wrap=True, justify="right") for name in headers]
    table = Table("", *columns, box=SIMPLE_HEAD)
    for variant, location_m, velocity_mps in zip(VARIANTS, location_errors_m, velocity_errors_mps):
        cells = []
        for errors in (location_m, velocity_mps):
            cells.append(f"{np.median(errors):.3f}")
            cells.append(f"{np.sqrt(np.mean(np.square(errors))):.3f}")
        table.add_row(variant.name, *cells, f"{len(location_m) / num_targets:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
