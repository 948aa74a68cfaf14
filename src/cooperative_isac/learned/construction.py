"""Construction of networks by their kind and hyperparameters, which may come from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from pydantic import TypeAdapter, ValidationError

from cooperative_isac.learned.maps.network import Maps, MapsConfig
from cooperative_isac.learned.network import Network
from cooperative_isac.learned.paper.cnn import Cnn
from cooperative_isac.learned.paper.config import CnnConfig, DvqvaeConfig
from cooperative_isac.learned.paper.dvqvae import Dvqvae
from cooperative_isac.learned.spectra.network import Spectra, SpectraConfig
from cooperative_isac.scene.file.errors import quoted
from cooperative_isac.scene.model import Scene

# Networks by their kind, with their hyperparameters.
KINDS: dict[str, tuple[type[Network], type]] = {
    "paper_dvqvae": (Dvqvae, DvqvaeConfig),
    "paper_cnn": (Cnn, CnnConfig),
    "maps": (Maps, MapsConfig),
    "spectra": (Spectra, SpectraConfig),
}
# Largest hyperparameters of networks that can be trained; beyond these a file is damaged.
MAX_LAYERS = 64
MAX_SIZE = 2**20
# Sizes above which a network's shapes are checked without its memory before it is made.
ORDINARY_SIZE = 512


class WeightsError(ValueError):
    """Weights that cannot be used; the message has the reason and the remedy."""


def make_network(scene: Scene, kind: str, config: Mapping | None = None) -> Network:
    """A new network of a kind; hyperparameters that config does not have are the defaults.

    Raises WeightsError with the hyperparameter that does not fit, or for a fragmented spectrum.
    """
    if scene.grid.fragments:
        raise WeightsError(
            f"networks transform a whole grid of subcarriers, of which scene '{scene.name}' uses "
            "parts; train for a scene without waveform.fragments"
        )
    if kind not in KINDS:
        raise WeightsError(
            f"network kind '{quoted(kind)}' is not known; use one of {', '.join(KINDS)}"
        )
    network_class, config_class = KINDS[kind]
    given = dict(config or {})

    # Check the hyperparameters.
    try:
        hyperparameters = TypeAdapter(config_class).validate_python(given)
    except ValidationError as error:
        raise WeightsError(f"hyperparameters of '{kind}': {first_fault(error)}") from None
    unknown = _unknown(given, asdict(hyperparameters))
    if unknown:
        raise WeightsError(
            f"'{kind}' has no hyperparameter {quoted(', '.join(unknown))}; "
            f"it has {', '.join(asdict(hyperparameters))}"
        )
    fault = _size_fault(asdict(hyperparameters))
    if fault is not None:
        raise WeightsError(f"hyperparameters of '{kind}': {fault}")

    # Make the network.
    try:
        return network_class(scene, hyperparameters)
    except ValueError as error:
        raise WeightsError(str(error)) from None
    except (ArithmeticError, IndexError, MemoryError, RuntimeError, TypeError) as error:
        reason = quoted(str(error).partition("\n")[0])
        raise WeightsError(
            f"hyperparameters of '{kind}' make no network for scene '{scene.name}': {reason}"
        ) from None


def first_fault(error: ValidationError) -> str:
    """The first fault that pydantic found, with the name of its key."""
    fault = error.errors(include_url=False)[0]
    place = quoted(".".join(map(str, fault["loc"])))
    return f"{place}: {quoted(fault['msg'])}" if place else quoted(fault["msg"])


def _sizes(config: Mapping, prefix: str = "") -> dict[str, int]:
    """Whole numbers of a nested mapping by their dotted names."""
    sizes: dict[str, int] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            sizes |= _sizes(value, f"{prefix}{name}.")
        elif isinstance(value, (tuple, list)):
            items = {f"{name}[{index}]": item for index, item in enumerate(value)}
            sizes |= _sizes(items, prefix)
        elif isinstance(value, int):
            sizes[f"{prefix}{name}"] = value
    return sizes


def _size_fault(config: Mapping) -> str | None:
    """Description of the first hyperparameter that no network can have; None: all are fine."""
    for name, value in _sizes(config).items():
        most = MAX_LAYERS if name.endswith(("_layers", "_residuals")) else MAX_SIZE
        if not 0 <= value <= most:
            return f"{name} is {value}, must be within 0 and {most}"
    return None


def is_large(config: Mapping) -> bool:
    """True where a network may need so much memory that its shapes are checked first."""
    return any(value > ORDINARY_SIZE for value in _sizes(config).values())


def _unknown(given: Mapping, known: Mapping, prefix: str = "") -> list[str]:
    """Names in a nested mapping that another one does not have."""
    names = [prefix + name for name in given if name not in known]
    for name in given.keys() & known.keys():
        if isinstance(given[name], Mapping) and isinstance(known[name], Mapping):
            names += _unknown(given[name], known[name], f"{prefix}{name}.")
    return names
