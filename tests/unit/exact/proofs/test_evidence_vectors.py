import json

from scripts.disputes import VECTORS, vectors


def test_vectors_are_what_python_proves() -> None:
    assert json.loads(VECTORS.read_text()) == vectors()
