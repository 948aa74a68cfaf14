"""Files of weights: safetensors, with hyperparameters and scene as JSON; nothing is unpickled."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cooperative_isac.learned.construction import WeightsError, first_fault, is_large, make_network
from cooperative_isac.learned.index_coder import are_tables, frequency_tables
from cooperative_isac.learned.network import Network
from cooperative_isac.learned.quantizer import TRAINING_STATE
from cooperative_isac.learned.scene_facts import fact_differences, scene_facts
from cooperative_isac.scene.file.errors import quoted
from cooperative_isac.scene.model import Scene

# Format of files that save_weights writes.
WEIGHTS_FORMAT = "cooperative_isac weights 2"
# The previous format has other names for some kinds of networks, and British ones for parts.
PREVIOUS_FORMAT = "cooperative_isac weights 1"
RENAMED_KINDS = {"dvqvae": "paper_dvqvae", "cnn": "paper_cnn"}
RENAMED_PARTS = {"centre": "center", "quantised": "quantized"}
# Name of the file in the folder of a training run.
WEIGHTS_FILE = "weights.safetensors"
# Key of the description in the metadata of a file.
METADATA_KEY = "cooperative_isac"

# Remedy in error messages.
TRAIN_ANEW = "train anew with 'isac train'"
# Name in files of the tables of a codebook, which a file need not have, and their type.
TABLES = re.compile(r"codebooks\.(.+)\.tables")
TABLES_TYPE = torch.int32
# Types of numbers in files: those that save_weights writes, and bfloat16, which others may write.
NUMBER_TYPES = (torch.float32, torch.float16, torch.bfloat16)


class DamagedWeightsError(WeightsError):
    """A file that is damaged or has no weights: no scene can use it."""


class WeightsDescription(BaseModel):
    """Description of a network, in the metadata of a file."""

    model_config = ConfigDict(strict=True)

    format: str
    kind: str
    config: dict[str, Any]
    scene: dict[str, Any]
    training: dict[str, Any]
    model_before_tables: int | None = None


def save_weights(path: Path, network: Network, training: Mapping, half: bool = False) -> None:
    """Write a network to a file.

    training: how it was trained, and its errors
    half: store numbers in 16 bits
    """
    # Tensors
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in _stored_state(network).items()
    }
    tensors |= _tables(network)
    if half:
        tensors = {
            name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }

    # Description
    description = {
        "format": WEIGHTS_FORMAT,
        "kind": network.kind,
        "config": asdict(network.config),
        "scene": scene_facts(network.scene),
        "training": dict(training),
    }

    # One key of metadata, so that the same network always gives the same bytes.
    metadata = {METADATA_KEY: json.dumps(description, allow_nan=False)}
    path.write_bytes(save(tensors, metadata))


def load_weights(path: Path, scene: Scene) -> Network:
    """The network of a file, for a scene that it was trained for.

    Raises WeightsError with what does not fit.
    """
    # Same scene
    description = weights_description(path)
    differences = fact_differences(description["scene"], scene_facts(scene))
    if differences:
        raise WeightsError(
            f"weights {path} were trained for another scene than '{scene.name}': "
            f"{'; '.join(differences[:4])}. Train others with 'isac train'"
        )

    # Network of the hyperparameters; a large one without its memory first, as the file may be
    # damaged.
    tensors = _tensors(path)
    tables = {name: tensors.pop(name) for name in list(tensors) if TABLES.fullmatch(name)}
    kind = description["kind"]
    config = description["config"]
    try:
        if is_large(config):
            with torch.device("meta"):
                _check_shapes(path, make_network(scene, kind, config), tensors)
        network = make_network(scene, kind, config)
    except DamagedWeightsError:
        raise
    except WeightsError as error:
        raise DamagedWeightsError(f"weights {path}: {error}; {TRAIN_ANEW}") from None

    # Tensors; the state of which only training needs is in no file.
    _check_shapes(path, network, tensors)
    network.load_state_dict(tensors, strict=False)
    _set_tables(path, network, tables)
    return network.eval().requires_grad_(False)


def add_tables(path: Path, tables: Mapping[str, Tensor]) -> None:
    """Add tables of the codewords' frequencies to a file; all else in it stays as it is.

    tables: by receiver, [num_parts, size], int32 (index_coder.frequency_tables)
    Raises WeightsError where the file has no weights.
    """
    # Packets without tables name the file as it was.
    description = weights_description(path)
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        text = file.metadata()[METADATA_KEY]
        tensors = {name: file.get_tensor(name) for name in names}
    if not any(TABLES.fullmatch(name) for name in tensors):
        description = {**json.loads(text), "model_before_tables": zlib.crc32(path.read_bytes())}
        text = json.dumps(description, allow_nan=False)

    # Safetensors refuses tensors that share memory.
    tensors |= {_tables_name(receiver): table.clone() for receiver, table in tables.items()}
    path.write_bytes(save(tensors, {METADATA_KEY: text}))


def model_before_tables(path: Path) -> int | None:
    """CRC-32 of a file before tables were added to it; None: they were not added."""
    return weights_description(path).get("model_before_tables")


def initialize_from(network: Network, path: Path) -> None:
    """Initialize a network from a file, also from one for another scene.

    Statistics stay as they are, and so do codebooks where the file has none of the same sizes.

    Raises WeightsError where the file has another network.
    """
    # Parameters in the file, and those that differ from the network's.
    description = weights_description(path)
    parameters = dict(network.named_parameters())
    tensors = _tensors(path)
    stored = {name: tensor for name, tensor in tensors.items() if name in parameters}
    differing = [
        name
        for name, parameter in parameters.items()
        if name not in stored or stored[name].shape != parameter.shape
    ]
    if description["kind"] != network.kind or differing:
        there = {"kind": description["kind"], "dimension": description["scene"].get("dimension")}
        here = {"kind": network.kind, "dimension": network.scene.dimension}
        differences = fact_differences(there, here)
        if differing:
            count = f"{len(differing)} of {len(parameters)}"
            differences.append(f"{count} parameters differ, {differing[0]} first")
        raise WeightsError(
            f"training cannot begin from {path}: it is another network ({'; '.join(differences)})"
        )
    network.load_state_dict(stored, strict=False)

    # Codewords, with their frequencies as numbers of uses.
    for receiver in network.codebooks:
        codebook = network.codebook(receiver)
        assert codebook is not None
        codewords = tensors.get(f"codebooks.{receiver}.codewords")
        if codewords is None or codewords.shape != codebook.codewords.shape:
            continue
        tables = tensors.get(_tables_name(receiver))
        if tables is not None and tables.shape != codewords.shape[:2]:
            raise _table_fault(path, _tables_name(receiver))
        codebook.begin_with(codewords.float(), tables)


def weights_description(path: Path) -> dict:
    """Description of the network in a file: format, kind, config, scene, training.

    Raises WeightsError where the file has no such description.
    """
    # Read the metadata.
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY, "{}")
    except (OSError, SafetensorError) as error:
        raise DamagedWeightsError(
            f"weights {path} cannot be read: {quoted(error)}; name a safetensors file of "
            "'isac train'"
        ) from None
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedWeightsError(
            f"weights {path}: their description is no JSON ({quoted(error)}); {TRAIN_ANEW}"
        ) from None

    # Check the format.
    if isinstance(description, dict) and description.get("format") == PREVIOUS_FORMAT:
        description = _renamed(description)
    found = description.get("format") if isinstance(description, dict) else None
    if found != WEIGHTS_FORMAT:
        raise DamagedWeightsError(
            f"weights {path} are of format '{quoted(found)}', not '{WEIGHTS_FORMAT}'; {TRAIN_ANEW}"
        )
    try:
        WeightsDescription.model_validate(description)
    except ValidationError as error:
        raise DamagedWeightsError(f"weights {path}: {first_fault(error)}; {TRAIN_ANEW}") from None
    return description


def _renamed(description: dict) -> dict:
    """The description of a file of the previous format with today's names."""
    kind = description.get("kind")
    config = description.get("config")
    renamed = {**description, "format": WEIGHTS_FORMAT}
    if isinstance(kind, str):
        renamed["kind"] = RENAMED_KINDS.get(kind, kind)
    if isinstance(config, dict):
        renamed["config"] = {_part_name(key): value for key, value in config.items()}
    return renamed


def _part_name(name: str) -> str:
    """Today's name of a tensor or hyperparameter of the previous format."""
    for before, now in RENAMED_PARTS.items():
        name = name.replace(before, now)
    return name


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name; WeightsError for a type or number that no network has."""
    # Read
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            tensors = {_part_name(name): file.get_tensor(name) for name in names}
    except (
        OSError,
        SafetensorError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
    ) as error:
        raise DamagedWeightsError(
            f"weights {path} cannot be read: {quoted(error)}; {TRAIN_ANEW}"
        ) from None

    # Check the numbers
    for name, tensor in tensors.items():
        if TABLES.fullmatch(name):
            if tensor.dtype != TABLES_TYPE or tensor.dim() != 2 or not are_tables(tensor):
                raise _table_fault(path, name)
            continue
        if tensor.dtype not in NUMBER_TYPES:
            raise DamagedWeightsError(
                f"weights {path}: {quoted(name)} is of type {tensor.dtype}, must be float32 or "
                f"float16; {TRAIN_ANEW}"
            )
        if not torch.isfinite(tensor).all():
            raise DamagedWeightsError(
                f"weights {path}: {quoted(name)} has numbers that are not finite; {TRAIN_ANEW}"
            )
    return tensors


def _stored_state(network: Network) -> dict[str, Tensor]:
    """The state of a network without the part that only training needs."""
    return {
        name: tensor
        for name, tensor in network.state_dict().items()
        if name.rpartition(".")[2] not in TRAINING_STATE
    }


def _tables_name(receiver: str) -> str:
    """Name in files of the tables of a receiver's codebook."""
    return f"codebooks.{receiver}.tables"


def _tables(network: Network) -> dict[str, Tensor]:
    """Tables of all codebooks by name: of their uses in training, or those that they have."""
    tables = {}
    for receiver in network.codebooks:
        codebook = network.codebook(receiver)
        assert codebook is not None
        # A codebook of one codeword needs no bits, and an untrained one has no uses.
        if codebook.config.size > 1 and (codebook.counts.sum(1) > 0).all():
            tables[_tables_name(receiver)] = frequency_tables(codebook.counts)
        elif codebook.tables is not None:
            tables[_tables_name(receiver)] = codebook.tables
    return tables


def _set_tables(path: Path, network: Network, tables: Mapping[str, Tensor]) -> None:
    """Set the tables of a network's codebooks; WeightsError for some that it cannot have."""
    expected = {_tables_name(receiver): receiver for receiver in network.codebooks}
    for name, table in tables.items():
        codebook = network.codebook(expected.get(name, ""))
        if codebook is None or table.shape != codebook.codewords.shape[:2]:
            raise _table_fault(path, name)
        codebook.tables = table


def _table_fault(path: Path, name: str) -> DamagedWeightsError:
    """The error of a file whose tables of a codebook are none."""
    return DamagedWeightsError(
        f"weights {path}: {quoted(name)} are no frequencies of its codewords; {TRAIN_ANEW}"
    )


def _check_shapes(path: Path, network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Raise WeightsError where a file's tensors are not those of a network."""
    # Names
    expected = {name: tensor.shape for name, tensor in _stored_state(network).items()}
    missing = [name for name in expected if name not in tensors]
    unknown = [quoted(name) for name in tensors if name not in expected]
    if missing or unknown:
        raise DamagedWeightsError(
            f"weights {path} are incomplete or of another version of network '{network.kind}': "
            f"missing {missing[:3]}, unknown {unknown[:3]}; {TRAIN_ANEW}"
        )

    # Shapes
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise DamagedWeightsError(
                f"weights {path} are of another version of network '{network.kind}': {name} is "
                f"{list(tensors[name].shape)}, must be {list(shape)}; {TRAIN_ANEW}"
            )
