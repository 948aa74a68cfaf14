"""The commands `isac train` and `isac dataset`; each imports what it needs when it runs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cooperative_isac.training.splits import SPLITS

if TYPE_CHECKING:
    from cooperative_isac.scene.model import Scene as LoadedScene

Option = typer.Option
Scene = Annotated[
    str, typer.Argument(metavar="SCENE", help="Scene file, or name of a shipped scene.")
]
Scheme = Annotated[str, Option(help="Learned scheme to train.")]
Out = Annotated[
    Path | None,
    Option(help="Folder of the run; the same command resumes it. Default: runs/train-..."),
]
Epochs = Annotated[int | None, Option(help="Passes over the training samples.", min=1)]
BatchSize = Annotated[int | None, Option(help="Samples of one training step.", min=1)]
LearningRate = Annotated[float | None, Option(help="Learning rate of Adam.", min=0.0)]
Schedule = Annotated[str | None, Option(help="Schedule of the learning rate: constant or cosine.")]
Patience = Annotated[
    int | None,
    Option(help="Epochs without improvement after which training stops; 0: never.", min=0),
]
Samples = Annotated[
    int | None,
    Option(help="Number of training samples; default: the whole split (16,000 if drawn).", min=1),
]
Validation = Annotated[
    int | None, Option(help="Number of validation samples; default: the whole split.", min=1)
]
DropOut = Annotated[
    float | None,
    Option(help="Probability that a receiver is left out of a training sample.", min=0.0, max=0.9),
]
HoldEncoders = Annotated[
    bool, Option("--hold-encoders", help="Train codebooks and center only, with fixed encoders.")
]
Mirror = Annotated[
    bool,
    Option(
        "--mirror", help="Train on mirror images of half of the samples (maps, symmetric scene)."
    ),
]
Seed = Annotated[
    int | None, Option(help="Random seed of weights, order of samples and --drop-out.", min=0)
]
Precision = Annotated[
    str | None, Option(help="Arithmetic: float32, or bfloat16 for mixed precision.")
]
Targets = Annotated[tuple[int, int] | None, Option(help="Smallest and largest number of targets.")]
Power = Annotated[
    tuple[float, float] | None, Option(help="Lowest and highest transmit power, dBm.")
]
Scatterers = Annotated[
    tuple[int, int] | None, Option(help="Smallest and largest number of clutter scatterers.")
]
Timing = Annotated[
    tuple[float, float] | None,
    Option(help="Lowest and highest standard deviation of the timing offsets, s."),
]
Frequency = Annotated[
    tuple[float, float] | None,
    Option(help="Lowest and highest standard deviation of the frequency offsets, Hz."),
]
Vehicles = Annotated[
    tuple[float, float] | None,
    Option(help="Range of the share of vehicles among the targets; the others are UAVs."),
]
Hyper = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="NAME=VALUE",
        help="Hyperparameter of the network, for example codebook.size=64.",
    ),
]
Data = Annotated[
    Path | None,
    Option(help="Folder of 'isac dataset' with samples; default: drawn on the fly."),
]
CacheFolder = Annotated[
    Path | None,
    Option("--cache", help="Folder that stores the inputs of the encoders for later epochs."),
]
Begin = Annotated[
    Path | None,
    Option(help="File of initial weights, also of another scene; default: random.", exists=True),
]
Workers = Annotated[int, Option(help="Number of processes that draw samples.", min=0)]
Device = Annotated[str, Option(help="Device: cpu, cuda, or auto (cuda if available).")]
Half = Annotated[bool, Option("--half", help="Store the weights in 16 bits.")]
NewFolder = Annotated[Path, Option("--out", help="New folder for the dataset.")]
Count = Annotated[int, Option("--samples", help="Number of samples.", min=5)]


def train(
    scene: Scene,
    scheme: Scheme = "dvqvae",
    out: Out = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    schedule: Schedule = None,
    patience: Patience = None,
    samples: Samples = None,
    validation_samples: Validation = None,
    drop_out: DropOut = None,
    hold_encoders: HoldEncoders = False,
    mirror: Mirror = False,
    seed: Seed = None,
    precision: Precision = None,
    targets: Targets = None,
    power_dbm: Power = None,
    scatterers: Scatterers = None,
    timing_offset_s: Timing = None,
    frequency_offset_hz: Frequency = None,
    vehicles: Vehicles = None,
    hyperparameters: Hyper = None,
    data: Data = None,
    begin: Begin = None,
    cache: CacheFolder = None,
    workers: Workers = 1,
    device: Device = "auto",
    half: Half = False,
) -> None:
    """Train the codec of a learned scheme; curves and the best weights go into a folder."""
    # Settings of the run by their names; None: not chosen, so that the recipe's applies.
    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "patience": patience,
        "train_samples": samples,
        "validation_samples": validation_samples,
        "receiver_dropout": drop_out,
        "seed": seed,
        "precision": precision,
        "hold_encoders": hold_encoders or None,
        "mirror": mirror or None,
    }
    with faults():
        from dataclasses import replace

        from cooperative_isac.output.console import make_console
        from cooperative_isac.output.files import check_folder
        from cooperative_isac.scene.file.config import load_scene
        from cooperative_isac.training.command import make_job, run_job
        from cooperative_isac.training.samples import SampleRanges

        # Refuse a scene or a folder before the work begins.
        loaded = _trainable(load_scene(scene))
        folder = out or Path("runs") / f"train-{loaded.name}-{scheme}"
        check_folder(folder)
        if cache is not None:
            check_folder(cache)

        # The job: the recipe of the scheme, with the user's choices.
        chosen = {name: value for name, value in settings.items() if value is not None}
        ranges = SampleRanges(
            targets, power_dbm, scatterers, timing_offset_s, frequency_offset_hz, vehicles
        )
        job = make_job(loaded, scheme, folder, chosen, ranges, pairs(hyperparameters or []), data)
        run_job(
            replace(
                job,
                initial_weights=begin,
                cache=cache,
                num_workers=workers,
                device=device,
                half=half,
            ),
            make_console(),
        )


def dataset(
    scene: Scene,
    out: NewFolder,
    samples: Count = sum(split.count for split in SPLITS.values()),
    targets: Targets = None,
    power_dbm: Power = None,
    scatterers: Scatterers = None,
    timing_offset_s: Timing = None,
    frequency_offset_hz: Frequency = None,
    vehicles: Vehicles = None,
) -> None:
    """Write drawn samples into a folder; recordings in the same format train as well."""
    with faults():
        from cooperative_isac.output.files import check_new_folder
        from cooperative_isac.scene.file.config import load_scene
        from cooperative_isac.training.progress_bar import progress
        from cooperative_isac.training.recordings import write_samples
        from cooperative_isac.training.samples import DrawnSamples, SampleRanges

        ranges = SampleRanges(
            targets, power_dbm, scatterers, timing_offset_s, frequency_offset_hz, vehicles
        )
        source = DrawnSamples(_trainable(load_scene(scene)), ranges)
        check_new_folder(out)
        with progress() as bar:
            task = bar.add_task(f"samples of {source.scene.name}", total=samples, note="")
            for written in write_samples(source, out, samples):
                bar.update(task, completed=written)
        _describe(out)


def pairs(texts: list[str]) -> dict[str, object]:
    """Nested mapping of NAME=VALUE texts: names have dots between levels, values are YAML."""
    import yaml

    mapping: dict = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ValueError(f"--set {text}: write NAME=VALUE, as hidden=64")

        # Go down the levels, and set the value at the last one.
        *parents, last = name.split(".")
        place = mapping
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = yaml.safe_load(value)
    return mapping


def _trainable(scene: LoadedScene) -> LoadedScene:
    """The scene itself; ValueError where no learned scheme works with it."""
    from cooperative_isac.schemes.views import plain_fault

    reason = plain_fault(scene)
    if reason:
        raise ValueError(
            "learned schemes work on one band, with stations at rest, and need the links of all "
            f"transmitters; scene '{scene.name}' {reason}: train on a scene without that"
        )
    return scene


@contextmanager
def faults() -> Generator[None, None, None]:
    """Print errors that the user can mend in one line, and the remedy after Ctrl-C."""
    try:
        yield
    except ValueError as error:
        typer.echo("\n".join(f"error: {line}" for line in str(error).splitlines()), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command continues from the last checkpoint", err=True)
        raise typer.Exit(130) from None


def _describe(folder: Path) -> None:
    """Print the files of a new dataset."""
    import numpy as np
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from cooperative_isac.output.console import make_console

    table = Table("file", "shape", "type", box=SIMPLE_HEAD, title=str(folder), title_justify="left")
    for path in sorted(folder.glob("*.npy")):
        array = np.load(path, mmap_mode="r")
        table.add_row(path.name, " x ".join(map(str, array.shape)), str(array.dtype))
    make_console().print(
        table,
        "docs/learned_codecs.md describes them; recordings in the same files train as well.",
    )
