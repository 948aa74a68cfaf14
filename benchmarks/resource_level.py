"""What resource-level cooperation brings in a scene, switched by the keys of its file.

Reference signals instead of data, code words beside data, more symbols, sparse instead of uniform
receive arrays, and estimators of angles, in variants of the scene cell_free_compact (DC section
III).

python benchmarks/resource_level.py [--frames N] [--seed S] [--workers W] [--tables NAME ...]
"""

import argparse
from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from stages import time_stages
from variants import ACCURACY, accuracy, add_numbers, changed

from cooperative_isac.api import evaluate

SCENE = "cell_free_compact"

# Frames with the live targets in which the processor time of an encoder is measured.
TIMED_FRAMES = 20

# Strides without a common divisor with a resource block and a slot: sensed elements have reference
# signals as often as all elements of the band.
STRIDES = (
    ("subcarrier_stride: 4", "subcarrier_stride: 5"),
    ("symbol_stride: 4", "symbol_stride: 5"),
)
ULA = "{kind: ula, num_elements: 8, spacing_wavelengths: 0.5}"


def signals(names, symbols, beams="random", more=""):
    """Changes of the scene file: components of the signal, and what receivers use of them."""
    keys = f"signals: [{names}]\n  reference_beams: {beams}\n{more}  group_size: 4"
    return (*STRIDES, ("group_size: 4", keys), ("symbols: payload", f"symbols: {symbols}"))


MAPPED_NAMES = "data, prs, csi_rs, dmrs"
UPLINK_NAMES = "srs_comb2, uplink_dmrs"
SIGNALS = {
    "data alone, known": signals("data", "payload"),
    "data beside references, data known": signals(MAPPED_NAMES, "payload"),
    "references known": signals(MAPPED_NAMES, "reference_only"),
    "references known, antenna by antenna": signals(MAPPED_NAMES, "reference_only", "antennas"),
    "references known, antennas in time": signals(
        MAPPED_NAMES, "reference_only", "antennas_in_time"
    ),
    "PRS alone known": signals("data, prs", "reference_only"),
    "both known": signals(MAPPED_NAMES, "all"),
    "SSB alone known": signals("data, ssb", "reference_only"),
    "references and SSB known": signals(MAPPED_NAMES + ", ssb", "reference_only"),
    "uplink: SRS comb 2 alone known": signals("srs_comb2", "reference_only"),
    "uplink: SRS comb 4 alone known": signals("srs_comb4", "reference_only"),
    "uplink: SRS comb 2 and DMRS known": signals(UPLINK_NAMES, "reference_only"),
}


def code_words(share, symbols, beams="random"):
    """Changes of the scene file: code words beside data with a share of the power."""
    return signals("data, code", symbols, beams, f"  code_power_share: {share}\n")


CODES = {
    **{f"code {share:g}, known": code_words(share, "reference_only") for share in (0.1, 0.2, 0.5)},
    "code 0.2, both known": code_words(0.2, "all"),
    "code 0.2, antenna by antenna": code_words(0.2, "reference_only", "antennas"),
    "code 0.2, antennas in time": code_words(0.2, "reference_only", "antennas_in_time"),
    "references known": signals(MAPPED_NAMES, "reference_only"),
}
BEAMS = {
    label: changes
    for label, changes in {**SIGNALS, **CODES}.items()
    if label in ("references known", "code 0.2, known") or "antenna" in label
}
SYMBOLS = {
    f"{count} symbols of a frame": (("num_symbols: 64", f"num_symbols: {count}"),)
    for count in (32, 64, 128)
}
NESTED = "{kind: nested, num_inner: 4, num_outer: 4}"
COPRIME = "{kind: coprime, first: 2, second: 5}"
ARRAYS = {
    "ula 8": (),
    "nested 4 + 4": ((ULA, NESTED),),
    "coprime 2, 5": ((ULA, COPRIME),),
}


def directions(method, criterion, array=ULA):
    """Changes of the scene file: angles of arrival by a method, at a receive array."""
    keys = f"scheme: music_fine\n  directions: {method}\n  num_sources: {criterion}"
    return ((ULA, array), ("scheme: local_ml", keys))


DIRECTIONS = {
    **{
        f"ula 8, {method}, {criterion}": directions(method, criterion)
        for method in ("music", "root_music", "esprit")
        for criterion in ("aic", "mdl")
    },
    **{
        f"nested 4 + 4, {method}, {criterion}": directions(method, criterion, NESTED)
        for method in ("music", "coarray_music")
        for criterion in ("aic", "mdl")
    },
}


def spectrum(scheme, fragments=None):
    """Changes of the scene file: a scheme, on all subcarriers or on fragments of them."""
    keys = "group_size: 4" if fragments is None else f"group_size: 4\n  fragments: {fragments}"
    return (("group_size: 4", keys), ("scheme: local_ml", f"scheme: {scheme}"))


PARTS = {
    "64 subcarriers": None,
    "0-23 and 52-63": "[[0, 23], [52, 63]]",
    "0-23": "[[0, 23]]",
}
SPECTRA = {
    f"{scheme}, {name}": spectrum(scheme, fragments)
    for scheme in ("local_ml", "compressed_sensing")
    for name, fragments in PARTS.items()
}
RECOVERY = {
    f"{method}, {name}": spectrum(f"compressed_sensing\n  recovery: {method}", fragments)
    for method in ("block_omp", "newtonized_omp")
    for name, fragments in PARTS.items()
}

# Six targets for receivers of four antennas.
SIX_TARGETS = (("num_targets: 2 ", "num_targets: 6 "), ("max_targets: 6", "max_targets: 10"))
ULA_4 = "{kind: ula, num_elements: 4}"
NESTED_2 = "{kind: nested, num_inner: 2, num_outer: 2}"
MANY_TARGETS = {
    "ula 4, music": (*directions("music", "aic", ULA_4), *SIX_TARGETS),
    "ula 4, esprit": (*directions("esprit", "aic", ULA_4), *SIX_TARGETS),
    "nested 2 + 2, music": (*directions("music", "aic", NESTED_2), *SIX_TARGETS),
    "nested 2 + 2, coarray_music": (*directions("coarray_music", "aic", NESTED_2), *SIX_TARGETS),
    "nested 2 + 2, local_ml": ((ULA, NESTED_2), *SIX_TARGETS),
}


def measured(title, variants, powers_dbm, section, options):
    """Table of the accuracy and cost of each variant."""
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    table.add_column("variant")
    add_numbers(table, ("dBm", *ACCURACY, "vel. median m/s", "bits down", "bit/s/Hz", "encode ms"))
    for label, changes in variants.items():
        scene = changed(SCENE, changes, section)
        scheme = scene.sensing.scheme
        times_ms = time_stages(scene, scheme, TIMED_FRAMES).times_ms["encode"]
        result = evaluate(
            scene,
            frames=options.frames,
            seed=options.seed,
            powers_dbm=powers_dbm,
            workers=options.workers,
        )
        for at_power in result.powers:
            figures = at_power.schemes[scheme]
            table.add_row(
                label,
                f"{at_power.power_dbm:g}",
                *accuracy(at_power, scheme),
                f"{figures.median_velocity_mps:.2f}",
                f"{figures.fronthaul_downlink_bits:,.0f}",
                f"{at_power.sum_rate:.1f}",
                f"{median(times_ms):.0f}",
            )
    return table


# Tables by name: title, variants, powers in dBm, section from which on keys change (None: all).
TABLES = {
    "signals": ("Reference signals", SIGNALS, [33.0], None),
    "codes": ("Code words beside data", CODES, [33.0, 40.0], None),
    "beams": ("Beams of reference signals and code words", BEAMS, [33.0], None),
    "fragments": ("Fragmented spectrum", SPECTRA, [33.0, 21.0], None),
    "recovery": ("Recovery, scheme compressed_sensing", RECOVERY, [33.0, 23.0], None),
    "symbols": ("Accumulation over symbols", SYMBOLS, [21.0], None),
    "arrays": ("Receive arrays", ARRAYS, [33.0, 21.0], "receivers"),
    "directions": ("Angles of arrival, scheme music_fine", DIRECTIONS, [33.0], "receivers"),
    "targets": ("Six targets, four antennas, music_fine", MANY_TARGETS, [43.0], "receivers"),
}


def main():
    """Measures the variants and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    options = parser.parse_args()
    console = Console(width=150)
    for name in options.tables:
        console.print(measured(*TABLES[name], options))


if __name__ == "__main__":
    main()
