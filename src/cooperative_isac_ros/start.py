"""Entry point of all nodes: blocks the signals, then imports the node and runs it.

    python -m cooperative_isac_ros.start tracker --ros-args -p scene:=campus

The executables of a colcon workspace, which have the nodes' names, are this entry point, too.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from cooperative_isac_ros.processes.interrupts import take_signals

# Exit code of a command line, scene or parameter that cannot be used.
USAGE_ERROR = 2


def main() -> int:
    """Run the node that the command line names. Returns the exit code."""
    # Imports take a second, and there is nothing to save yet: a signal ends the process at once.
    take_signals(allowed_s=0.0)

    # name of the executable, or first argument
    name = Path(sys.argv[0]).stem
    if name == Path(__file__).stem:
        name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in node_names():
        print(f"error: no node '{name}'; use one of {', '.join(node_names())}", file=sys.stderr)
        return USAGE_ERROR
    return import_module(f"cooperative_isac_ros.nodes.{name}").main()


def node_names() -> list[str]:
    """Names of all nodes, from the names of their files."""
    files = (Path(__file__).parent / "nodes").glob("*.py")
    return sorted(file.stem for file in files if file.stem != "__init__")


if __name__ == "__main__":
    sys.exit(main())
