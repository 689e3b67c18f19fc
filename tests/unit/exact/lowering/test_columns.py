"""Col2Im: against onnxruntime."""

import numpy as np
import pytest

from oracle.exact.lowering.graph import lower
from oracle.exact.run import run
from tests.unit.exact.agreement import check, model, numbers, refusal


def shapes(image: tuple[int, ...], block: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"image": np.array(image), "block": np.array(block)}


@pytest.mark.parametrize(
    ("image", "block", "blocks", "attributes"),
    [
        ((5, 5), (2, 3), 12, {}),
        ((5, 6), (1, 5), 10, {}),
        ((5, 5), (3, 2), 4, {"strides": [2, 3]}),
        ((6, 6), (2, 2), 9, {"dilations": [3, 5], "strides": [1, 1], "pads": [0, 1, 0, 1]}),
        ((4, 4), (3, 3), 16, {"pads": [1, 1, 1, 1]}),
        ((7, 3), (2, 2), 3, {"strides": [3, 2], "pads": [0, 0, 1, 0]}),
        ((3, 4, 5), (2, 1, 3), 24, {}),
    ],
)
def test_col2im_agrees(image, block, blocks, attributes):
    x = numbers(2, 3 * int(np.prod(block)), blocks)
    check("Col2Im", {"x": x}, shapes(image, block), **attributes)


def test_an_infinity_reaches_the_places_of_its_block_alone():
    x = np.ones((1, 4, 9), np.float32)
    x[0, 0, 0] = np.inf
    (out,) = run(lower(model("Col2Im", {"x": x}, shapes((4, 4), (2, 2)))), [x])
    assert out[0, 0, 0, 0] == np.inf and np.isfinite(out.reshape(-1)[1:]).all()


def test_blocks_that_do_not_fit_are_refused():
    x = {"x": numbers(1, 4, 9)}
    for image, block in (((4, 5), (2, 2)), ((4, 4), (3, 1)), ((4, 4), (2,)), ((1, 1), (2, 2))):
        assert "fix the shapes" in refusal("Col2Im", x, shapes(image, block))
    assert "elements or fewer" in refusal("Col2Im", x, shapes((1 << 20, 1 << 20), (2, 2)))
