"""Starts a whole scene: ros2 launch cooperative_isac scene.launch.py scene:=campus"""

import tempfile
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from cooperative_isac.scene.config import load_scene
from cooperative_isac_ros.graph import GraphOptions, node_variables, scene_nodes
from cooperative_isac_ros.rviz import scene_view

PACKAGE = "cooperative_isac"
FLAGS = ["true", "false"]
ARGUMENTS = (
    ("scene", "campus", "scene file, or the name of a shipped scene", None),
    ("scheme", "", "sensing scheme; empty: the scene's", None),
    ("rate", "0.0", "frames per second; 0: the scene's", None),
    ("namespace", "/", "namespace of the whole scene", None),
    ("out", "", "folder for the evaluator's report at the end; empty: no report", None),
    ("bag", "", "new folder to record all topics into; empty: no recording", None),
    ("markers", "true", "draw for RViz", FLAGS),
    ("simulate_targets", "true",
     "move the scene file's own targets; false where robots publish their odometry", FLAGS),
    ("rviz", "false", "open RViz", FLAGS),
    ("use_sim_time", "false", "take the time from /clock", FLAGS),
)


def start(context):
    """The actions of one scene, once the arguments are known."""
    given = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    options = GraphOptions(
        scheme=given["scheme"], rate_hz=float(given["rate"]), namespace=given["namespace"], out=given["out"],
        bag=given["bag"], use_sim_time=given["use_sim_time"] == "true", markers=given["markers"] == "true",
        simulate_targets=given["simulate_targets"] == "true")
    scene = load_scene(given["scene"])
    actions = [SetEnvironmentVariable(name, value) for name, value in node_variables().items()]
    actions += [Node(package=PACKAGE, executable=spec.executable, name=spec.name, namespace=spec.namespace,
                     parameters=[spec.parameters], remappings=spec.remappings, output="screen",
                     on_exit=ending(spec.full_name))
                for spec in scene_nodes(scene, options)]
    if given["rviz"] == "true":
        view = Path(tempfile.mkdtemp(prefix="isac_")) / "scene.rviz"
        view.write_text(scene_view(scene, options.namespace), encoding="utf-8")
        actions.append(Node(package="rviz2", executable="rviz2", arguments=["-d", str(view)],
                            parameters=[{"use_sim_time": options.use_sim_time}]))
    return actions


def ending(name):
    """What happens when a node ends: if it did so by itself, the scene ends and says which."""
    def act(event, context):
        if context.is_shutdown:
            return None
        reason = f"node {name} ended by itself with exit code {event.returncode}"
        return [LogInfo(msg=f"{reason}: the scene ends"), Shutdown(reason=reason)]
    return act


def generate_launch_description():
    """Arguments, then the nodes that they ask for."""
    declared = [DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)
                for name, default, description, choices in ARGUMENTS]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
