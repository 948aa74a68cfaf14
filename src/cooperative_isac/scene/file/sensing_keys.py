"""Keys of the section `sensing` of scene files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cooperative_isac.scene.file.keys import (
    MOST_LEVEL_DB,
    Count,
    Name,
    NotNegative,
    Positive,
    Probability,
    Section,
    later,
)
from cooperative_isac.scene.model import Sensing

# Largest packet with weak candidates, bits: some 165 candidates, which take a second of processor
# time a frame in a scene of four receivers; 4000 take 0.4 s.
MOST_CANDIDATE_BITS = 8000


class SensingEntry(Section):
    """Detection and estimation at the receivers, and their reports."""

    scheme: Name = "local_ml"
    """Scheme by which access points encode echoes and the center decodes them."""
    symbols: Literal["payload", "reference_only", "all"] = "payload"
    """Symbols that access points use: those of the users (`payload`, sent to them over the
    downlink), the public reference symbols alone, or both.
    """
    false_alarm_probability: Probability = 0.01
    """False-alarm probability per access point and frame."""
    max_targets: Count = 6
    """Targets that an access point reports in a frame, at most."""
    max_speed_mps: Positive
    """Largest speed that is searched for."""
    max_climb_mps: Positive = later(Sensing.max_climb_mps)
    """Largest usual rate of climb and of descent, or `max_speed_mps` where that is less: in the
    prior of velocities of weak candidates, and of new points of stations that synchronize by
    targets. Weak targets that climb faster are found less often.
    """
    min_speed_mps: NotNegative = 0.0
    """Slower detections are rejected as static clutter; 0 keeps all."""
    deadline_s: Positive | None = None
    """Longest wait of the center for packets after the announcement of the frame; by default 0.8 of
    the update period.
    """
    static_paths: Literal["keep", "project", "learn"] | None = later(None)
    """Suppression of paths without Doppler shift (line of sight, ground, walls) before the search:
    `keep` (none), `project` (projected out of every frame by itself) or `learn` (a background
    over frames). By default `keep` in scenes without a `world` and without static paths of a path
    file, also beside `clutter` and interferers; in scenes with either, `project` at receivers over
    whose links at rest there are static paths (of clutter and of interferers with `signal: same`,
    too), and `keep` at all others. Set `project` for the echoes of a radio, which have static paths
    that no scene has.
    """
    static_memory_s: Positive = later(Sensing.static_memory_s)
    """Time constant of the background of `learn`."""
    multipath_ratio_db: Annotated[float, Field(ge=0, le=MOST_LEVEL_DB, allow_inf_nan=False)] = (
        later(Sensing.multipath_ratio_db)
    )
    """Assumed power ratio of the echo of a target to its other echoes by way of walls, which
    interfere with it; it limits the SNR that the center assigns to a report, of targets with a body
    and with `world.target_reflections`.
    """
    candidate_bits: Annotated[int, Field(ge=0, le=MOST_CANDIDATE_BITS)] = later(
        Sensing.candidate_bits
    )
    """Size up to which the packet of `local_ml` for a frame, reports included, is filled with weak
    candidates: echoes below the detection threshold of one access point, whose evidence the center
    adds up over several. 0: no candidates; 300 bits, the least other size, hold one, and 4000 about
    80. For point targets on one band.
    """
    synchronization: Literal["none", "line_of_sight", "active_observation", "both_directions"] = (
        later(Sensing.synchronization)
    )
    """Correction of the stations' clock offsets, by `local_ml`, `raw_ml` and `symbol_level`: `none`
    (clocks count as synchronous), `line_of_sight` (a receiver estimates the offsets of each link in
    every frame from the line of sight in its echo, or from a reflection off the `world` where that
    is blocked), or without a `world` `active_observation` (from targets that the stations' own
    echoes locate) or `both_directions` (from targets that both directions of a link have seen).
    """
    symbol_bits: Annotated[int, Field(ge=1, le=8)] = later(Sensing.symbol_bits)
    """Bits of each real and imaginary part of a sample that `symbol_level` sends; 1, 2 and 3 cost
    2.0, 0.5 and 0.2 dB of SNR. An echo above the noise has more.
    """
    report_bits: Annotated[int, Field(ge=4, le=20)] | None = later(Sensing.report_bits)
    """Bits of each location axis and of each Doppler shift in a report of `local_ml`; by default
    16, or 20 in scenes of bands and stations. With fewer bits the center counts their rounding as
    an error.
    """
    reflections: Literal["ignore", "use"] = later(Sensing.reflections)
    """Use of walls and boxes of the `world` as known reflectors, by `local_ml`: with `use` a target
    that is hidden from a station is located by the paths that one surface reflects before and
    behind it. For point targets, and stations at rest at known positions.
    """
    interference: Literal["noise", "nulls"] = later(Sensing.interference)
    """What receivers of `local_ml` do against `propagation.interferers`: `noise` (they measure its
    power, and count it as white noise) or `nulls` (receive beams with nulls at the known directions
    of the interferers, as deep as the power measured there needs). All other schemes count with the
    receiver's own noise alone.
    """
    range_migration: Literal["ignore", "compensate"] = later(Sensing.range_migration)
    """Movement of targets through range cells within a frame, in receivers of `local_ml`: with
    `ignore` delays count as constant, which costs SNR in long frames of a wide band and shifts
    ranges by half of the movement; with `compensate` search and fit use the Doppler shift of each
    subcarrier's own frequency. For point targets; not with `synchronization`, `candidate_bits`,
    `reflections: use`, or suppressed static paths of stations that move.
    """
    directions: Literal["music", "root_music", "esprit", "coarray_music"] = later(
        Sensing.directions
    )
    """Estimator of the angles of arrival; other values than `music` need `scheme: music` or
    `music_fine`: peaks of the `music` spectrum, roots of its polynomial (`root_music`), rotation
    between two subarrays (`esprit`), or MUSIC on the virtual array of all differences of antennas
    (`coarray_music`), which separates more targets than a sparse array has antennas. `root_music`
    and `esprit` need arrays of `kind: ula`.
    """
    num_sources: Literal["aic", "mdl"] = later(Sensing.num_sources)
    """Criterion of the number of these directions: Akaike's (`aic`), which rather finds too many,
    or minimum description length (`mdl`), which rather finds too few.
    """
    recovery: Literal["block_omp", "newtonized_omp"] = later(Sensing.recovery)
    """Sparse recovery in scheme `compressed_sensing`: block orthogonal matching pursuit over a grid
    of delays (`block_omp`), or with every new path also a refinement of all paths off the grid
    (`newtonized_omp`).
    """
