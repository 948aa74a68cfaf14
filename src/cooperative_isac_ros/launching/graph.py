"""What a scene consists of, said once: `isac run` and launch/scene.launch.py both read it."""

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
from cooperative_isac_ros.launching.environment import library_variables, unset_variables

# Longest wait of the fusion center for packets, s: then a frame is given up at any rate.
LONGEST_DEADLINE_S = 60.0
# Frames on their way where echoes come from radios: their delay is no work, and costs no pace. An
# access point keeps so many announcements.
RADIO_FRAMES_AHEAD = 8
# Nodes whose messages take megabytes.
ECHO_PUBLISHERS = ("access_point",)
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")


@dataclass(frozen=True)
class NodeSpec:
    """One node to start: an executable of this package and what it is started with.

    namespace: absolute, or relative to that of an including launch description
    parameters: values by name; those of params_file go before them
    log_level: one of LOG_LEVELS; empty: that of ROS
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
        """Fully qualified name of the node, where no launch description pushes a namespace."""
        return "/".join(["", *filter(None, self.namespace.split("/")), self.name])

    def parameter_text(self) -> str:
        """Text of a parameter file for this node's process, whatever its namespace."""
        return yaml.safe_dump({"/**": {"ros__parameters": self.parameters}}, allow_unicode=True)


@dataclass(frozen=True)
class GraphOptions:
    """How a scene is started. rate_hz 0: the scene's; scheme "": the scene's; out, bag "": none.

    namespace: a relative one is below that of an including launch description
    front_end: where the access points' echoes come from, as their parameter says
    target_classes: `name:class` of targets that do not publish theirs
    odometry_offsets: `name:seconds` to add to the stamps of targets whose clocks are off
    params_file: parameter file for all nodes, before what the other options say; empty: none
    log_level: one of LOG_LEVELS; empty: that of ROS
    state: folder for what nodes that are started again go on from; empty: none
    run: number of the run, the same for a controller that is started again; 0: the controller draws
    it
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
    """The nodes of a scene; the controller is last and announces no frame before the others are
    ready.

    ValueError: the rate is not that of the scene's path file.
    """
    fault = rate_fault(scene, options.rate_hz or scene.update_rate_hz)
    if fault is not None:
        raise ValueError(f"the rate {fault}; leave it out")
    common = {"scene": str(Path(scene.source).resolve()), "use_sim_time": options.use_sim_time}
    rate = {"rate_hz": float(options.rate_hz)}
    slowed = scene.update_rate_hz / options.rate_hz if options.rate_hz else 1.0
    deadline_s = min(scene.sensing.deadline_s * slowed, LONGEST_DEADLINE_S)
    deadline = {"deadline_s": float(deadline_s)}
    watch = {
        "wait_for_targets": options.simulate_targets,
        "target_classes": list(options.target_classes) or [""],
        "odometry_offsets": list(options.odometry_offsets) or [""],
    }
    name = options.scheme or scene.sensing.scheme
    scene, scheme = scheme_scene(name, scene), {"scheme": name}
    root = options.namespace.rstrip("/") or options.namespace
    start = {"params_file": options.params_file, "log_level": options.log_level}
    state = {
        name: str(Path(options.state) / f"{name}.json") if options.state else ""
        for name in ("tracker", "transmit_controller")
    }
    run = {"run": options.run, "state_file": state["transmit_controller"]}

    def node(executable: str, *parameters: dict, below: str = "") -> NodeSpec:
        namespace = f"{root.rstrip('/')}/{below}" if root and below else root or below
        return NodeSpec(
            executable, executable, namespace, dict(ChainMap(*parameters, common)), **start
        )

    echoes = {"front_end": options.front_end}
    nodes = [
        node("access_point", scheme, watch, echoes, {"site": station.name}, below=station.name)
        for station in scene.receiving_stations
    ]
    nodes += [
        node("fusion_center", scheme, deadline, rate),
        node(
            "tracker",
            {"num_receivers": len(scene.receiving_stations)},
            {"state_file": state["tracker"]},
        ),
        node("evaluator", rate, scheme, watch, {"out": options.out}),
    ]
    if options.markers:
        nodes.append(node("scene_markers", scheme, watch))
    if options.simulate_targets and (scene.targets or has_motion(scene)):
        nodes.append(node("target_simulator", rate, run))
    if options.bag:
        nodes.append(node("bag_recorder", {"directory": options.bag}))

    # Relative names: the controller resolves them in its own namespace.
    names = [spec.namespace.removeprefix(root).strip("/") for spec in nodes]
    waited = [f"{name}/{spec.name}".lstrip("/") for name, spec in zip(names, nodes)]
    ahead = {"max_frames_ahead": RADIO_FRAMES_AHEAD} if options.front_end == "topic" else {}
    return (
        *nodes,
        node("transmit_controller", rate, scheme, run, ahead, {"wait_for_nodes": waited}),
    )


def has_motion(scene: Scene) -> bool:
    """Whether stations of the scene move along motions of its file."""
    return any(station.motion is not None for station in scene.stations)


def shared_file(name: str) -> Path | None:
    """A shipped file under config/, wherever this package is installed."""
    return next(filter(Path.is_file, (folder.parent / name for folder in scene_folders())), None)


def profile_variable() -> str:
    """The variable that tells this ROS 2 its Fast DDS profile: renamed after Jazzy, and Kilted
    warns of the old name.
    """
    prefixes = [sys.prefix, *os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    old = any((Path(prefix) / "share" / "fastrtps").is_dir() for prefix in prefixes if prefix)
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if old else "FASTDDS_DEFAULT_PROFILES_FILE"


def node_variables(executable: str = "") -> dict[str, str]:
    """What a node needs in its environment: what libraries read, and shared memory wide enough for
    what it publishes.

    executable: of the node; empty: any that may publish echoes
    """
    has_echoes = executable in ("", *ECHO_PUBLISHERS)
    file = shared_file("fastdds.xml" if has_echoes else "fastdds_small.xml")
    profile = {profile_variable(): str(file or "")}
    return {**library_variables(), **unset_variables(profile)}
