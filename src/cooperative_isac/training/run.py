"""One training run of a scheme for a scene, in one process or as one of several."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from cooperative_isac.learned.network import Network
from cooperative_isac.learned.paper.cnn import Cnn
from cooperative_isac.learned.paper.dvqvae import Dvqvae
from cooperative_isac.learned.weights import initialize_from, make_network
from cooperative_isac.scene.model import Scene
from cooperative_isac.training.algorithm import Center, HeldAccessPoint, LocalAccessPoint
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
    """What to train and where.

    source: None to draw samples on the fly; cache: folder of observations;
    begin: weights to begin from, also of another scene; codebooks are made anew.
    """

    scene: Scene
    scheme: str
    recipe: Recipe
    settings: Settings
    folder: Path
    source: RecordedSamples | None = None
    cache: Path | None = None
    begin: Path | None = None
    num_workers: int = 0
    device: str = "cpu"
    half: bool = False

    @property
    def samples(self) -> Source:
        """Where the samples come from."""
        return self.source or DrawnSamples(self.scene, self.settings.ranges)

    @property
    def description(self) -> Mapping:
        """What makes a run this run and no other."""
        settings = self.settings.stored()
        if not self.settings.hold_encoders:
            del settings["hold_encoders"]  # runs that began before there was one go on
        return {
            "scheme": self.scheme,
            "scene": self.scene.name,
            "fingerprint": self.scene.fingerprint,
            "source": str(self.source.folder) if self.source else "drawn",
            "kind": self.recipe.kind,
            "network": dict(self.recipe.network),
            "settings": settings,
            **({"begin": f"{zlib.crc32(self.begin.read_bytes()):08x}"} if self.begin else {}),
        }


def train_locally(job: Job, callback: Callback) -> Training:
    """Train with center and all access points in this process."""
    if job.settings.hold_encoders and job.device != "cpu":
        raise ValueError(
            "encoders are held on the CPU only; add --device cpu, or train without --hold-encoders"
        )
    torch.manual_seed(job.settings.seed)
    network = initial_network(job).to(job.device)
    access_points = [local_access_point(network, name, job.settings) for name in network.receivers]
    return _trained(job, network, access_points, _examples(job, network), callback)


def train_distributed(job: Job, callback: Callback) -> Training | None:
    """Train as the center (rank 0) or as one access point; only the center returns its training."""
    if job.settings.hold_encoders:
        raise ValueError(
            "encoders are held in one process; train without torchrun, or without --hold-encoders"
        )
    rank = join(len(job.scene.receivers))
    if rank != CENTER:
        _serve_access_point(job, rank - 1)
        return None
    torch.manual_seed(job.settings.seed)
    network = initial_network(job)
    access_points = [
        RemoteAccessPoint(name, 1 + index, network.latent_shape)
        for index, name in enumerate(network.receivers)
    ]
    for access_point in access_points:
        access_point.begin(network)
    training = _trained(job, network, access_points, Examples(network, job.samples, ()), callback)
    for access_point in access_points:
        access_point.end()
    return training


def initial_network(job: Job) -> Network:
    """The network that training begins with. WeightsError when those to begin from do not fit
    it.
    """
    network = make_network(job.scene, job.recipe.kind, job.recipe.network)
    if job.begin:
        initialize_from(network, job.begin)
    else:
        network.init_weights()
    return network


def local_access_point(network: Network, name: str, settings: Settings) -> LocalAccessPoint:
    """One receiver's side of the training; its random numbers are its own."""
    seed = settings.seed + 1 + network.receivers.index(name)
    if settings.hold_encoders:
        return HeldAccessPoint(name, network.codebook(name), settings.optimization, seed)
    return LocalAccessPoint(
        name, network.encoders[name], network.codebook(name), settings.optimization, seed
    )


def _serve_access_point(job: Job, index: int) -> None:
    with torch.device("meta"):  # the center's parameters, which may be many, are never made here
        network = make_network(job.scene, job.recipe.kind, job.recipe.network)
    name = network.receivers[index]
    _make_real(network.encoders[name])
    if network.codebook(name):
        _make_real(network.codebooks[name])
    serve(
        local_access_point(network, name, job.settings),
        Examples(network, job.samples, (name,), at_center=False),
    )


def _make_real(module: torch.nn.Module) -> None:
    """Give a module memory, for the center to fill; what it knows from the scene alone it keeps."""
    known = {name: buffer.clone() for name, buffer in module.named_buffers() if not buffer.is_meta}
    module.to_empty(device="cpu")
    for name, values in known.items():
        module.get_buffer(name).copy_(values)


def _trained(
    job: Job, network: Network, access_points, examples: Examples, callback: Callback
) -> Training:
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
    on_device = torch.device(job.device).type != "cpu" and job.source is None and job.cache is None
    has_reference = job.scene.waveform.reference_symbol_stride
    takes_echoes = isinstance(network, (Dvqvae, Cnn)) and not network.needs_symbols
    if on_device and takes_echoes and not has_reference and not job.scene.is_physical:
        return DeviceExamples(network, DrawnSamples(job.scene, job.settings.ranges))
    kind = EncodedExamples if job.settings.hold_encoders else Examples
    examples = kind(network, job.samples, network.receivers)
    if job.cache is not None:
        examples.cache = _cache(job, job.cache, examples)
    return examples


def _cache(job: Job, folder: Path, examples: Examples) -> Cache:
    samples = job.source.folder if job.source else job.settings.ranges.stored_text
    key = f"{job.scene.fingerprint} {examples.input_key} {samples}"
    wanted = {"train": job.settings.train_samples, "validation": job.settings.validation_samples}
    last = max(split_numbers(job.samples, name, count)[-1] for name, count in wanted.items())
    named = sum(split.count for split in SPLITS.values())
    return Cache(folder, key, max(named, int(last) + 1), cached_fields(examples[0]))
