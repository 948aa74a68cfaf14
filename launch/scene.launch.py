"""Launches the nodes of a scene.

    ros2 launch cooperative_isac scene.launch.py scene:=campus

All arguments are validated before the first process starts. The launch file can be included: the
including description keeps its environment, its namespace and its other processes.
"""

import atexit
import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from cooperative_isac_ros.display.rviz import scene_view
from cooperative_isac_ros.launching.choices import ChoiceError, chosen
from cooperative_isac_ros.launching.graph import (
    LOG_LEVELS,
    GraphOptions,
    node_variables,
    scene_nodes,
)
from cooperative_isac_ros.processes.interrupts import BLOCKING_PREFIX
from cooperative_isac_ros.processes.shared_memory import clean_shared_memory
from launch import Event, EventHandler, LaunchDescription

PACKAGE = "cooperative_isac"
FLAGS = ["true", "false"]
# Time from the end of a node to its restart, s.
RESPAWN_DELAY_S = 1.0
# Restarts of a node, at most.
MAX_RESPAWNS = 10
# Name, default, description and allowed words (None: any) of each argument.
ARGUMENTS = (
    ("scene", "campus", "scene file, or the name of a shipped scene", None),
    ("scheme", "", "sensing scheme; empty: the scene's", None),
    ("rate", "0.0", "frames per second; 0: the scene's", None),
    ("namespace", "", "namespace of the whole scene, below that of an including launch file", None),
    (
        "front_end",
        "simulated",
        "echoes simulated from the targets' odometry, or from a topic: a radio",
        ["simulated", "topic"],
    ),
    (
        "target_classes",
        "",
        "classes of targets that do not publish theirs: name:uav or name:vehicle, with commas "
        "between",
        None,
    ),
    (
        "odometry_offsets",
        "",
        "seconds to add to the stamps of targets whose clocks are off: name:2.0, with commas "
        "between",
        None,
    ),
    (
        "simulate_targets",
        "true",
        "move the scene file's own targets; false where robots publish their odometry",
        FLAGS,
    ),
    (
        "params_file",
        "",
        "parameter file for all nodes; its values go before those of other arguments",
        None,
    ),
    ("log_level", "info", "least severity that the nodes log", list(LOG_LEVELS)),
    (
        "respawn",
        "true",
        f"start a node again that ended by itself, {MAX_RESPAWNS} times at most",
        FLAGS,
    ),
    ("out", "", "folder for the evaluator's report at the end; empty: no report", None),
    ("bag", "", "new folder to record all topics into; empty: no recording", None),
    ("markers", "true", "draw for RViz", FLAGS),
    ("rviz", "false", "open RViz", FLAGS),
    ("use_sim_time", "false", "take the time from /clock", FLAGS),
)
# Names of the arguments that differ from those of their options.
OPTION_NAMES = {"rate_hz": "rate"}


def start(context):
    """Actions that start a scene, from the arguments of a launch context."""
    # validate the arguments
    given = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    try:
        scene, options = chosen(given["scene"], graph_options(given))
        if given["rviz"] == "true":
            check_rviz()
    except ChoiceError as error:
        argument = OPTION_NAMES.get(error.option, error.option)
        return refusal(f"{argument}:={given[argument]}: {'; '.join(str(error).splitlines())}")

    # shared memory of killed nodes
    clean_shared_memory()

    # parameter and state files, and the view of RViz, for the time of this launch
    folder = Path(tempfile.mkdtemp(prefix="isac_launch_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options = replace(options, state=str(folder / "state"), run=secrets.randbits(63))

    # nodes
    respawn = given["respawn"] == "true"
    common = {
        "output": "screen",
        "respawn": respawn,
        "respawn_delay": RESPAWN_DELAY_S,
        "respawn_max_retries": MAX_RESPAWNS,
        "prefix": signal_prefix(context),
    }
    pushed = context.launch_configurations.get("ros_namespace", "")
    if options.namespace.startswith("/"):
        pushed = ""
    actions = [node(spec, folder, respawn, pushed, common) for spec in scene_nodes(scene, options)]
    if given["rviz"] == "true":
        actions.append(rviz(scene, options, folder, pushed))
    return actions


def graph_options(given):
    """Options from the arguments. Raises ChoiceError where a word or number is invalid."""
    for name, _, _, words in ARGUMENTS:
        if words and given[name] not in words:
            raise ChoiceError(name, f"must be {' or '.join(words)}")

    # convert
    try:
        rate_hz = float(given["rate"])
    except ValueError:
        raise ChoiceError("rate", "must be a number") from None
    return GraphOptions(
        scheme=given["scheme"],
        rate_hz=rate_hz,
        namespace=given["namespace"],
        out=given["out"],
        bag=given["bag"],
        use_sim_time=given["use_sim_time"] == "true",
        markers=given["markers"] == "true",
        simulate_targets=given["simulate_targets"] == "true",
        front_end=given["front_end"],
        target_classes=words_of(given["target_classes"]),
        odometry_offsets=words_of(given["odometry_offsets"]),
        params_file=given["params_file"],
        log_level=given["log_level"],
    )


def words_of(text):
    """Words of a comma-separated list."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def refusal(message):
    """Actions that end the launch with one line and exit code 1.

    They raise the exception in an event handler: raised at once, it would leave the processes of an
    including launch file running.
    """
    refused = Event()

    def refuse(context):
        raise ValueError(message)

    handler = EventHandler(
        matcher=lambda event: event is refused, entities=[OpaqueFunction(function=refuse)]
    )
    return [RegisterEventHandler(handler), EmitEvent(event=refused)]


def node(spec, folder, respawn, pushed, common):
    """Action that starts a node, with its parameters in a file; the user's file overrides them.

    pushed: namespace that an including launch file has pushed, for the node's name in the log
    common: options of launch_ros.actions.Node that all nodes share
    """
    file = folder / f"{spec.full_name.strip('/').replace('/', '.')}.yaml"
    file.write_text(spec.parameter_text(), encoding="utf-8")
    files = [str(file), *filter(None, [spec.params_file])]
    return Node(
        package=PACKAGE,
        executable=spec.executable,
        exec_name=file.stem,
        name=spec.name,
        namespace=spec.namespace,
        parameters=files,
        remappings=spec.remappings,
        ros_arguments=["--log-level", spec.log_level, "--enclave", spec.full_name],
        additional_env=node_variables(spec.executable),
        on_exit=ending(f"{pushed}{spec.full_name}", MAX_RESPAWNS if respawn else 0),
        **common,
    )


def ending(name, respawns):
    """Handler of the end of a node, which logs it; the other nodes keep running.

    respawns: number of restarts, at most
    """
    ends = []

    def on_exit(event, context):
        if context.is_shutdown:
            return None
        ends.append(event.returncode)
        again = (
            f"starts again in {RESPAWN_DELAY_S:g} s ({len(ends)} of {respawns})"
            if len(ends) <= respawns
            else "is not started again; the others go on"
        )
        return [
            LogInfo(
                msg=f"node {name} ended by itself with exit code {event.returncode} and {again}"
            )
        ]

    return on_exit


def signal_prefix(context):
    """Prefix that blocks signals until a node can handle them.

    Returns None where the user has set a prefix, or `env` does not support it.
    """
    if "launch-prefix" in context.launch_configurations:
        return None
    try:
        result = subprocess.run([*BLOCKING_PREFIX, "true"], capture_output=True)
    except OSError:
        return None
    return " ".join(BLOCKING_PREFIX) if result.returncode == 0 else None


def check_rviz():
    """Raise ChoiceError where RViz is not installed."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        distro = os.environ.get("ROS_DISTRO", "<distro>")
        raise ChoiceError(
            "rviz",
            "package rviz2 is not installed; install it (sudo apt install "
            f"ros-{distro}-rviz2) or leave rviz:=true out",
        ) from None


def rviz(scene, options, folder, pushed):
    """Action that starts RViz with a view of the scene; the nodes survive its end."""
    view = folder / "scene.rviz"
    view.write_text(scene_view(scene, f"{pushed}/{options.namespace.strip('/')}"), encoding="utf-8")
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(view)],
        parameters=[{"use_sim_time": options.use_sim_time}],
    )


def described(text, words):
    """Description of an argument, with its allowed words."""
    return f"{text} ({' | '.join(words)})" if words else text


def generate_launch_description():
    """Declare the arguments, then start the nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=described(text, words))
        for name, default, text, words in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
