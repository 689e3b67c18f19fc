"""The command `exactum`: the only part that constructs things."""

from oracle.cli.main import main

__all__ = ["main"]
