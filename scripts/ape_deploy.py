"""Deploys with Ape: `ape run ape_deploy --network ethereum:sepolia:node --account ME`.

`exactum deploy` does the same without Ape, and is what the daemon's deployments are written by.
"""

from typing import Any

import click
from ape import accounts, project
from ape.cli import ConnectedProviderCommand, ape_cli_context
from ape.utils import ZERO_ADDRESS

MIN_BOND = 10**15
DAY = 24 * 3600


def deploy(sender: Any, disputes: str = ZERO_ADDRESS) -> tuple[Any, Any]:
    """The registry and the queue, with the defaults of `exactum deploy`."""
    registry = sender.deploy(project.ModelRegistry)
    times = (1 * DAY, 30 * DAY, 7 * DAY)  # shortest window, longest window, delay of withdrawals
    queue = sender.deploy(project.InferenceQueue, registry, disputes, MIN_BOND, *times)
    return registry, queue


@click.command(cls=ConnectedProviderCommand)
@ape_cli_context()
@click.option("--account", help="alias of the account that pays; on a local chain a test account")
def cli(cli_ctx: Any, provider: Any, account: str | None) -> None:
    if not account and not provider.network.is_dev:
        raise click.UsageError("name the account that pays: --account ALIAS")
    sender = accounts.load(account) if account else accounts.test_accounts[0]
    registry, queue = deploy(sender)
    cli_ctx.logger.success(f"ModelRegistry {registry.address}, InferenceQueue {queue.address}")
