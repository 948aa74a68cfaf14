"""Errors of the path lengths and Doppler shifts in maps of locations, plain and cleaned.

python benchmarks/map_errors.py [--frames N] [--seed N] [--power-dbm P]
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from cooperative_isac.channel.echo import apply_paths
from cooperative_isac.channel.paths import draw_paths
from cooperative_isac.evaluation.monte_carlo import draw_frame
from cooperative_isac.learned.maps.network import MapsConfig
from cooperative_isac.pipeline import make_frame
from cooperative_isac.scene.draw import draw_targets, frame_generator
from cooperative_isac.scene.file.config import load_scene, with_power
from cooperative_isac.scene.geometry import bistatic_geometry
from cooperative_isac.scene.model import TargetState
from cooperative_isac.sensing.cleaned_map import LEAST_SNR, CleanedMap
from cooperative_isac.sensing.location_map import LocationMap
from cooperative_isac.waveform.signal import Signal

SCENE = "cell_free_compact"
# Power at which noise has no part in the errors, dBm.
LARGE_POWER_DBM = 55.0
# Error of a length that belongs to another echo, m.
OUTLIER_M = 1.0


@dataclass
class Errors:
    """Errors of one kind of map.

    length_m, doppler_hz: of each path
    seconds: processor time of all maps
    num_maps: number of maps
    """

    length_m: list[float] = field(default_factory=list)
    doppler_hz: list[float] = field(default_factory=list)
    seconds: float = 0.0
    num_maps: int = 0

    def observe(self, kind: LocationMap | CleanedMap, echo: np.ndarray, frame: Signal):
        """A map of an echo; its time is added."""
        begin = time.process_time()
        maps = kind.observe(echo, frame)
        self.seconds += time.process_time() - begin
        self.num_maps += 1
        return maps

    def add(
        self,
        located: LocationMap,
        transmitter: int,
        target: TargetState,
        cell: int,
        shown: np.ndarray,
    ) -> None:
        """Add the errors of a target's path in a cell.

        shown: [3], power, share of the largest Doppler shift and of the largest excess length
        """
        # Paths over the target and over the middle of the cell.
        scene = located.scene
        ends = (scene.transmitters[transmitter].position_m, located.receiver.position_m)
        wavelength_m = scene.grid.wavelength_m
        path = bistatic_geometry(*ends, target.position_m, target.velocity_mps, wavelength_m)
        over_cell = bistatic_geometry(*ends, located.points_m[cell], np.zeros(3), wavelength_m)

        # What the map shows less the truth.
        _, doppler_share, excess_share = shown
        length_m = over_cell.range_m + excess_share * located.max_excess_m
        doppler_hz = doppler_share * located.max_doppler_hz
        self.length_m.append(abs(float(length_m - path.range_m)))
        self.doppler_hz.append(abs(float(doppler_hz - path.doppler_hz)))


def causes(num_frames: int, seed: int) -> dict[str, Errors]:
    """Errors of the plain map in the cell of a single target, with and without their causes."""
    scene = with_power(replace(load_scene(SCENE), seed=seed), LARGE_POWER_DBM)
    scene = replace(scene, draw=replace(scene.draw, num_targets=1))
    located = LocationMap(scene, scene.receivers[0], MapsConfig().cells)
    errors: dict[str, Errors] = {}
    for number in track(range(num_frames), "causes"):
        # A target as it is drawn, and at the center of its cell.
        frame = make_frame(scene, number).on(scene.band)
        (drawn,) = draw_targets(scene, frame_generator(scene.seed, number, "targets"))
        cell = nearest_cell(located, drawn.position_m)
        centered = replace(drawn, position_m=located.points_m[cell])

        for where, target in (("at a center", centered), ("anywhere", drawn)):
            # Its path from the first transmitter alone, and those from both.
            generator = np.random.default_rng([seed, number])
            paths = draw_paths(scene, located.receiver, [target], np.zeros((0, 3)), generator)
            first = paths.chosen(paths.transmitter == 0)
            for which, chosen in (("one path", first), ("both", paths)):
                echo = apply_paths(scene, frame, located.receiver, chosen, generator)
                measured = errors.setdefault(f"{where}, {which}", Errors())
                maps = measured.observe(located, echo, frame)
                shown = maps[0].reshape(3, -1)[:, cell]
                measured.add(located, 0, target, cell, shown)
    return errors


def compared(num_frames: int, seed: int, power_dbm: float) -> dict[str, Errors]:
    """Errors of both kinds of maps, in the strongest cell of the latent's cell at each target."""
    scene = with_power(replace(load_scene(SCENE), seed=seed), power_dbm)
    config = MapsConfig()
    errors = {"plain": Errors(), "cleaned": Errors()}
    for number in track(range(num_frames), "maps"):
        draw = draw_frame(scene, number)
        frame = draw.frame.on(scene.band)
        for site in scene.receivers:
            located = LocationMap(scene, site, config.cells)
            echo = draw.echoes[site.name][scene.band].samples
            located.observe(echo, frame)  # what is computed once
            for name, kind in (("plain", located), ("cleaned", CleanedMap(located))):
                maps = errors[name].observe(kind, echo, frame)
                add_detected(errors[name], located, config, draw.targets, maps)
    return errors


def add_detected(
    errors: Errors,
    located: LocationMap,
    config: MapsConfig,
    targets: Sequence[TargetState],
    maps: np.ndarray,
) -> None:
    """Add the errors of the paths of all targets that a map shows above the noise.

    maps: [num_tx, 3, cells, cells], as a map observes them
    """
    least_power = np.log10(1 + LEAST_SNR)
    for target in targets:
        cells = cells_of_latent(located, config, target.position_m)
        for transmitter, channels in enumerate(maps.reshape(len(maps), 3, -1)):
            power = channels[0]
            cell = cells[power[cells].argmax()]
            if power[cell] > least_power:
                errors.add(located, transmitter, target, cell, channels[:, cell])


def nearest_cell(located: LocationMap, point_m: np.ndarray) -> int:
    """The cell whose center is nearest to a point."""
    return int(np.linalg.norm(located.points_m - point_m, axis=1).argmin())


def cells_of_latent(located: LocationMap, config: MapsConfig, point_m: np.ndarray) -> np.ndarray:
    """The cells of a map that one latent has, the one of a point."""
    stride = config.cells // config.coarse
    row, column = divmod(nearest_cell(located, point_m), config.cells)
    rows = row // stride * stride + np.arange(stride)
    columns = column // stride * stride + np.arange(stride)
    return (rows[:, None] * config.cells + columns).ravel()


def show(title: str, errors: dict[str, Errors], console: Console) -> None:
    """Print a table of errors."""
    headers = ("length 50 %", "90 %", "95 %", "> 1 m", "shift 50 %", "90 %", "ms")
    columns = [Column(name, justify="right") for name in headers]
    table = Table(Column("", no_wrap=True), *columns, box=SIMPLE_HEAD)
    console.print(f"{title}: errors of path lengths (m) and Doppler shifts (Hz), time of a map")
    for name, measured in errors.items():
        length_m = np.array(measured.length_m)
        doppler_hz = np.array(measured.doppler_hz)
        table.add_row(
            name,
            *(f"{np.quantile(length_m, share):.3f}" for share in (0.5, 0.9, 0.95)),
            f"{np.mean(length_m > OUTLIER_M):.1%}",
            *(f"{np.quantile(doppler_hz, share):.1f}" for share in (0.5, 0.9)),
            f"{1e3 * measured.seconds / measured.num_maps:.0f}",
        )
    console.print(table)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=50, help="number of frames (default: 50)")
    parser.add_argument("--seed", type=int, default=777, help="random seed (default: 777)")
    parser.add_argument("--power-dbm", type=float, default=33.0, help="of the second table")
    options = parser.parse_args()
    console = Console()

    # The plain map, with and without the causes of its errors.
    of_causes = causes(options.frames, options.seed)
    show(f"plain map, a single target at {LARGE_POWER_DBM:g} dBm", of_causes, console)

    # Both kinds of maps.
    of_kinds = compared(options.frames, options.seed, options.power_dbm)
    show(f"two targets at {options.power_dbm:g} dBm", of_kinds, console)


if __name__ == "__main__":
    main()
