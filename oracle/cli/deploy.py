"""`exactum deploy`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from oracle.chain import deployment as deployments
from oracle.chain.connection import connect
from oracle.chain.deployment import PRESETS, Deployed
from oracle.chain.keys import Signer
from oracle.cli import show
from oracle.cli.options import ACCOUNT, DURATION, MONEY, chain_options, json_option
from oracle.cli.session import deployment_path, signing
from oracle.config import Settings

_TIMES = {
    "min_window": "The shortest challenge window.",
    "max_window": "The longest challenge window, in which an operator's bond is bound.",
    "withdrawal_delay": "Between an operator's unstake and the pay-out.",
    "reveal_period": "In which an operator must answer a demand, or is slashed.",
    "reaction_period": "What an answer leaves for the next step, at least.",
    "extension_limit": "How long demands can put off the end of a window, at most.",
}


def _parameter_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, text in reversed(_TIMES.items()):
        flag = "--" + name.replace("_", "-")
        command = click.option(flag, type=DURATION, help=f"{text} [default: the preset's]")(command)
    return command


@click.command()
@chain_options
@signing
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default="l2",
    show_default=True,
    help="Times sized from how long the chain can be censored: l2 (window 24 h, answers in 12 h,"
    " 96 h in all), l1 (7 d, 1 d, 21 d) or devnet (seconds).",
)
@click.option("--min-bond", type=MONEY, help="The least that a request may put at stake.")
@_parameter_options
@click.option(
    "--reveal-tip",
    type=MONEY,
    help="A gas: what a demand prepays above twice the base fee. [default: the preset's]",
)
@click.option(
    "--disputes",
    type=ACCOUNT,
    help="Another contract that alone may slash, instead of ours; trust it before you do this.",
)
@json_option
def deploy(
    rpc: str | None,
    deployments: Path | None,
    signer: Signer,
    preset: str,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Deploys the contracts to any EVM chain and writes deployments/<chainId>.json.

    ModelRegistry, the referee and the contracts that judge one family of ops each, Disputes and
    InferenceQueue. Run it again and it deploys only what is missing, and checks the code of the
    rest; so also after it was interrupted. Nobody owns the contracts, you included: their
    parameters are fixed here, for ever. Send nothing else from this key while it runs: the queue's
    address is promised to Disputes before the queue is there.

    \b
    Examples:
      exactum deploy --rpc http://127.0.0.1:8545 --preset devnet
      exactum deploy --rpc https://node.example --key deployer
      exactum deploy --rpc https://node.example --key deployer --preset l1 --min-bond 0.01ether
    """
    chain = connect(rpc or Settings().rpc)
    path = deployment_path(Settings(), chain, deployments)
    given = {name: value for name, value in chosen.items() if value is not None}
    parameters = replace(PRESETS[preset], **given)

    def report(name: str, contract: Deployed, is_new: bool) -> None:
        verb = "deployed" if is_new else "already there"
        show.err.print(f"{name} {contract.address}: {verb}, block {contract.block}")

    deployed = _deploy(chain, signer, parameters, path, report)
    if as_json:
        show.print_json({"file": str(path), "chain_id": chain.id, "contracts": deployed.contracts})
    else:
        show.out.print(f"The code on chain is ours; {path} says where it is.")


_deploy = deployments.deploy
