"""The command's root: groups the commands, and turns expected errors into one sentence."""

import sys
from importlib.metadata import version

import click

from oracle.cli import show
from oracle.cli.audit import audit
from oracle.cli.demo import demo
from oracle.cli.deploy import deploy
from oracle.cli.keys import keys
from oracle.cli.model import model
from oracle.cli.operator import operator
from oracle.cli.request import expire, request, result, retry_callback
from oracle.cli.worker import worker
from oracle.errors import ModelRefused, OracleError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("exactum"))
def exactum() -> None:
    """Verifiable AI inference for contracts on any EVM chain.

    \b
    See it whole:       exactum demo
    On your own chain:  exactum keys new · exactum deploy · exactum model publish FILE …
    Operators:          exactum operator stake 1ether · exactum worker
    Requesters:         exactum request MODEL --input … · exactum result REQUEST
    Auditors:           exactum audit REQUEST

    Every command takes --rpc, or reads $EXACTUM_RPC; --help shows the rest. Expected errors are one
    sentence on standard error and exit code 1.
    """


for command in (
    demo,
    deploy,
    keys,
    model,
    operator,
    worker,
    request,
    result,
    expire,
    retry_callback,
    audit,
):
    exactum.add_command(command)


def main() -> None:
    try:
        exactum(standalone_mode=False)
    except ModelRefused as error:
        show.err.print("[red]The model is outside the law:[/]")
        for reason in error.reasons:
            show.err.print(f"  • {reason}", markup=False)
        sys.exit(1)
    except OracleError as error:
        show.err.print(f"Error: {error}", style="red", markup=False)
        sys.exit(1)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        show.err.print("Stopped.")
        sys.exit(130)
