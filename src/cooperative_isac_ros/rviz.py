"""The view of a scene for RViz: config/rviz/scene.rviz, moved to the scene's area and namespace."""

from __future__ import annotations

import math
from typing import Iterator

import numpy as np
import yaml

from cooperative_isac.scene.model import Scene
from cooperative_isac_ros.graph import shared_file
from cooperative_isac_ros.transforms import frame_prefix

WINDOW_PIXELS = 800


def scene_view(scene: Scene, namespace: str = "/") -> str:
    """Text of an RViz configuration that looks at the scene and hears the nodes of a namespace."""
    view = yaml.safe_load(shared_file("rviz/scene.rviz").read_text(encoding="utf-8"))
    manager, root = view["Visualization Manager"], f"/{namespace.strip('/')}".rstrip("/")
    low_m, high_m = scene.area.low_m, scene.area.high_m
    centre_m, width_m = (low_m + high_m) / 2, float(np.max((high_m - low_m)[:2]))
    for node in _nodes(manager["Displays"]):
        if isinstance(node.get("Topic"), dict):
            node["Topic"]["Value"] = root + node["Topic"]["Value"]
        if node.get("Class") == "rviz_default_plugins/TF" and root:
            node["Filter (whitelist)"] = f"^(map|{frame_prefix(root)}.*)$"
        if node.get("Class") == "rviz_default_plugins/Grid":
            node["Cell Size"] = 10.0 ** math.floor(math.log10(width_m / 5))
            node["Plane Cell Count"] = math.ceil(1.2 * width_m / node["Cell Size"])
            node["Offset"] = _point([*centre_m[:2], low_m[2]])
    for node in _nodes([manager["Views"]]):
        if "Focal Point" in node:
            node["Focal Point"], node["Distance"] = _point(centre_m), 1.6 * width_m
        elif "Scale" in node:
            node.update(X=float(centre_m[0]), Y=float(centre_m[1]), Scale=WINDOW_PIXELS / (1.3 * width_m))
    return yaml.safe_dump(view, sort_keys=False)


def _nodes(tree) -> Iterator[dict]:
    """All mappings in a tree of lists and mappings."""
    if isinstance(tree, dict):
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(item)


def _point(place_m) -> dict[str, float]:
    return dict(zip("XYZ", map(float, place_m)))
