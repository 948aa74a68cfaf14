"""The command `isac`.

Each command imports its libraries inside its function, so that `isac --help` answers at once.
"""

from __future__ import annotations

import os
import sys

# Set before numpy is imported. The matrices are small: several threads would only slow down the
# worker processes, which use all processors already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from cooperative_isac_ros.processes.interrupts import take_signals

if sys.argv[1:2] == ["run"]:
    # Before the slow imports, during which a Ctrl-C has nothing to save.
    _stop = take_signals()
    if "--help" not in sys.argv:
        from cooperative_isac_ros.processes.fork_server import begin_fork_server, end_fork_servers

        begin_fork_server()
        _stop.on_request(end_fork_servers)

import typer

from cooperative_isac.cli.node_commands import bag, policy, run
from cooperative_isac.cli.result_commands import EvaluateCommand, evaluate, report
from cooperative_isac.cli.scene_commands import check, check_echo
from cooperative_isac.evaluation.figures_app import app as figures_app
from cooperative_isac.output.command import run_command
from cooperative_isac.training.app import dataset, train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Cooperative integrated sensing and communication.",
)

# In the order of `isac --help`.
app.command()(run)
app.command(
    # `isac bag` reads its arguments itself.
    add_help_option=False,
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)(bag)
app.command()(policy)
app.command()(check)
app.command()(check_echo)
app.command()(report)
app.command(cls=EvaluateCommand)(evaluate)
app.command()(train)
app.command()(dataset)
app.add_typer(figures_app, name="figures")


def main() -> None:
    """Entry point of the command."""
    run_command(app, sys.argv[1:])
