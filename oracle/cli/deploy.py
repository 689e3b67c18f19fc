"""`exactum deploy`."""

from pathlib import Path

import click

from oracle.chain import deployment as deployments
from oracle.chain.codec import ZERO_ADDRESS
from oracle.chain.deployment import Deployed, Parameters
from oracle.chain.provider import connect
from oracle.chain.signer import Signer
from oracle.cli import show
from oracle.cli.options import ACCOUNT, DURATION, MONEY, chain_options, json_option
from oracle.cli.session import deployment_path, signing
from oracle.config import Settings
from oracle.types import Address, Wei

_DEFAULT = Parameters()


@click.command()
@chain_options
@signing
@click.option(
    "--min-bond",
    type=MONEY,
    default="0.001ether",
    show_default=True,
    help="The least bond that a request may ask of an operator.",
)
@click.option(
    "--min-window",
    type=DURATION,
    default="24h",
    show_default=True,
    help="The shortest challenge window. Size it from how long the chain can be"
    " censored: a day on an L2, a week on an L1, a second on a devnet.",
)
@click.option(
    "--max-window",
    type=DURATION,
    default="30d",
    show_default=True,
    help="The longest challenge window, in which an operator's bond is bound.",
)
@click.option(
    "--withdrawal-delay",
    type=DURATION,
    default="7d",
    show_default=True,
    help="Between an operator's unstake and the pay-out.",
)
@click.option(
    "--disputes",
    type=ACCOUNT,
    default=ZERO_ADDRESS,
    help="The only contract that may slash. Without it nobody is ever slashed.",
)
@json_option
def deploy(
    rpc: str | None,
    deployments: Path | None,
    signer: Signer,
    min_bond: Wei,
    min_window: int,
    max_window: int,
    withdrawal_delay: int,
    disputes: Address,
    as_json: bool,
) -> None:
    """Deploys the contracts to any EVM chain and writes deployments/<chainId>.json.

    Run it again and it deploys only what is missing, and checks the code of the rest. Nobody owns
    the contracts, you included: their parameters are fixed here, for ever.

    \b
    Examples:
      exactum deploy --rpc http://127.0.0.1:8545 --min-window 1s --withdrawal-delay 1m
      exactum deploy --rpc https://node.example --key deployer --min-window 24h
    """
    chain = connect(rpc or Settings().rpc)
    path = deployment_path(Settings(), chain, deployments)
    parameters = Parameters(min_bond, min_window, max_window, withdrawal_delay, disputes)

    def report(name: str, contract: Deployed, is_new: bool) -> None:
        verb = "deployed" if is_new else "already there"
        show.err.print(f"{name} {contract.address}: {verb}, block {contract.block}")

    deployed = _deploy(chain, signer, parameters, path, report)
    if as_json:
        show.print_json({"file": str(path), "chain_id": chain.id, "contracts": deployed.contracts})
    else:
        show.out.print(f"The code on chain is ours; {path} says where it is.")


_deploy = deployments.deploy
