"""Stage of a scheme that suppresses static paths in echoes (sensing.static_paths)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from cooperative_isac.scene.model import Scene
from cooperative_isac.scene.station import Site
from cooperative_isac.sensing.background import (
    CONTRADICTED,
    DRIFTED,
    MOST_MISFIT,
    Background,
    left_over,
    predict,
    unknown_background,
    updated,
)
from cooperative_isac.sensing.known_paths import link_suppression
from cooperative_isac.sensing.static_paths import (
    StaticNuisance,
    shrunk,
    suppress,
    unknown_static,
    without_mean,
)
from cooperative_isac.waveform.signal import Component, Signal, whole_signal


class StaticStage:
    """Suppression of static paths in the echoes of one receiver, where these are processed.

    The mode is that of the receiver's links (link_suppression). `keep`: echoes stay as they are.
    `project`: the static paths of a frame are unknown and projected out. `learn`: their estimate
    from earlier frames is subtracted, and only its uncertainty is suppressed; it is updated by
    consecutive frames only.
    """

    def __init__(self, scene: Scene, receiver: Site):
        self.scene = scene
        self.mode = link_suppression(scene, receiver)
        self._learned: tuple[float, Background] | None = None

    @property
    def is_active(self) -> bool:
        """True where echoes are changed, which takes the symbols of the frame."""
        return self.mode != "keep"

    def prepare(
        self,
        echo: np.ndarray,
        frame: Component,
        time_s: float | None = None,
    ) -> tuple[np.ndarray, StaticNuisance | None]:
        """An echo without its static paths, and the nuisance that replicas are projected by.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W), on the frame's grid
        frame: side information, the whole signal or its reference symbols
        time_s: time of the frame, s; None where frames are independent draws, without an update
        Returns the echo, of the same shape, and the nuisance, None where nothing is suppressed.
        """
        if not self.is_active:
            return echo, None
        if self.mode == "learn" and time_s is not None:
            return self._with_background(echo, frame, time_s)
        static = unknown_static(frame.streams)
        return suppress(echo, frame.streams, static), static

    def clean(
        self,
        echo: np.ndarray,
        frame: Signal,
        time_s: float | None = None,
    ) -> np.ndarray:
        """A whole echo without its static paths, for networks whose input are its samples.

        On public reference symbols, which have streams of their own, static paths are always
        projected out; code words beside data are streams beside those of the data.

        echo: [num_rx_ant, num_subcarriers, num_symbols], complex64, sqrt(W)
        frame: signal of the frame
        time_s: time of the frame, s; None where frames are independent draws
        Returns the echo, of the same shape.
        """
        if frame.is_superimposed:
            return self.prepare(echo, whole_signal(frame), time_s)[0]
        cleaned, static = self.prepare(echo, frame, time_s)
        if static is None or frame.reference is None:
            return cleaned

        # The elements of the reference symbols, a part that is a view of the copy.
        cleaned = cleaned.copy()
        streams = frame.reference.streams
        subcarriers, symbols = frame.reference_elements
        part = cleaned[:, subcarriers, symbols]
        part[...] = suppress(part, streams, unknown_static(streams))
        return cleaned

    def _with_background(
        self, echo: np.ndarray, frame: Component, time_s: float
    ) -> tuple[np.ndarray, StaticNuisance]:
        """Suppression by the background, which is then updated with the frame."""
        noise_power_w = self.scene.propagation.noise_power_w
        background = self._background(frame, len(echo), time_s)
        prediction = predict(background, frame, noise_power_w)
        remaining, correlation = without_mean(echo, frame.streams, prediction.nuisance.mean)

        # Start again from the prior where the echo contradicts the background.
        misfit, share = left_over(prediction, correlation, noise_power_w)
        if misfit > MOST_MISFIT and share > CONTRADICTED:
            background = unknown_background(frame, len(echo), noise_power_w)
            prediction = predict(background, frame, noise_power_w)
            remaining, correlation = without_mean(echo, frame.streams, prediction.nuisance.mean)
            misfit, share = left_over(prediction, correlation, noise_power_w)

        # Update; after an echo that overflowed the background is the prior again.
        learned = updated(background, prediction, frame, correlation, noise_power_w)
        self._learned = (time_s, learned) if learned.is_finite else None

        # Project where static paths drift faster than the background follows.
        if misfit > MOST_MISFIT and share > DRIFTED:
            static = unknown_static(frame.streams)
            return suppress(echo, frame.streams, static), static
        cleaned = shrunk(remaining, correlation, frame.streams, prediction.nuisance.inverse)
        return cleaned, replace(prediction.nuisance, left_share=share)

    def _background(self, frame: Component, num_rx_ant: int, time_s: float) -> Background:
        """Background at a time; the prior where time does not go on."""
        elapsed_s = 0.0 if self._learned is None else time_s - self._learned[0]
        if self._learned is None or elapsed_s <= 0:
            return unknown_background(frame, num_rx_ant, self.scene.propagation.noise_power_w)
        share = -math.expm1(-elapsed_s / self.scene.sensing.static_memory_s)
        return self._learned[1].decayed(share)
