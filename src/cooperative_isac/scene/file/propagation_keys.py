"""Keys of propagation in scene files: models, clutter, and what the hardware adds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cooperative_isac.scene.band import Interferer, Propagation
from cooperative_isac.scene.file.keys import (
    Level,
    Name,
    NoiseFigure,
    NotNegative,
    Point,
    Positive,
    Section,
    later,
)


class ClutterEntry(Section):
    """Point scatterers at rest, at fixed positions or drawn anew for each frame."""

    num_scatterers: Annotated[int, Field(ge=0)] | None = None
    """Scatterers that are drawn anew for each frame."""
    positions_m: list[Point] | None = None
    """Fixed scatterers, instead of `num_scatterers`."""
    reflection_variance: NotNegative = 0.1
    """Variance of their complex reflection; with `model: radar_equation` a mean cross section in
    m^2.
    """


class InterfererEntry(Section):
    """A station of another network at the frequencies of a band, at rest and with one antenna."""

    name: Name
    """Name of the interferer; differs from those of all stations."""
    position_m: Point
    """Position."""
    power_dbm: Level
    """Power that it radiates over all subcarriers of the band, equally in all directions."""
    signal: Literal["orthogonal", "coded", "same"] = later(Interferer.signal)
    """Resource elements and symbols: `orthogonal` (both networks take turns on the subcarriers of
    the grid: with n of them a transmitter of the scene has one in n + 1, at the same power each),
    `coded` (all elements, with symbols of its own, which are noise to the receivers) or `same` (all
    elements, with the symbols of the band's first transmitter, which are false echoes).
    """
    band: Name | None = None
    """Band, in a scene with `bands`; by default all of them."""


class PropagationEntry(Section):
    """The sensing channel: path loss, reflections, noise and clock offsets, or a file of paths."""

    reference_gain_db: Level = -60.0
    """Path gain at the reference distance (alpha_0 of CF)."""
    reference_distance_m: Positive = 1.0
    """Reference distance (d_0 of CF)."""
    pathloss_exponent: Positive = 2.0
    """Path loss exponent (zeta of CF)."""
    reflection_variance: Positive = 1.0
    """Variance of a target's complex reflection (chi^2 of CF)."""
    noise_power_dbm: Level = -90.0
    """Noise power per antenna and subcarrier."""
    clutter: ClutterEntry = ClutterEntry(num_scatterers=0)
    """Point scatterers at rest (CF eq. 29); by default none."""
    timing_offset_std_s: NotNegative = 0.0
    """Standard deviation of the residual timing offset between sites (CF eq. 30), drawn anew for
    each symbol.
    """
    frequency_offset_std_hz: NotNegative = 0.0
    """Standard deviation of the residual carrier frequency offset between sites (CF eq. 30), drawn
    anew for each symbol.
    """
    paths: Annotated[str, Field(min_length=1)] | None = later(None)
    """Path file of a ray tracer (NPZ, relative to the scene file) with the paths of each frame and
    the targets that move in them, instead of CF eq. 6. `${NAME}` and `${NAME:-default}` are
    taken from the environment.
    """
    path_kinds: (
        Annotated[
            list[Literal["line_of_sight", "clutter", "targets", "multi_bounce"]],
            Field(min_length=1),
        ]
        | None
    ) = later(None)
    """Paths of that file that are used: `line_of_sight`, `clutter` (other static paths), `targets`
    (by way of a target), `multi_bounce` (by way of a target and a wall); by default all.
    """
    model: Literal["pathloss", "radar_equation"] = later(Propagation.model)
    """Amplitude of target paths: path loss and reflection of CF eq. 6, or the radar equation with
    the radar cross sections of `bodies`.
    """
    noise_figure_db: NoiseFigure | None = later(None)
    """Noise figure, instead of `noise_power_dbm`: the noise power is k T0 times the subcarrier
    spacing times this, T0 = 290 K.
    """
    coherence_time_s: NotNegative = later(0.0)
    """Time over which the reflections of targets and clutter are constant while the phases follow
    the lengths of the paths; 0: drawn anew in each frame.
    """
    range_migration: bool | None = later(None)
    """Whether the delays of moving paths change within a frame, in simulated echoes: Doppler shifts
    then grow with the frequency of the subcarriers. By default where a target at
    `sensing.max_speed_mps` moves by more than half a bistatic range resolution cell in a frame;
    below, the echo loses less than 0.3 dB by it.
    """
    interferers: list[InterfererEntry] = later([])
    """Stations of other networks that transmit at the same time. Their signals reach the receivers
    directly, by specular reflection at the `world`, and by way of targets.
    """
