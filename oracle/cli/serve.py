"""`exactum serve`: the operator's program, and signed answers over HTTP."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event as Flag

import click
import structlog
from fastapi import FastAPI

from oracle.chain.node import Chain
from oracle.cli import daemon as daemons
from oracle.cli.daemon import Daemon, daemon_options, on_signals
from oracle.cli.files import local_dictionary, model_files
from oracle.cli.options import MONEY, PERIOD, SIZE, key_options
from oracle.cli.policy import PolicyOptions, operator_option, policy_options
from oracle.cli.session import Session, on_chain, open_key
from oracle.cli.worker import set_up
from oracle.errors import ConfigError
from oracle.serve.app import GRACE, create_app
from oracle.serve.guard import GuardLimits
from oracle.serve.server import Server, listen
from oracle.types import Address, Wei
from oracle.worker.mandate import Mandate
from oracle.worker.service import Service, SigningSetup
from oracle.worker.signing import MAX_TIMEOUT, SigningLimits


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option(
    "--max-timeout",
    type=PERIOD,
    default="2m",
    show_default=True,
    help="How far ahead the deadline of a signed answer may be; an hour at most. Until then its"
    " bond is kept free, whether it is posted or not.",
)
@click.option(
    "--max-unposted",
    type=MONEY,
    help="The sum of the bonds of all signed answers that were not posted yet."
    " [default: half the stake]",
)
@click.option(
    "--orders",
    type=click.IntRange(1, 10_000),
    default=16,
    show_default=True,
    help="Answers that wait or are computed; who comes then is told to come again.",
)
@click.option(
    "--rate",
    type=click.IntRange(1, 1_000_000),
    default=30,
    show_default=True,
    help="Answers a minute for one address; other requests, ten times as many.",
)
@click.option(
    "--at-once",
    type=click.IntRange(1, 10_000),
    default=4,
    show_default=True,
    help="Answers at once for one address.",
)
@click.option(
    "--max-body", type=SIZE, default="1MiB", show_default=True, help="Of one request, as JSON."
)
@click.option(
    "--drain",
    type=PERIOD,
    default="30s",
    show_default=True,
    help="How long to finish what was asked, once it is to stop. A second signal stops at once.",
)
@click.option(
    "--proxy",
    "proxies",
    metavar="ADDRESS",
    multiple=True,
    help="A reverse proxy, whose X-Forwarded-For is believed. May be repeated.",
)
@policy_options
@operator_option
@daemon_options(run="inference", time_limit="60s", memory_limit=4096, once=None)
@on_chain
@key_options
def serve(
    host: str,
    port: int,
    max_timeout: int,
    max_unposted: Wei | None,
    orders: int,
    rate: int,
    at_once: int,
    max_body: int,
    drain: int,
    proxies: Sequence[str],
    chosen: PolicyOptions,
    operator: Address | None,
    daemon: Daemon,
    session: Session,
    key: str | None,
    password_file: Path | None,
) -> None:
    """Answers over HTTP with signatures, and does all that `exactum worker` does.

    A signed answer binds you: its consumer may post it until its deadline, with your bond behind
    it. It costs whoever asks nothing until then, so every address has limits. Without --model it
    serves the EXACT models whose program files are in the cache, and fetches none. Speak TLS by a
    reverse proxy in front. The API is described at /openapi.json.

    \b
    Examples:
      exactum serve --key operator --model 0x1f…
      exactum serve --key operator --host 0.0.0.0 --port 8080 --proxy 10.0.0.1
    """
    if max_timeout > MAX_TIMEOUT:
        raise ConfigError(f"--max-timeout is at most {MAX_TIMEOUT}s: the queue takes no more.")
    signer = open_key(key, password_file)
    operator = operator or signer.address
    chosen.require(Mandate(session.queue, operator, signer))
    listening = listen(host, port)
    log = structlog.get_logger()
    limits = SigningLimits(max_timeout, max_unposted, orders)
    with (
        daemon.watched("serve") as watch,
        daemon.open(session, operator, sender=signer.address, is_advised=True) as opened,
    ):
        setup = set_up(
            session,
            store=opened.store,
            inference=opened.answers,
            policy=chosen.policy(operator),
            signer=signer,
            view=daemon.view(session),
            parallel=daemon.processes,
            time_limit=daemon.time_limit,
            max_fee=daemon.max_fee_per_gas,
            watch=watch,
        )
        service = Service(setup, SigningSetup(session.registry, limits))
        app = api(session, service, GuardLimits(max_body, rate, at_once), daemon.time_limit)
        server = Server(app, listening, drain, proxies)
        log.info(
            "serving signed answers", url=server.url, operator=operator, account=signer.address
        )
        _run(service, server, daemon.poll, session.chain)


def api(
    session: Session, service: Service, limits: GuardLimits, time_limit: float = 60.0
) -> FastAPI:
    """Makes the API of a worker that signs, whose inferences take `time_limit` seconds at most."""
    assert service.signing is not None
    return create_app(
        service.signing,
        partial(local_dictionary, files=model_files(session.settings)),
        limits,
        patience=2 * time_limit + GRACE,
    )


def _run(service: Service, server: Server, poll: float, chain: Chain) -> None:
    """Runs until a signal comes and what was asked by then is answered, or another one comes."""
    signing, stop = service.signing, Flag()
    assert signing is not None
    log = structlog.get_logger()

    def end() -> None:
        daemons.end(stop, service.bell, chain)

    def drain() -> None:
        log.info("stopping: answering what was asked, and nothing new")
        signing.close()
        server.stop()

    on_signals(drain, end)
    server.start(ended=end)
    service.run(stop, poll)
    server.stop()
    server.wait()
