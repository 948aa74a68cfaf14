"""Checks of the components of a scene's signal, and of the symbols that receivers use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cooperative_isac.scene.band import CODE, DATA, OfdmGrid, Waveform
from cooperative_isac.scene.file import schema
from cooperative_isac.scene.file.build import (
    array_elements,
    build_waveform,
    num_networks,
    static_suppression,
)
from cooperative_isac.scene.file.errors import Problem
from cooperative_isac.scene.file.fragment_checks import check_fragments
from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.noise import has_unknown_symbols
from cooperative_isac.scene.slot_layout import (
    BLOCK_STARTS,
    LEAST_BLOCKS,
    SSB,
    SUBCARRIERS_PER_BLOCK,
    SYMBOLS_PER_SLOT,
    code_length,
    grid_elements,
    num_blocks,
    turn_of_symbols,
    word_length,
)

# Value of reference_beams by which antennas send one after another.
IN_TIME = "antennas_in_time"


def check_signals(file: schema.SceneFile) -> Iterator[Problem]:
    """Components of the signal: each once, on the grid, and one kind of reference symbols."""
    wave = file.waveform
    names = [name for name in wave.signals if name != DATA]
    if wave.reference_beams != Waveform.reference_beams and not names:
        yield Problem(
            "waveform.reference_beams",
            f"is '{wave.reference_beams}', but signals ({', '.join(wave.signals)}) has no "
            "reference signal; leave it out, or add one to signals",
        )
    yield from _code_words(file)
    if len(set(wave.signals)) < len(wave.signals):
        yield Problem("waveform.signals", f"is {wave.signals}; must have each signal once")
    if not names:
        return
    if wave.reference_subcarrier_stride:
        yield Problem(
            "waveform.signals",
            f"has reference signals ({', '.join(names)}), and so has the comb of "
            "reference_subcarrier_stride; set one of both",
        )
    if any(check_fragments(file)):
        return
    grid = build_waveform(wave, num_networks(file.propagation)).grid
    whole_entry = wave.model_copy(update={"fragments": None})
    whole = build_waveform(whole_entry, num_networks(file.propagation)).grid
    for name in names:
        fault = _signal_fault(name, grid, whole)
        if fault is not None:
            yield Problem("waveform.signals", f"has {name}, {fault}")
    if wave.reference_beams == IN_TIME:
        yield from _turns(file, names, grid)


def _turns(file: schema.SceneFile, names: Sequence[str], grid: OfdmGrid) -> Iterator[Problem]:
    """Every antenna of a transmitter has a turn to send reference signals in a frame."""
    length = word_length(names, len(file.transmitters))
    num_turns = int(turn_of_symbols(grid_elements(names, grid), length)[-1]) + 1
    num_ant = max(_transmit_antennas(file))
    if num_turns < num_ant:
        what = "code words" if length > 1 else f"symbols with {', '.join(names)}"
        yield Problem(
            "waveform.reference_beams",
            f"is '{IN_TIME}', and a frame has {num_turns} {what} for {num_ant} antennas of a "
            "transmitter to send one after another; add symbols or signals, or take `antennas`, "
            "which share the subcarriers",
        )


def _transmit_antennas(file: schema.SceneFile) -> list[int]:
    """Number of antennas of each transmitter."""
    wavelength_m = SPEED_OF_LIGHT_MPS / file.waveform.carrier_hz
    return [len(array_elements(site.array, wavelength_m)) for site in file.transmitters]


def _signal_fault(name: str, grid: OfdmGrid, whole: OfdmGrid) -> str | None:
    """Why a grid cannot hold a reference signal, and the remedy.

    whole: the grid without its fragments
    """
    # Bandwidth.
    least = LEAST_BLOCKS.get(name, 1)
    if num_blocks(grid) < least:
        return (
            f"which needs {least} resource blocks of {SUBCARRIERS_PER_BLOCK} subcarriers; the grid "
            f"spans {num_blocks(grid)}: num_subcarriers times subcarrier_stride must be "
            f"{least * SUBCARRIERS_PER_BLOCK} or more"
        )

    # Slots of synchronization blocks.
    spacing_khz = grid.subcarrier_spacing_hz / 1e3
    if name == SSB and spacing_khz not in BLOCK_STARTS:
        spacings = ", ".join(f"{one:g}" for one in BLOCK_STARTS)
        return (
            f"which the standard does not have at a subcarrier spacing of {spacing_khz:g} kHz; "
            f"it must be one of {spacings} kHz"
        )

    # Elements on the sensed subcarriers and symbols, in the fragments or at least between them.
    if not grid_elements([name], grid).any():
        rows = np.flatnonzero(grid_elements([name], whole).any(axis=1))
        if len(rows):
            return (
                "of which waveform.fragments leave no element; the whole grid has it on "
                f"subcarriers between {rows[0]} and {rows[-1]}: choose fragments there, or leave "
                f"{name} out"
            )
        return (
            "of which the strides of the grid leave no element; use strides without common "
            f"divisors with {SUBCARRIERS_PER_BLOCK} subcarriers and {SYMBOLS_PER_SLOT} symbols"
            + (", and a frame that reaches to a block" if name == SSB else "")
        )
    return None


def check_symbols(file: schema.SceneFile) -> Iterator[Problem]:
    """The symbols that are sensed with exist, and are enough to suppress static paths."""
    wave = file.waveform
    has_reference = wave.signals != [DATA] or wave.reference_subcarrier_stride > 0
    if file.sensing.symbols == "reference_only" and not has_reference:
        yield Problem(
            "sensing.symbols",
            "is 'reference_only', but the waveform has no reference "
            "symbols; add reference signals to waveform.signals, such as [data, prs], set "
            "waveform.reference_subcarrier_stride and reference_symbol_stride, or symbols: payload",
        )
    if file.sensing.symbols != "reference_only" and DATA not in wave.signals:
        yield Problem(
            "sensing.symbols",
            f"is '{file.sensing.symbols}', but waveform.signals has no data; add data, or set "
            "symbols: reference_only",
        )

    if any(check_fragments(file)):
        return

    # Suppression of static paths takes one symbol for each stream on a subcarrier.
    static_paths = static_suppression(file)
    num_symbols = wave.num_symbols
    if file.sensing.symbols == "reference_only" and wave.signals != [DATA]:
        # Reference signals are one stream of each transmitter, in some symbols of a subcarrier: the
        # used subcarrier with the fewest decides.
        built = build_waveform(wave, num_networks(file.propagation))
        elements = grid_elements(built.reference_signals, built.grid)
        symbols_per_subcarrier = elements.sum(axis=1)
        num_streams, source = _reference_streams(file)
        num_symbols = int(
            np.min(
                symbols_per_subcarrier,
                where=symbols_per_subcarrier > 0,
                initial=wave.num_symbols,
            )
        )
    else:
        num_streams, source = _data_streams(file)
    if static_paths != "keep" and num_streams >= num_symbols:
        yield Problem(
            "sensing.static_paths",
            f"is '{static_paths}', which takes out all of {num_symbols} symbols "
            f"with {num_streams} streams ({source}); needs more symbols than streams, or keep",
        )


def unknown_symbol_faults(scene: Scene) -> Iterator[Problem]:
    """Lines of sight that are canceled one by one, in echoes of which not all symbols are known."""
    sensing = scene.sensing
    is_moving = any(station.is_mobile for station in scene.stations)
    is_canceled = is_moving and sensing.static_paths != "keep"
    if not is_canceled and sensing.synchronization != "line_of_sight":
        return
    if any(has_unknown_symbols(view) for view in scene.views):
        reason = "stations move" if is_canceled else "synchronization is by lines of sight"
        yield Problem(
            "sensing.symbols",
            f"is '{sensing.symbols}', and signals has code beside data: where {reason}, static "
            "paths are canceled one by one, which takes all symbols; set symbols: all",
        )


def _data_streams(file: schema.SceneFile) -> tuple[int, str]:
    """Number of streams where the data is side information, and the keys that set it."""
    num_transmitters = len(file.transmitters)
    num_streams = file.users.num_users
    source = "users.num_users"
    if file.sensing.synchronization != "none":
        num_streams *= num_transmitters
        source += ", times the transmitters, as sensing.synchronization separates them"
    if CODE in file.waveform.signals and file.sensing.symbols == "all":
        num_words, words = _reference_streams(file)
        num_streams += num_words
        source += f", and {words.replace('one', 'a code word')}"
    return num_streams, source


def _reference_streams(file: schema.SceneFile) -> tuple[int, str]:
    """Number of streams of reference signals, and where they come from."""
    if file.waveform.reference_beams == IN_TIME:
        return sum(_transmit_antennas(file)), "one of each transmit antenna"
    return len(file.transmitters), "one of each transmitter"


def _code_words(file: schema.SceneFile) -> Iterator[Problem]:
    """Code words have all elements, whole code periods, and a share of the power."""
    wave = file.waveform
    is_beside_data = CODE in wave.signals and DATA in wave.signals
    if wave.code_power_share != Waveform.code_power_share and not is_beside_data:
        yield Problem(
            "waveform.code_power_share",
            f"is {wave.code_power_share:g}, but signals ({', '.join(wave.signals)}) does not have "
            "code words beside data; leave it out, or set signals: [data, code]",
        )
    if CODE not in wave.signals:
        return

    # All elements.
    others = [name for name in wave.signals if name not in (DATA, CODE)]
    if others:
        yield Problem(
            "waveform.signals",
            f"has code, which is on all resource elements, and {', '.join(others)}; leave one of "
            "both out",
        )

    # Whole code periods.
    length = code_length(len(file.transmitters))
    if wave.num_symbols % length:
        yield Problem(
            "waveform.num_symbols",
            f"is {wave.num_symbols}; must be a multiple of the {length} symbols of a code word, "
            f"which tell the {len(file.transmitters)} transmitters apart, or leave code out of "
            "signals",
        )

    # A background is learned from known symbols.
    symbols = file.sensing.symbols
    if is_beside_data and symbols != "all" and static_suppression(file) == "learn":
        yield Problem(
            "sensing.static_paths",
            f"is 'learn', and with symbols: {symbols} receivers do not know both data and code "
            "words: the unknown ones would change the background in every frame; set symbols: "
            "all, or static_paths: project",
        )
