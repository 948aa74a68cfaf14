"""Add tables of the codewords' frequencies to a file of weights that was trained without.

    python tools/code_tables.py cell_free_compact WEIGHTS --scheme dvqvae --samples 400

With tables the indices of codewords have fewer bits; `isac train` writes them by itself. They are
counted on training samples; the network stays as it is, and packets from before can be decoded.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cooperative_isac.learned.index_coder import frequency_tables
from cooperative_isac.learned.quantizer import usage
from cooperative_isac.learned.weights import add_tables, load_weights
from cooperative_isac.scene.file.config import load_scene
from cooperative_isac.sensing.static_stage import StaticStage
from cooperative_isac.training.recipes import RECIPES, recipe
from cooperative_isac.training.samples import DrawnSamples


def main() -> None:
    """Count the codewords of samples, and write the tables."""
    arguments = parsed()
    scene = load_scene(arguments.scene)
    network = load_weights(arguments.weights, scene)

    # Samples as in the training.
    ranges = recipe(arguments.scheme).ranges
    given = {
        "power_dbm": arguments.power_dbm and tuple(arguments.power_dbm),
        "targets": arguments.targets and tuple(arguments.targets),
        "vehicles": arguments.vehicles and tuple(arguments.vehicles),
    }
    ranges = replace(ranges, **{name: limits for name, limits in given.items() if limits})
    source = DrawnSamples(scene, ranges)

    # Uses of each codeword, in echoes without static paths, as access points encode them.
    static = StaticStage(scene)
    counts = {}
    for number in range(arguments.samples):
        sample = source.sample(number)
        for name in network.receivers:
            codebook = network.codebook(name)
            echo = static.clean(source.echo(sample, name), sample.frame)
            latents = network.encode(echo, sample.frame, name)
            uses = usage(codebook.nearest(latents), codebook.config.size)
            counts[name] = counts.get(name, 0) + uses

    # Tables
    tables = {name: frequency_tables(uses) for name, uses in counts.items()}
    add_tables(arguments.weights, tables)
    for name, uses in counts.items():
        shares = uses.double() / uses.sum(1, keepdim=True)
        entropy = torch.special.entr(shares).sum(1).numpy() / np.log(2)
        print(f"{name}: entropy of each part {entropy.round(2).tolist()} bits")


def parsed() -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", help="scene file, or name of a shipped scene")
    parser.add_argument("weights", type=Path, help="file of weights, changed in place")
    parser.add_argument("--scheme", default="dvqvae", choices=RECIPES, help="of the weights")
    parser.add_argument("--samples", type=int, default=400, help="training samples to count on")
    parser.add_argument("--power-dbm", type=float, nargs=2, help="lowest and highest power")
    parser.add_argument("--targets", type=int, nargs=2, help="smallest and largest number")
    parser.add_argument("--vehicles", type=float, nargs=2, help="range of the share of vehicles")
    return parser.parse_args()


if __name__ == "__main__":
    main()
