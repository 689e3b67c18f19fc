"""A person at a desk: commands, each with the keys, models and deployments of one folder."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from oracle.chain import devnet
from oracle.chain.connection import connect
from oracle.cli.main import main
from oracle.types import Wei

ETHER = 10**18
PASSWORD = "correct horse"


@dataclass(frozen=True)
class Desk:
    """A folder with keys, models and deployments, and a chain: what one person works with."""

    home: Path
    url: str

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "EXACTUM_HOME": str(self.home),
            "EXACTUM_DEPLOYMENTS": str(self.home / "deployments"),
            "EXACTUM_RPC": self.url,
            "EXACTUM_PASSWORD": PASSWORD,
            "COLUMNS": "200",
        }

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """In this process: a new one spends a second on imports."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main(arguments)
        code = end.value.code if isinstance(end.value.code, int) else 1
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self.call(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> dict:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    @contextmanager
    def worker(self) -> Iterator[None]:
        command = [sys.executable, "-m", "oracle.cli", "worker", "--key", "operator"]
        log = (self.home / "worker.log").open("ab")
        process = subprocess.Popen(
            [*command, "--poll", "0.1", "--json-logs"], env=self.environment, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(900) == 0
            log.close()

    def fund(self, name: str) -> None:
        address = self.json("keys", "new", name)["address"]
        devnet.fund(connect(self.url), address, Wei(10 * ETHER))
