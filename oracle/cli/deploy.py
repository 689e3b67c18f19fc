"""`exactum deploy`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from oracle.chain import deployer
from oracle.chain.connection import connect
from oracle.chain.deployment import Deployed
from oracle.chain.keys import Signer
from oracle.chain.presets import Parameters, presets
from oracle.challenger.policy import least_bond
from oracle.cli import show
from oracle.cli.options import ACCOUNT, DURATION, MONEY, chain_options, json_option
from oracle.cli.session import deployment_path, signing
from oracle.config import Settings
from oracle.errors import ConfigError
from oracle.types import Wei

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
    type=click.Choice(sorted(presets())),
    default="l2",
    show_default=True,
    help="Bond, tip and times by kind of chain, from deployments/presets: sized from what gas"
    " usually costs there and from how long the chain can be censored.",
)
@click.option(
    "--min-bond",
    type=MONEY,
    help="The least that a request may put at stake. [default: the preset's]",
)
@_parameter_options
@click.option(
    "--reveal-tip",
    type=MONEY,
    help="A gas: what a demand prepays above twice the base fee; more than zero."
    " [default: the preset's]",
)
@click.option(
    "--disputes",
    type=ACCOUNT,
    help="Another contract that alone may slash, instead of ours; trust it before you do this.",
)
@json_option
def deploy(
    rpc: Sequence[str],
    deployments: Path | None,
    signer: Signer,
    preset: str,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Deploys the contracts to any EVM chain and writes deployments/<chainId>.json.

    ModelRegistry, the referee and the contracts that judge one family of ops each, Disputes and
    InferenceQueue. They are created by a Deployer that lies at an address of CREATE2, so code and
    parameters say where they lie: the same preset gives the same addresses on every chain, whoever
    deploys. What is there already is not deployed again, whoever interrupted or completed it.
    Nobody owns the contracts, you included: their parameters are fixed here, for ever.

    \b
    Examples:
      exactum deploy --rpc http://127.0.0.1:8545 --preset devnet
      exactum deploy --rpc https://node.example --key deployer
      exactum deploy --rpc https://node.example --key deployer --preset l1 --min-bond 0.1ether
    """
    chain = connect(*(rpc or Settings().rpc))
    path = deployment_path(Settings(), chain, deployments)
    given = {name: value for name, value in chosen.items() if value is not None}
    parameters = replace(presets()[preset].parameters, **given)
    if parameters.disputes is not None and not chain.code(parameters.disputes):
        raise ConfigError(f"At {parameters.disputes} there is no contract that could slash anyone.")
    _warn_of_bond(parameters, chain.gas_price())

    def report(name: str, contract: Deployed, is_new: bool) -> None:
        verb = "deployed" if is_new else "already there"
        show.err.print(f"{name} {contract.address}: {verb}, block {contract.block}")

    deployed = deployer.deploy(chain, signer, parameters, path, report)
    if as_json:
        show.print_json({"file": str(path), "chain_id": chain.id, "contracts": deployed.contracts})
    else:
        show.out.print(f"The code on chain is ours; {path} says where it is.")


def _warn_of_bond(parameters: Parameters, gas_price: Wei) -> None:
    least = least_bond(gas_price)
    if parameters.min_bond < least:
        show.err.print(
            show.styled(
                "[yellow]The least bond of {} pays for no conviction at the present {} a gas:"
                " --min-bond {} would.[/]",
                show.ether(parameters.min_bond),
                show.ether(gas_price),
                show.amount(least),
            )
        )
