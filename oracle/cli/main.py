"""The command's root: groups the commands, and turns expected errors into one sentence."""

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any, NoReturn

import click

from oracle.cli import show
from oracle.errors import ModelRefused, OracleError
from oracle.visible import visible_lines

# Each command by the module that has it, in the order of --help. A module is imported when its
# command is called: the libraries of all together take over a second.
_COMMANDS = {
    "demo": "demo",
    "deploy": "deploy",
    "keys": "keys",
    "model": "model",
    "operator": "operator",
    "check": "check",
    "worker": "worker",
    "serve": "serve",
    "challenger": "challenger",
    "dispute": "dispute",
    "request": "request",
    "result": "request",
    "infer": "infer",
    "expire": "request",
    "retry-callback": "request",
    "audit": "audit",
}


class Commands(click.Group):
    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        # The kernels of a program that runs models are loaded here, and compiled on a new machine.
        with show.err.status(f"Loading exactum {cmd_name}…"):
            module = import_module(f"oracle.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("exactum"))
def exactum() -> None:
    """Verifiable AI inference for contracts on any EVM chain.

    \b
    See it whole:       exactum demo
    On your own chain:  exactum keys new · exactum deploy · exactum model publish FILE …
    Operators:          exactum operator stake 1ether · exactum worker · exactum serve
    What is amiss:      exactum check --key operator
    Requesters:         exactum request MODEL --input … · exactum result REQUEST
    At once:            exactum infer MODEL INPUT --via URL
    Auditors:           exactum audit · exactum audit REQUEST --export FILE
    Challengers:        exactum challenger · exactum dispute show REQUEST

    What needs a node takes --rpc, or reads $EXACTUM_RPC; keys, model inspect and model add-file
    need none. --help shows the rest. Expected errors are one sentence on standard error and exit
    code 1.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    sys.excepthook = _print_bug
    try:
        code = exactum(arguments, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except ModelRefused as error:
        show.err.print("The model is refused:", style="red")
        for reason in error.reasons:
            show.err.print(f"  • {reason}")
        sys.exit(1)
    except OracleError as error:
        show.err.print(f"Error: {error}", style="red")
        sys.exit(1)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        show.err.print("Stopped.")
        sys.exit(130)


def _print_bug(*error: Any) -> None:
    """Prints an error as Python would, but makes visible what a stranger wrote into it."""
    sys.stderr.write(visible_lines("".join(traceback.format_exception(*error))) + "\n")
