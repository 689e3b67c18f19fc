"""`python -m oracle.cli.demo.lying_worker`: the liar's worker, in a process of its own."""

from threading import Event

from oracle.cli.daemon import configure_logs
from oracle.cli.demo.crew import POLL, lying
from oracle.cli.session import open_key, open_session


def main() -> None:
    configure_logs(as_json=False)
    session, signer = open_session(None, None), open_key(None, None)
    with lying(session, signer) as service:
        service.run(Event(), POLL)


if __name__ == "__main__":
    main()
