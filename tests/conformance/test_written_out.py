"""Ops that ONNX defines by others are lowered as those: to the programs of its own expansions."""

from oracle.exact.lowering import schemas
from tests.conformance.cases import cases, program


def test_ops_that_onnx_writes_out_have_the_programs_of_their_expansions():
    compared = set()
    for name, case in cases().items():
        expanded = cases().get(f"{name}_expanded")
        if expanded is None or not schemas.is_written_out(case.model.graph.node[0]):
            continue
        found, written = program(case), program(expanded)
        assert (found and found.root) == (written and written.root), name
        compared.add(case.model.graph.node[0].op_type)
    assert len(compared) == 5
