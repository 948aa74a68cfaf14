"""Nodes of a scene: the one list that `isac run` and launch/scene.launch.py start."""

from __future__ import annotations

import os
import sys
from collections import ChainMap
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from cooperative_isac.scene.file.config import scene_folders
from cooperative_isac.scene.file.physics import rate_fault
from cooperative_isac.scene.model import Scene
from cooperative_isac.schemes.registry import scheme_scene
from cooperative_isac_ros.processes.environment import library_variables, unset_variables

# Longest wait of the fusion center for packets, s; then a frame is decoded without them.
LONGEST_DEADLINE_S = 60.0
# Unfinished frames that are allowed where echoes come from radios: their delay does not load the
# processors. An access point keeps as many announcements.
RADIO_FRAMES_AHEAD = 8
# Nodes whose messages take megabytes.
ECHO_PUBLISHERS = ("access_point",)
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")


@dataclass(frozen=True)
class NodeSpec:
    """Specification of a node to start.

    executable: of this package
    namespace: absolute, or relative to that of an including launch description
    parameters: values by name; they are overridden by params_file
    log_level: one of LOG_LEVELS; empty: the default of ROS
    """

    executable: str
    name: str
    namespace: str = "/"
    parameters: dict = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    params_file: str = ""
    log_level: str = ""

    @property
    def full_name(self) -> str:
        """Fully qualified name, where no launch description pushes a namespace."""
        return "/".join(["", *filter(None, self.namespace.split("/")), self.name])

    def parameter_text(self) -> str:
        """Text of a parameter file for the node, whatever its namespace."""
        return yaml.safe_dump({"/**": {"ros__parameters": self.parameters}}, allow_unicode=True)


@dataclass(frozen=True)
class GraphOptions:
    """Options with which a scene is started.

    scheme: empty: that of the scene
    rate_hz: frames per second, Hz; 0: the scene's update rate
    namespace: of the scene; a relative one is below that of an including launch description
    out: folder of the evaluator's report; empty: none
    bag: new folder of a recording; empty: none
    front_end: source of the access points' echoes, as in their parameter
    target_classes: `name:class` of targets that do not publish theirs
    odometry_offsets: `name:seconds` to add to the stamps of targets whose clocks are off
    params_file: parameter file for all nodes, which overrides the other options; empty: none
    log_level: one of LOG_LEVELS; empty: the default of ROS
    state: folder of the state files of restarted nodes; empty: none
    run: number of the run, the same for a restarted controller; 0: the controller draws it
    """

    scheme: str = ""
    rate_hz: float = 0.0
    namespace: str = "/"
    out: str = ""
    bag: str = ""
    use_sim_time: bool = False
    markers: bool = True
    simulate_targets: bool = True
    front_end: str = "simulated"
    target_classes: tuple[str, ...] = ()
    odometry_offsets: tuple[str, ...] = ()
    params_file: str = ""
    log_level: str = ""
    state: str = ""
    run: int = 0


def scene_nodes(scene: Scene, options: GraphOptions = GraphOptions()) -> tuple[NodeSpec, ...]:
    """Specifications of the nodes of a scene.

    The controller is the last one; it announces no frame before the others are ready.

    options: with which the scene is started
    Raises ValueError where the rate differs from that of the scene's path file.
    """
    fault = rate_fault(scene, options.rate_hz or scene.update_rate_hz)
    if fault is not None:
        raise ValueError(f"the rate {fault}; leave it out")

    # scene with the stations of its scheme
    scheme_name = options.scheme or scene.sensing.scheme
    common = {"scene": str(Path(scene.source).resolve()), "use_sim_time": options.use_sim_time}
    deadline = {"deadline_s": _deadline_s(scene, options)}
    scene = scheme_scene(scheme_name, scene)

    # parameters that several nodes share; an empty list has no type in ROS, so one empty word
    # stands for none
    scheme = {"scheme": scheme_name}
    rate = {"rate_hz": float(options.rate_hz)}
    watch = {
        "wait_for_targets": options.simulate_targets,
        "target_classes": list(options.target_classes) or [""],
        "odometry_offsets": list(options.odometry_offsets) or [""],
    }
    run = {"run": options.run, "state_file": _state_file(options, "transmit_controller")}

    # namespace of the scene without a slash at its end, which is kept for "/" alone
    root = options.namespace.rstrip("/") or options.namespace

    def node(executable: str, *parameters: dict, below: str = "") -> NodeSpec:
        """Specification of a node in the scene's namespace, or in one below it."""
        namespace = root
        if below:
            # without a root the namespace stays relative to an including launch description
            namespace = f"{root.rstrip('/')}/{below}" if root else below
        return NodeSpec(
            executable=executable,
            name=executable,
            namespace=namespace,
            parameters=dict(ChainMap(*parameters, common)),
            params_file=options.params_file,
            log_level=options.log_level,
        )

    # processing chain
    stations = scene.receiving_stations
    front_end = {"front_end": options.front_end}
    nodes = [
        node("access_point", scheme, watch, front_end, {"site": station.name}, below=station.name)
        for station in stations
    ]
    tracker_state = {"state_file": _state_file(options, "tracker")}
    nodes += [
        node("fusion_center", scheme, deadline, rate),
        node("tracker", {"num_receivers": len(stations)}, tracker_state),
        node("evaluator", rate, scheme, watch, {"out": options.out}),
    ]

    # optional nodes
    if options.markers:
        nodes.append(node("scene_markers", scheme, watch))
    if options.simulate_targets and (scene.targets or has_motion(scene)):
        nodes.append(node("target_simulator", rate, run))
    if options.bag:
        nodes.append(node("bag_recorder", {"directory": options.bag}))

    # controller, which waits for all of them: it resolves relative names in its own namespace
    relative = [spec.namespace.removeprefix(root).strip("/") for spec in nodes]
    names = [f"{namespace}/{spec.name}".lstrip("/") for namespace, spec in zip(relative, nodes)]
    ahead = {"max_frames_ahead": RADIO_FRAMES_AHEAD} if options.front_end == "topic" else {}
    controller = node("transmit_controller", rate, scheme, run, ahead, {"wait_for_nodes": names})
    return (*nodes, controller)


def _deadline_s(scene: Scene, options: GraphOptions) -> float:
    """Deadline of the fusion center, s: that of the scene, longer where frames are rarer."""
    slowed = scene.update_rate_hz / options.rate_hz if options.rate_hz else 1.0
    return float(min(scene.sensing.deadline_s * slowed, LONGEST_DEADLINE_S))


def _state_file(options: GraphOptions, name: str) -> str:
    """Path of a node's state file; empty where nodes keep no state."""
    return str(Path(options.state) / f"{name}.json") if options.state else ""


def has_motion(scene: Scene) -> bool:
    """Return whether stations move along motions of the scene file."""
    return any(station.motion is not None for station in scene.stations)


def shared_file(name: str) -> Path | None:
    """Path of a shipped file under config/, wherever this package is installed; None: missing."""
    candidates = (folder.parent / name for folder in scene_folders())
    return next(filter(Path.is_file, candidates), None)


def profile_variable() -> str:
    """Environment variable of the Fast DDS profile.

    It was renamed after Jazzy, and Kilted warns about the old name.
    """
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    is_old = any((Path(prefix) / "share" / "fastrtps").is_dir() for prefix in prefixes if prefix)
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if is_old else "FASTDDS_DEFAULT_PROFILES_FILE"


def node_variables(executable: str = "") -> dict[str, str]:
    """Environment variables of a node: those of libraries, and the profile of Fast DDS.

    The profile gives shared memory room for what the node publishes.

    executable: of the node; empty: any that may publish echoes
    """
    has_echoes = executable in ("", *ECHO_PUBLISHERS)
    file = shared_file("fastdds.xml" if has_echoes else "fastdds_small.xml")
    profile = {profile_variable(): str(file or "")}
    return {**library_variables(), **unset_variables(profile)}
