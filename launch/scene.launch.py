"""Starts a whole scene: ros2 launch cooperative_isac scene.launch.py scene:=campus

Nothing that is wrong with an argument is left to find when the first process starts. The file
composes: an including launch description keeps its environment, its namespace and its other
processes.
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
# A node that ends is started again after so many seconds, so many times at most.
RESPAWN_DELAY_S = 1.0
MOST_RESPAWNS = 10
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
        f"start a node again that ended by itself, {MOST_RESPAWNS} times at most",
        FLAGS,
    ),
    ("out", "", "folder for the evaluator's report at the end; empty: no report", None),
    ("bag", "", "new folder to record all topics into; empty: no recording", None),
    ("markers", "true", "draw for RViz", FLAGS),
    ("rviz", "false", "open RViz", FLAGS),
    ("use_sim_time", "false", "take the time from /clock", FLAGS),
)
# Where an argument has another name than its option.
OPTION_NAMES = {"rate_hz": "rate"}


def start(context):
    """The actions of one scene, once the arguments are known."""
    given = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    try:
        scene, options = chosen(given["scene"], graph_options(given))
        if given["rviz"] == "true":
            check_rviz()
    except ChoiceError as error:
        argument = OPTION_NAMES.get(error.option, error.option)
        return refusal(f"{argument}:={given[argument]}: {'; '.join(str(error).splitlines())}")

    # What nodes that were killed have left
    clean_shared_memory()

    # The nodes' parameters, what nodes that are started again go on from, and the view are files as
    # long as this launch runs.
    folder = Path(tempfile.mkdtemp(prefix="isac_launch_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options = replace(options, state=str(folder / "state"), run=secrets.randbits(63))
    respawn = given["respawn"] == "true"
    common = {
        "output": "screen",
        "respawn": respawn,
        "respawn_delay": RESPAWN_DELAY_S,
        "respawn_max_retries": MOST_RESPAWNS,
        "prefix": signal_prefix(context),
    }
    above = context.launch_configurations.get("ros_namespace", "")
    if options.namespace.startswith("/"):
        above = ""
    actions = [node(spec, folder, respawn, above, common) for spec in scene_nodes(scene, options)]
    if given["rviz"] == "true":
        actions.append(rviz(scene, options, folder, above))
    return actions


def graph_options(given):
    """The options of the arguments. ChoiceError: a word or number is none."""
    for name, _, _, words in ARGUMENTS:
        if words and given[name] not in words:
            raise ChoiceError(name, f"must be {' or '.join(words)}")
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
    """The words of a list with commas between."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def refusal(message):
    """Ends the launch with one line and exit code 1, after whatever it has started meanwhile.

    An exception that came at once would leave the processes of an including launch file behind.
    """
    refused = Event()

    def refuse(context):
        raise ValueError(message)

    handler = EventHandler(
        matcher=lambda event: event is refused, entities=[OpaqueFunction(function=refuse)]
    )
    return [RegisterEventHandler(handler), EmitEvent(event=refused)]


def node(spec, folder, respawn, above, common):
    """One node, with its parameters in a file; those of the user's file go before them.

    above: namespace that an including launch file has pushed, to name the node in the log
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
        on_exit=ending(f"{above}{spec.full_name}", MOST_RESPAWNS if respawn else 0),
        **common,
    )


def ending(name, respawns):
    """What is logged when a node ends by itself; the others go on in any case."""
    ends = []

    def act(event, context):
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

    return act


def signal_prefix(context):
    """Blocks Ctrl-C until a node can take it; None: the user has a prefix, or `env` cannot do
    it.
    """
    if "launch-prefix" in context.launch_configurations:
        return None
    try:
        able = subprocess.run([*BLOCKING_PREFIX, "true"], capture_output=True).returncode == 0
    except OSError:
        able = False
    return " ".join(BLOCKING_PREFIX) if able else None


def check_rviz():
    """ChoiceError: RViz is not installed."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        distro = os.environ.get("ROS_DISTRO", "<distro>")
        raise ChoiceError(
            "rviz",
            "package rviz2 is not installed; install it (sudo apt install "
            f"ros-{distro}-rviz2) or leave rviz:=true out",
        ) from None


def rviz(scene, options, folder, above):
    """RViz with its view on the scene; closing it ends nothing else."""
    view = folder / "scene.rviz"
    view.write_text(scene_view(scene, f"{above}/{options.namespace.strip('/')}"), encoding="utf-8")
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(view)],
        parameters=[{"use_sim_time": options.use_sim_time}],
    )


def described(text, words):
    """Description of an argument, with the words that it takes."""
    return f"{text} ({' | '.join(words)})" if words else text


def generate_launch_description():
    """Arguments, then the nodes that they ask for."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=described(text, words))
        for name, default, text, words in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
