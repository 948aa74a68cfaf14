"""One training run of a scheme for a scene, in one process or distributed over several."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from cooperative_isac.learned.construction import make_network
from cooperative_isac.learned.network import Network
from cooperative_isac.learned.paper.cnn import Cnn
from cooperative_isac.learned.paper.dvqvae import Dvqvae
from cooperative_isac.learned.weights import initialize_from
from cooperative_isac.scene.model import Scene
from cooperative_isac.training.algorithm import (
    AccessPoint,
    Center,
    HeldAccessPoint,
    LocalAccessPoint,
)
from cooperative_isac.training.batches import EncodedExamples, Examples
from cooperative_isac.training.cache import Cache, cached_fields
from cooperative_isac.training.device_samples import DeviceExamples
from cooperative_isac.training.distributed import CENTER, RemoteAccessPoint, join, serve
from cooperative_isac.training.folder import RunFolder
from cooperative_isac.training.loop import Callback, Training
from cooperative_isac.training.recipes import Recipe
from cooperative_isac.training.recordings import RecordedSamples
from cooperative_isac.training.samples import SPLITS, DrawnSamples, Source, split_numbers
from cooperative_isac.training.settings import Settings


@dataclass(frozen=True)
class Job:
    """A training run that can be started.

    folder: of the run
    source: recorded samples; None: samples are drawn on the fly
    cache: folder of a cache of observations; None: no cache
    initial_weights: file whose parameters training begins with, also of another scene; codebooks
    are new; None: random weights
    num_workers: processes that draw samples beside the training
    device: on which the network is trained
    half: store weights in 16 bits
    """

    scene: Scene
    scheme: str
    recipe: Recipe
    settings: Settings
    folder: Path
    source: RecordedSamples | None = None
    cache: Path | None = None
    initial_weights: Path | None = None
    num_workers: int = 0
    device: str = "cpu"
    half: bool = False

    @property
    def samples(self) -> Source:
        """Source of the samples."""
        return self.source or DrawnSamples(self.scene, self.settings.ranges)

    @property
    def description(self) -> Mapping:
        """All that distinguishes the run from others."""
        settings = self.settings.stored()
        for name in ("hold_encoders", "mirror"):
            # Absent in runs that are older than this setting; they can be resumed.
            if not settings[name]:
                del settings[name]
        description = {
            "scheme": self.scheme,
            "scene": self.scene.name,
            "fingerprint": self.scene.fingerprint,
            "source": str(self.source.folder) if self.source else "drawn",
            "kind": self.recipe.kind,
            "network": dict(self.recipe.network),
            "settings": settings,
        }
        if self.initial_weights:
            description["begin"] = f"{zlib.crc32(self.initial_weights.read_bytes()):08x}"
        return description


def train_locally(job: Job, callback: Callback) -> Training:
    """Train with center and all access points in this process."""
    if job.settings.hold_encoders and job.device != "cpu":
        raise ValueError(
            "encoders are held on the CPU only; add --device cpu, or train without --hold-encoders"
        )
    torch.manual_seed(job.settings.seed)
    network = initial_network(job).to(job.device)
    access_points = [local_access_point(network, name, job.settings) for name in network.receivers]
    return _train(job, network, access_points, _examples(job, network), callback)


def train_distributed(job: Job, callback: Callback) -> Training | None:
    """Train as the center (rank 0) or as one access point; only the center returns its training."""
    if job.settings.hold_encoders:
        raise ValueError(
            "encoders are held in one process; train without torchrun, or without --hold-encoders"
        )
    if job.settings.mirror:
        raise ValueError(
            "samples are mirrored in one process; train without torchrun, or without --mirror"
        )
    rank = join(len(job.scene.receivers))
    if rank != CENTER:
        _serve_access_point(job, rank - 1)
        return None

    # The center and its connections to the access points.
    torch.manual_seed(job.settings.seed)
    network = initial_network(job)
    access_points = [
        RemoteAccessPoint(name, 1 + index, network.latent_shape)
        for index, name in enumerate(network.receivers)
    ]
    for access_point in access_points:
        access_point.initialize(network)

    # Train; observations are computed at the access points alone.
    examples = Examples(network, job.samples, ())
    training = _train(job, network, access_points, examples, callback)
    for access_point in access_points:
        access_point.end()
    return training


def initial_network(job: Job) -> Network:
    """The network with which training begins; WeightsError where initial weights do not fit it."""
    network = make_network(job.scene, job.recipe.kind, job.recipe.network)
    if job.initial_weights:
        initialize_from(network, job.initial_weights)
    else:
        network.init_weights()
    return network


def local_access_point(network: Network, name: str, settings: Settings) -> LocalAccessPoint:
    """One receiver's side of the training, with random numbers of its own."""
    seed = settings.seed + 1 + network.receivers.index(name)
    codebook = network.codebook(name)
    if settings.hold_encoders:
        return HeldAccessPoint(name, codebook, settings.optimization, seed)
    return LocalAccessPoint(name, network.encoders[name], codebook, settings.optimization, seed)


def _serve_access_point(job: Job, index: int) -> None:
    """Serve the center as access point number `index`."""
    # On the meta device the center's parameters, which may be many, take no memory.
    with torch.device("meta"):
        network = make_network(job.scene, job.recipe.kind, job.recipe.network)
    name = network.receivers[index]
    _allocate(network.encoders[name])
    if network.codebook(name):
        _allocate(network.codebooks[name])
    serve(
        local_access_point(network, name, job.settings),
        Examples(network, job.samples, (name,), at_center=False),
    )


def _allocate(module: torch.nn.Module) -> None:
    """Allocate a module on the meta device; the center sends its parameters later.

    Buffers that were computed from the scene keep their values.
    """
    computed = {
        name: buffer.clone() for name, buffer in module.named_buffers() if not buffer.is_meta
    }
    module.to_empty(device="cpu")
    for name, values in computed.items():
        module.get_buffer(name).copy_(values)


def _train(
    job: Job,
    network: Network,
    access_points: Sequence[AccessPoint],
    examples: Examples,
    callback: Callback,
) -> Training:
    """Run the training of a job in its folder."""
    folder = RunFolder(job.folder)
    folder.describe(
        {**job.description, "examples": type(examples).__name__, "input": examples.input_key}
    )
    training = Training(
        access_points,
        Center(network, job.settings.optimization),
        examples,
        job.settings,
        folder,
        job.num_workers,
        torch.device(job.device),
        job.half,
    )
    training.run(callback)
    return training


def _examples(job: Job, network: Network) -> Examples:
    """The examples of a job: with echoes computed on the device where that is possible."""
    if _has_device_echoes(job, network):
        return DeviceExamples(network, DrawnSamples(job.scene, job.settings.ranges))
    kind = EncodedExamples if job.settings.hold_encoders else Examples
    examples = kind(network, job.samples, network.receivers)
    if job.cache is not None:
        examples.cache = _cache(job, job.cache, examples)
    return examples


def _has_device_echoes(job: Job, network: Network) -> bool:
    """True for drawn raw echoes of a scene without world or reference symbols, on a device."""
    is_on_device = torch.device(job.device).type != "cpu"
    is_drawn = job.source is None and job.cache is None
    takes_raw_echoes = isinstance(network, (Dvqvae, Cnn)) and not network.needs_symbols
    has_reference = bool(job.scene.waveform.reference_symbol_stride)
    is_plain = not has_reference and not job.scene.is_physical
    return is_on_device and is_drawn and takes_raw_echoes and is_plain


def _cache(job: Job, folder: Path, examples: Examples) -> Cache:
    """The cache of a job's examples, large enough for the largest number of a sample."""
    # All that examples depend on.
    samples = job.source.folder if job.source else job.settings.ranges.stored_text
    key = f"{job.scene.fingerprint} {examples.input_key} {samples}"

    # Largest number of a sample in this run, or in the usual splits, so that runs with other
    # numbers of samples share the cache.
    counts = {
        "train": job.settings.train_samples,
        "validation": job.settings.validation_samples,
    }
    last_numbers = [split_numbers(job.samples, name, count)[-1] for name, count in counts.items()]
    num_in_run = int(max(last_numbers)) + 1
    num_in_splits = sum(split.count for split in SPLITS.values())
    size = max(num_in_splits, num_in_run)
    return Cache(folder, key, size, cached_fields(examples[0]))
