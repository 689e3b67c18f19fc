"""`exactum check`: a doctor for whoever runs a worker."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click

from oracle.chain import keys as signers
from oracle.chain.connection import connect
from oracle.chain.deployment import Deployment, read_deployment
from oracle.chain.node import Chain, mask
from oracle.cli import show
from oracle.cli.check import account, host, node
from oracle.cli.check.findings import (
    Check,
    Entry,
    Finding,
    Level,
    count,
    examined,
    failure,
    print_entries,
)
from oracle.cli.check.node import Node
from oracle.cli.options import ACCOUNT, deployments_option, json_option, key_options, rpc_option
from oracle.cli.session import Session, deployment_path, keystore_path, read_password
from oracle.config import Settings
from oracle.errors import OracleError
from oracle.types import Address


@click.command()
@rpc_option(
    "A node. May be repeated: each is looked at, and they are compared. [default: $EXACTUM_RPC]"
)
@deployments_option
@key_options
@click.option(
    "--operator",
    type=ACCOUNT,
    metavar="ADDRESS",
    help="Whose stake stands behind the answers, if not the key's own. Without --key its own key"
    " is not looked for.",
)
@click.option("--state", envvar="EXACTUM_STATE", help="The worker's --state, where it has one.")
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help="The worker's --processes.",
)
@click.option(
    "--memory-limit",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="The worker's --memory-limit, MiB for one inference.",
)
@json_option
def check(
    rpc: Sequence[str],
    deployments: Path | None,
    key: str | None,
    password_file: Path | None,
    operator: Address | None,
    state: str | None,
    processes: int,
    memory_limit: int,
    as_json: bool,
) -> None:
    """Looks at nodes, key, stake, state and machine as a worker would use them, and says what to
    do.

    It sends nothing and asks for no password; one that $EXACTUM_PASSWORD or --password-file gives
    is tried. Run it before a worker, and beside one. It exits with 1 where a worker could not do
    its work.

    \b
    Examples:
      exactum check --key operator
      exactum check --key hot --operator 0xf39F…2266 --rpc https://one.example --rpc https://two.example
      exactum check --operator 0xf39F…2266 --json
    """
    settings = Settings()
    entries: list[Entry] = []
    with show.err.status("Asking nodes…"):
        nodes = list(_nodes(rpc or settings.rpc, settings, deployments, entries))
        if len(nodes) > 1:
            compared = Check("agreement", node.together, "See what is said of each node.")
            entries += examined("nodes", nodes, [compared])
        key_address = None
        if operator is None or key is not None:
            path = keystore_path(settings, key or settings.key)
            keystore = account.Keystore(path, _password(settings, password_file))
            entries += account.keystore_entries(keystore)
            with suppress(OracleError):  # of which the entries tell
                key_address = _address(keystore)
        sender = key_address or operator
        entries += _operator(settings, nodes, operator or sender, sender, state)
    with show.err.status("Trying an inference…"):
        entries += host.entries(host.Host(settings, processes, memory_limit * host.MIB))
    failures = count(entries, Level.FAILURE)
    if as_json:
        show.print_json({"failures": failures, "findings": list(map(_machine, entries))})
    else:
        print_entries(entries)
    click.get_current_context().exit(1 if failures else 0)


def _nodes(
    urls: Sequence[str], settings: Settings, folder: Path | None, entries: list[Entry]
) -> Iterator[Node]:
    """Yields each node that answers, and adds what is found about each to `entries`."""
    for number, url in enumerate(urls, start=1):
        name = f"node {number} ({mask(url)})"
        try:
            chain = connect(url)
        except OracleError as error:
            found = failure(str(error), "Start it, or give another by --rpc.")
            entries.append(Entry(name, "answer", found))
            continue
        deployment = _deployment(chain, settings, folder)
        if isinstance(deployment, Finding):
            entries.append(Entry(name, "record", deployment))
            there = Node(name, chain, None)
        else:
            there = Node(name, chain, deployment)
        entries += node.entries(there)
        yield there


def _deployment(chain: Chain, settings: Settings, folder: Path | None) -> Deployment | Finding:
    """Reads the record of the deployment on the node's chain, or says why it cannot."""
    path = deployment_path(settings, chain, folder)
    try:
        return read_deployment(path)
    except OracleError as error:
        others = sorted(each.stem for each in path.parent.glob("*.json"))
        known = f"there are records of chains {', '.join(others)}" if others else "there is none"
        advice = (
            f"See whether --rpc is a node of the chain that you mean, and --deployments: {known}."
        )
        return failure(f"The node is of chain {chain.id}. {error}", advice)


def _operator(
    settings: Settings,
    nodes: Sequence[Node],
    operator: Address | None,
    sender: Address | None,
    state: str | None,
) -> Iterator[Entry]:
    """Looks at an operator by the first node that answers and knows the contracts."""
    if operator is None or sender is None:
        return
    known = ((each.chain, each.deployment) for each in nodes if each.deployment is not None)
    chain, deployment = next(known, (None, None))
    if chain is None or deployment is None:
        found = failure(
            "No node tells of its stake.", "Put right what is said of the nodes, and try again."
        )
        yield Entry(f"operator {operator}", "stake", found)
        return
    session = Session(settings, chain, deployment)
    yield from account.entries(account.Operator(session, operator, sender, state))


def _password(settings: Settings, file: Path | None) -> str | None:
    """Reads the password where that takes nobody's time. One that cannot be read opens nothing."""
    if not (file or settings.password_file or settings.password):
        return None
    try:
        return read_password(settings, file, confirm=False)
    except OracleError:
        return ""


def _address(keystore: account.Keystore) -> Address | None:
    found = signers.address_in(keystore.path)
    if found is None and keystore.password is not None:
        return signers.open_keystore(keystore.path, keystore.password).address
    return found


def _machine(entry: Entry) -> dict[str, object]:
    finding = entry.finding
    return {
        "about": entry.about,
        "check": entry.check,
        "level": str(finding.level),
        "found": finding.found,
        "advice": finding.advice or None,
    }
