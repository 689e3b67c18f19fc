"""Deploys with Ape: `ape run ape_deploy --network ethereum:sepolia:node --account ME --preset l2`.

The whole system, at the same addresses as `exactum deploy` with that preset: whichever of the two
comes second finds all there, and `exactum deploy` then writes deployments/<chainId>.json.
"""

from typing import Any

import click
from ape import accounts, chain, project
from ape.cli import ConnectedProviderCommand, ape_cli_context

from oracle.chain.blueprints import DEPLOYER, DISPUTES, FACTORY, QUEUE, REGISTRY, SALT, plan
from oracle.chain.presets import Parameters, presets


def deploy(sender: Any, parameters: Parameters) -> dict[str, Any]:
    """Creates what is not there yet, and returns all contracts by name."""
    planned = plan(parameters)
    if not chain.provider.get_code(FACTORY):
        raise click.ClickException(f"no CREATE2 factory at {FACTORY}; exactum deploy places it")
    if not chain.provider.get_code(planned.deployer):
        sender.transfer(FACTORY, 0, data=SALT + planned.init_code)
    deployer = project.contracts[DEPLOYER].at(planned.deployer)
    for contract in planned.contracts[deployer.placedCount() :]:
        deployer.place(contract.blueprint.words, sender=sender)
    return {each.name: project.contracts[each.name].at(each.address) for each in planned.contracts}


@click.command(cls=ConnectedProviderCommand)
@ape_cli_context()
@click.option("--account", help="alias of the account that pays; on a local chain a test account")
@click.option("--preset", type=click.Choice(sorted(presets())), default="l2", show_default=True)
def cli(cli_ctx: Any, provider: Any, account: str | None, preset: str) -> None:
    if not account and not provider.network.is_dev:
        raise click.UsageError("name the account that pays: --account ALIAS")
    sender = accounts.load(account) if account else accounts.test_accounts[0]
    contracts = deploy(sender, presets()[preset].parameters)
    for name in (REGISTRY, QUEUE, DISPUTES):
        cli_ctx.logger.success(f"{name} {contracts[name].address}")
