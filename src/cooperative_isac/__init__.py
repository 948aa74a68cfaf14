"""Cooperative integrated sensing and communication: the science, free of ROS.

    import cooperative_isac as isac

    scene = isac.load_scene("campus")
    for snapshot in isac.run(scene, 50):
        print(snapshot.time_s, len(snapshot.tracks))

The names of `__all__` are stable; they are loaded when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cooperative_isac.api import (
        Decoder,
        Detection,
        Encoder,
        Evaluation,
        PacketError,
        Scene,
        SceneError,
        Scheme,
        SequenceEvaluation,
        Snapshot,
        TargetClass,
        TargetState,
        Track,
        TrackStatus,
        evaluate,
        evaluate_sequence,
        load_scene,
        make_scheme,
        plot,
        run,
        scene_names,
        scheme_names,
    )

__version__ = "0.1.0"
__all__ = [
    "Decoder",
    "Detection",
    "Encoder",
    "Evaluation",
    "PacketError",
    "Scene",
    "SceneError",
    "Scheme",
    "SequenceEvaluation",
    "Snapshot",
    "TargetClass",
    "TargetState",
    "Track",
    "TrackStatus",
    "evaluate",
    "evaluate_sequence",
    "load_scene",
    "make_scheme",
    "plot",
    "run",
    "scene_names",
    "scheme_names",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from cooperative_isac import api

    value = getattr(api, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
