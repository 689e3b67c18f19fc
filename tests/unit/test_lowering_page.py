"""docs/lowering.md names every op that is lowered."""

import re
from pathlib import Path

import pytest

from oracle.exact.lowering import sequences
from oracle.exact.lowering.families import MICROSOFT, ONNX, ONNX_ML

PAGE = (Path(__file__).parents[2] / "docs/lowering.md").read_text()
HEADS = re.compile(r"^- \*\*(.+?)\.\*\*", re.M | re.S)
NAMED = {word for head in HEADS.findall(PAGE) for word in re.findall(r"\w+", head)}
# What graph.py lowers by itself.
WITHOUT_TABLE = {"If", "Scan", "Loop", "ZipMap", *sequences.OPS}


@pytest.mark.parametrize("op", sorted({*ONNX, *ONNX_ML, *MICROSOFT, *WITHOUT_TABLE}))
def test_page_names_each_op_that_is_lowered(op):
    assert op in NAMED
