"""Bands: OFDM grid, waveform, communication users and propagation of one carrier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cooperative_isac.scene.geometry import SPEED_OF_LIGHT_MPS
from cooperative_isac.scene.path_file import PATH_KINDS, PathFile
from cooperative_isac.scene.world import World

# Name of the band of a scene file of one band (waveform, transmitters, receivers).
ONLY_BAND = "default"
# Range resolution cells through which the fastest target moves in a frame, above which it matters:
# half a cell costs 0.3 dB of SNR, and shifts ranges by a quarter of a cell.
LEAST_MIGRATION_CELLS = 0.5
# Name of the payload among the components of a signal.
DATA = "data"
# Name of the code words beside it, a public sequence on all resource elements.
CODE = "code"


@dataclass(frozen=True)
class OfdmGrid:
    """The resource elements of one sensing frame.

    cyclic_prefix_s: of each OFDM symbol, s
    subcarrier_stride, symbol_stride: of a comb; num_subcarriers and num_symbols count its elements
    fragments: first and last place, on the comb, of each range of subcarriers of a fragmented
    spectrum, which num_subcarriers counts alone; (): a comb without gaps
    """

    carrier_hz: float
    subcarrier_spacing_hz: float
    num_subcarriers: int
    num_symbols: int
    cyclic_prefix_s: float
    subcarrier_stride: int = 1
    symbol_stride: int = 1
    fragments: tuple[tuple[int, int], ...] = ()

    @property
    def places(self) -> np.ndarray:
        """Places of the used subcarriers on the comb, [num_subcarriers], int, ascending."""
        if not self.fragments:
            return np.arange(self.num_subcarriers)
        return np.concatenate([np.arange(first, last + 1) for first, last in self.fragments])

    @property
    def span(self) -> int:
        """Subcarriers of the comb from the first to the last used one."""
        if not self.fragments:
            return self.num_subcarriers
        return self.fragments[-1][1] - self.fragments[0][0] + 1

    @property
    def wavelength_m(self) -> float:
        """Wavelength at the carrier, m."""
        return SPEED_OF_LIGHT_MPS / self.carrier_hz

    @property
    def subcarrier_offsets_hz(self) -> np.ndarray:
        """Offsets of the used subcarriers from the first one of the comb.

        Returns [num_subcarriers], float64, Hz.
        """
        return self.places * self.subcarrier_stride * self.subcarrier_spacing_hz

    @property
    def frequency_ratios(self) -> np.ndarray:
        """Frequency of each used subcarrier over that of the carrier, [num_subcarriers], float64.

        The Doppler shift of a path has the same ratio to that at the carrier.
        """
        return 1 + self.subcarrier_offsets_hz / self.carrier_hz

    @property
    def symbol_period_s(self) -> float:
        """Time between two used OFDM symbols, s."""
        return (1 / self.subcarrier_spacing_hz + self.cyclic_prefix_s) * self.symbol_stride

    @property
    def symbol_times_s(self) -> np.ndarray:
        """Start times of the used symbols from the frame's start, [num_symbols], float64, s."""
        return np.arange(self.num_symbols) * self.symbol_period_s

    @property
    def range_resolution_m(self) -> float:
        """Bistatic range resolution c / B, m, with the gaps between fragments in B."""
        bandwidth_hz = self.span * self.subcarrier_stride * self.subcarrier_spacing_hz
        return SPEED_OF_LIGHT_MPS / bandwidth_hz

    def migration_cells(self, path_speed_mps: float) -> float:
        """Range resolution cells through which a path moves in a frame.

        path_speed_mps: change of the path's length, m/s, up to twice the speed of a target
        """
        frame_s = self.num_symbols * self.symbol_period_s
        return path_speed_mps * frame_s / self.range_resolution_m

    @property
    def doppler_resolution_hz(self) -> float:
        """Doppler resolution, one over the frame's length, Hz."""
        return 1 / (self.num_symbols * self.symbol_period_s)


@dataclass(frozen=True)
class Waveform:
    """Modulation, precoding, power and reference symbols on a grid.

    precoder: mmse | zero_forcing | maximum_ratio
    group_size: subcarriers that share one precoder
    power_w: the most that one transmitter may radiate over all subcarriers, W
    reference_subcarrier_stride, reference_symbol_stride: comb of the public reference symbols
    inside the grid; 0: there are none
    signals: components of the signal: data, and reference signals of scene.slot_layout
    reference_beams: beams of those reference signals: random (phases of all antennas) | antennas
    (each subcarrier group from one antenna) | antennas_in_time (each symbol, or code word, from one
    antenna)
    code_power_share: share of a transmitter's power that code words beside data have
    """

    grid: OfdmGrid
    modulation_order: int
    precoder: str
    group_size: int
    power_w: float
    reference_subcarrier_stride: int
    reference_symbol_stride: int
    signals: tuple[str, ...] = (DATA,)
    reference_beams: str = "random"
    code_power_share: float = 0.1

    @property
    def reference_signals(self) -> tuple[str, ...]:
        """Names of the reference signals as NR maps them."""
        return tuple(name for name in self.signals if name != DATA)

    @property
    def splices_in_time(self) -> bool:
        """True where the antennas of a transmitter send reference signals one after another."""
        return self.reference_beams == "antennas_in_time"

    @property
    def has_data(self) -> bool:
        """True where the elements without reference symbols carry payload."""
        return DATA in self.signals

    @property
    def is_superimposed(self) -> bool:
        """True where code words and data share the resource elements."""
        return CODE in self.signals and self.has_data

    @property
    def data_power_w(self) -> float:
        """The most that one transmitter may radiate with data over all subcarriers, W."""
        if self.is_superimposed:
            return self.power_w * (1 - self.code_power_share)
        return self.power_w

    @property
    def reference_power_w(self) -> float:
        """Power of one transmitter's reference signals, were they on all elements, W."""
        if self.is_superimposed:
            return self.power_w * self.code_power_share
        return self.power_w

    def sensed_power_w(self, symbols: str) -> float:
        """Power of those symbols of one transmitter that receivers use, W, were they everywhere.

        symbols: payload | reference_only | all
        """
        if symbols == "all":
            return self.power_w
        return self.reference_power_w if symbols == "reference_only" else self.data_power_w

    @property
    def has_reference(self) -> bool:
        """True where the signal has public reference symbols, on a comb or as NR maps them."""
        return bool(self.reference_signals) or self.reference_subcarrier_stride > 0

    @property
    def reference_strides(self) -> tuple[int, int]:
        """Strides over subcarriers and symbols of the grid with the reference symbols; 0: none."""
        if self.reference_signals:
            return 1, 1
        return self.reference_subcarrier_stride, self.reference_symbol_stride


@dataclass(frozen=True)
class Users:
    """The communication users: single-antenna receivers, drawn anew for each frame.

    height_m: of all of them, m
    noise_power_w: per subcarrier, W
    rician_factor: power of the line-of-sight tap over the scattered taps; 0: Rayleigh
    delay_spread_s: r.m.s. of the exponential power delay profile, s
    """

    num_users: int
    height_m: float
    noise_power_w: float
    rician_factor: float
    delay_spread_s: float


@dataclass(frozen=True)
class Clutter:
    """Point scatterers at rest (CF eq. 29).

    reflection_variance: of their complex reflections; with the radar equation a mean radar cross
    section, m^2
    positions_m: [num_scatterers, 3], float64, m; None: drawn anew for each frame
    """

    num_scatterers: int
    reflection_variance: float
    positions_m: np.ndarray | None = None


@dataclass(frozen=True)
class Interferer:
    """A station of another network that transmits on a band, at rest, equally in all directions.

    position_m: [3], float64, m, map
    power_w: radiated over the subcarriers that the band senses, W
    signal: coded (symbols of its own on all elements) | same (those of the band's first
    transmitter) | orthogonal (on subcarriers that the band leaves to it)
    Source: DC section IV-A.
    """

    name: str
    position_m: np.ndarray
    power_w: float
    signal: str = "coded"


@dataclass(frozen=True)
class Propagation:
    """The sensing channel: path loss, reflections, noise and clock offsets.

    reference_gain, reference_distance_m, pathloss_exponent: of the path loss alpha_0 (d/d_0)^-zeta
    reflection_variance: chi^2 of reflections CN(0, chi^2)
    noise_power_w: per antenna, subcarrier and symbol, W
    timing_offset_std_s, frequency_offset_std_hz: residual clock offsets of CF eq. (30)
    coherence_time_s: how long the reflections of targets and clutter are constant, s; 0: one frame
    model: pathloss (CF) | radar_equation (target paths by their radar cross section, users reached
    as in free space)
    paths: a ray tracer's paths, instead of those of CF eq. (6)
    path_kinds: those of them that are used
    interferers: stations of other networks
    range_migration: whether the delays of moving paths change within a frame, in simulated echoes
    Source: CF eq. (6).
    """

    reference_gain: float
    reference_distance_m: float
    pathloss_exponent: float
    reflection_variance: float
    noise_power_w: float
    clutter: Clutter
    timing_offset_std_s: float
    frequency_offset_std_hz: float
    coherence_time_s: float
    model: str = "pathloss"
    paths: PathFile | None = None
    path_kinds: tuple[str, ...] = PATH_KINDS
    interferers: tuple[Interferer, ...] = ()
    range_migration: bool = False

    @property
    def has_radar_equation(self) -> bool:
        """True where target paths follow the radar equation."""
        return self.model == "radar_equation"

    @property
    def on_own_elements(self) -> tuple[Interferer, ...]:
        """The interferers that send on the resource elements of the band."""
        return tuple(one for one in self.interferers if one.signal != "orthogonal")


@dataclass(frozen=True)
class Band:
    """One carrier of the network with its waveform, propagation, users and static world.

    frame_stride: the band is on the air in every frame_stride-th frame of the scene
    zone: of cooperation by distance, to which its links belong; "": they are used everywhere
    """

    name: str
    waveform: Waveform
    propagation: Propagation
    users: Users
    world: World | None = None
    frame_stride: int = 1
    zone: str = ""

    def is_on_air(self, number: int) -> bool:
        """True where frame `number` of the scene has a signal on this band."""
        return number % self.frame_stride == 0
