"""`exactum demo`: the whole loop, and then a liar; with an account of who did what and who pays."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from oracle.chain.connection import EMBEDDED, connect
from oracle.chain.node import Chain
from oracle.cli import show
from oracle.cli.demo import crew, narrator
from oracle.cli.demo.first import FirstAct
from oracle.cli.demo.second import SecondAct
from oracle.cli.demo.stage import Stage
from oracle.cli.options import rpc_option
from oracle.config import Settings
from oracle.types import RequestId


@click.command()
@rpc_option(
    "A devnet that holds funded accounts, anvil for example; workers, challenger and auditor are"
    " then processes of their own."
)
@click.option(
    "--keep",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="With --rpc: leave deployment, models and keys there, a new folder, to look around with"
    " the other commands afterwards.",
)
def demo(rpc: Sequence[str], keep: Path | None) -> None:
    """Shows the whole loop in one command: a contract asks, a model answers, a liar is convicted.

    Without --rpc it needs no node: the chain runs inside the command. The models are
    trained on real data and come with the package; all contracts are deployed.

    Act one, everybody is honest. A consumer contract asks about real patients, the worker
    answers, the window passes, the callback writes the diagnosis on chain, and an audit re-runs
    it bit for bit. Another contract acts at once on an answer that the operator signs. A request
    that nobody answers is refunded.

    Act two, one operator lies. It posts a probability that is one unit in the last place off, and
    defends it with a false trace. The challenger runs the model again, narrows the trace down to
    the wrong element and proves it on chain; the liar is slashed. An honest operator answers the
    same request again. Then the liar signs a lie, and is convicted of that. Every wei that moved
    in either act is accounted for.

    \b
    Examples:
      exactum demo
      anvil & exactum demo --rpc http://127.0.0.1:8545 --keep /tmp/demo
    """
    started = time.monotonic()
    if keep is not None:
        _check_keep(rpc, keep)
    with ExitStack() as stack:
        folder = keep or _temporary(stack)
        narrator.narrate()
        disputed = perform(connect(*(rpc or [EMBEDDED])), settings_of(folder))
    show.out.print()
    show.out.print(f"Done in {time.monotonic() - started:.0f} s.")
    if keep is not None:
        show.out.print(
            f"To look around: EXACTUM_HOME={keep} EXACTUM_DEPLOYMENTS={keep}/deployments"
            f" EXACTUM_RPC={','.join(rpc)} exactum dispute show {show.hex_(disputed)}"
        )


def _check_keep(rpc: Sequence[str], keep: Path) -> None:
    if not rpc:
        raise click.UsageError("--keep needs --rpc: the embedded chain ends with the command.")
    if keep.exists():
        raise click.UsageError(f"{keep} exists already: --keep makes a new folder.")


def _temporary(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exactum-demo-")))


def settings_of(folder: Path) -> Settings:
    return Settings(home=folder, deployments=folder / "deployments")


def perform(chain: Chain, settings: Settings) -> RequestId:
    """Performs both acts, on a chain that holds funded accounts. Returns the request that is lied
    about."""
    stage = Stage.set_up(chain, settings)
    with crew.challenger(stage.session, stage.cast.challenger) as challenger:
        asking = FirstAct(stage, challenger).run()
        return SecondAct(stage, challenger, asking).run()
