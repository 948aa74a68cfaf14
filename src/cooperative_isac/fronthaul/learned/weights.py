"""Weights on disk: safetensors, with hyperparameters and scene as JSON beside them; nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Mapping

import numpy as np
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cooperative_isac.fronthaul.learned.cnn import Cnn
from cooperative_isac.fronthaul.learned.config import CnnConfig, DvqvaeConfig
from cooperative_isac.fronthaul.learned.dvqvae import Dvqvae
from cooperative_isac.fronthaul.learned.maps.network import Maps, MapsConfig
from cooperative_isac.fronthaul.learned.network import Network
from cooperative_isac.fronthaul.learned.quantiser import TRAINING_STATE
from cooperative_isac.fronthaul.learned.spectra.network import Spectra, SpectraConfig
from cooperative_isac.scene.model import Scene, Site

FORMAT = "cooperative_isac weights 1"
DESCRIPTION = "cooperative_isac"
KINDS = {"dvqvae": (Dvqvae, DvqvaeConfig), "cnn": (Cnn, CnnConfig), "maps": (Maps, MapsConfig),
         "spectra": (Spectra, SpectraConfig)}


class WeightsError(ValueError):
    """Weights that cannot be used; the message says why, and what to do."""


def save_weights(path: Path, network: Network, training: Mapping, half: bool = False) -> None:
    """Write a network; training: how it was trained and how good it is; half: store 16 bits a number."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
               if name.rpartition(".")[2] not in TRAINING_STATE}
    if half:
        tensors = {name: tensor.half() if tensor.is_floating_point() else tensor
                   for name, tensor in tensors.items()}
    description = {"format": FORMAT, "kind": network.kind, "config": asdict(network.config),
                   "scene": scene_facts(network.scene), "training": dict(training)}
    metadata = {DESCRIPTION: json.dumps(description, allow_nan=False)}  # one key: no order to vary
    path.write_bytes(save(tensors, metadata))


def load_weights(path: Path, scene: Scene) -> Network:
    """The network of a file, for a scene that it was trained for. WeightsError says what does not fit."""
    description = weights_description(path)
    differences = fact_differences(description["scene"], scene_facts(scene))
    if differences:
        raise WeightsError(f"weights {path} were trained for another scene than '{scene.name}': "
                           f"{'; '.join(differences[:4])}. Train others with 'isac train'")
    network = make_network(scene, description["kind"], description["config"])
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    try:
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"weights {path} are of another version of network '{description['kind']}'; train anew "
                           f"({error})") from None
    missing = [name for name in missing if name.rpartition(".")[2] not in TRAINING_STATE]
    if missing or unexpected:
        raise WeightsError(f"weights {path} are incomplete or of another version of network "
                           f"'{description['kind']}': missing {missing[:3]}, unknown {unexpected[:3]}; train anew")
    return network.eval().requires_grad_(False)


def begin_with(network: Network, path: Path) -> None:
    """Give a network the parameters of a file, also of one for another scene.

    Codebooks and statistics stay as they are. WeightsError when it is another network's.
    """
    kind = weights_description(path)["kind"]
    parameters = dict(network.named_parameters())
    with safe_open(path, framework="pt") as file:
        known = {name: file.get_tensor(name) for name in file.keys() if name in parameters}
    differing = [name for name, parameter in parameters.items()
                 if name not in known or known[name].shape != parameter.shape]
    if kind != network.kind or differing:
        raise WeightsError(f"training cannot begin from {path}: it is another network (kind '{kind}', wanted "
                           f"'{network.kind}'; {len(differing)} of {len(parameters)} parameters differ"
                           f"{', ' + differing[0] + ' first' if differing else ''})")
    network.load_state_dict(known, strict=False)


def make_network(scene: Scene, kind: str, config: Mapping | None = None) -> Network:
    """A new network of a kind with the hyperparameters of a mapping, others by default."""
    if kind not in KINDS:
        raise WeightsError(f"network kind '{kind}' is not known; use one of {', '.join(KINDS)}")
    network_class, config_class = KINDS[kind]
    given = dict(config or {})
    try:
        made = TypeAdapter(config_class).validate_python(given)
    except ValidationError as error:
        raise WeightsError(f"hyperparameters of '{kind}': {error}") from None
    unknown = _unknown(given, asdict(made))
    if unknown:
        raise WeightsError(f"'{kind}' has no hyperparameter {', '.join(unknown)}; "
                           f"it has {', '.join(asdict(made))}")
    return network_class(scene, made)


def weights_description(path: Path) -> dict:
    """What stands beside the tensors: format, kind, config, scene, training. WeightsError: not ours."""
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(DESCRIPTION, "{}")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"weights {path} cannot be read: {error}") from None
    description = json.loads(text)
    if description.get("format") != FORMAT:
        raise WeightsError(f"weights {path} are of format '{description.get('format')}', not '{FORMAT}'")
    return description


def scene_facts(scene: Scene) -> dict[str, object]:
    """All that weights depend on: geometry, arrays and resource grid; power, noise and clutter may differ."""
    grid = asdict(scene.grid)
    facts: dict[str, object] = {"dimension": scene.dimension, "num_users": scene.users.num_users, **grid,
                                "area_m": _rounded([scene.area.low_m, scene.area.high_m]),
                                "sensing.max_speed_mps": scene.sensing.max_speed_mps}
    for role, sites in (("transmitter", scene.transmitters), ("receiver", scene.receivers)):
        facts[f"{role}s"] = [site.name for site in sites]
        for site in sites:
            facts |= {f"{role} {site.name} {name}": value for name, value in _site_facts(site).items()}
    return facts


def fact_differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What differs between two scenes' facts, one sentence each."""
    return [f"{name} {before.get(name)} there, {now.get(name)} here"
            for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]


def _unknown(given: Mapping, known: Mapping, prefix: str = "") -> list[str]:
    """Names in a nested mapping that another one does not have."""
    names = [prefix + name for name in given if name not in known]
    for name in given.keys() & known.keys():
        if isinstance(given[name], Mapping) and isinstance(known[name], Mapping):
            names += _unknown(given[name], known[name], f"{prefix}{name}.")
    return names


def _site_facts(site: Site) -> dict[str, object]:
    return {"num_ant": site.num_ant, "position_m": _rounded(site.position_m),
            "elements_m": _rounded(site.elements_m)}


def _rounded(values) -> list:
    return np.round(np.array(values, float), 6).tolist()
