"""`python -m oracle.cli.demo.lying_worker`: the liar's worker, in a process of its own."""

from threading import Event

import click

from oracle.cli.daemon import configure_logs
from oracle.cli.demo.crew import POLL, lying, serving
from oracle.cli.session import open_key, open_session


@click.command()
@click.option("--port", type=int, required=True)
def main(port: int) -> None:
    configure_logs(as_json=False)
    session, signer = open_session((), None), open_key(None, None)
    with lying(session, signer) as service, serving(session, service, port):
        service.run(Event(), POLL)


if __name__ == "__main__":
    main()
