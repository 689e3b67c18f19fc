"""DeformConv: against onnxruntime."""

from typing import Any

import numpy as np
import pytest

from tests.unit.exact.agreement import check, numbers, refusal


def given(
    image: tuple[int, int, int, int],
    weights: tuple[int, int, int, int],
    windows: tuple[int, int],
    movers: int = 1,
) -> dict[str, np.ndarray]:
    """Offsets reach beyond the image, too."""
    taps = weights[2] * weights[3]
    return {
        "x": numbers(*image),
        "w": numbers(*weights, seed=1),
        "o": numbers(image[0], movers * taps * 2, *windows, seed=2) * 2,
        "b": numbers(weights[0], seed=3),
        "m": numbers(image[0], movers * taps, *windows, seed=4),
    }


@pytest.mark.parametrize("left_out", ["", "b", "m", "bm"])
@pytest.mark.parametrize(
    ("inputs", "attributes"),
    [
        (given((2, 4, 5, 6), (6, 4, 3, 3), (5, 6)), {"pads": [1, 1, 1, 1]}),
        (
            given((1, 4, 7, 6), (2, 2, 2, 3), (4, 4), 2),
            {"group": 2, "offset_group": 2, "strides": [2, 1], "dilations": [1, 2],
             "pads": [0, 1, 2, 1]},
        ),
        (given((2, 4, 4, 4), (4, 4, 1, 2), (4, 3), 4), {"offset_group": 4}),
    ],
)  # fmt: skip
def test_deform_conv_agrees(inputs: dict[str, np.ndarray], attributes: Any, left_out: str) -> None:
    kept = {name: array for name, array in inputs.items() if name not in left_out}
    order = ["" if name in left_out else name for name in inputs]
    check("DeformConv", kept, order=order, opset=19, **attributes)


def test_deform_conv_is_refused_where_its_shapes_do_not_fit():
    fits = given((1, 4, 4, 4), (2, 4, 2, 2), (3, 3))
    for name, shape in (("o", (1, 8, 3, 4)), ("m", (1, 5, 3, 3)), ("w", (2, 3, 2, 2))):
        assert "fix the shapes" in refusal("DeformConv", fits | {name: numbers(*shape)}, opset=19)
    for attributes in ({"group": 3}, {"offset_group": 0}, {"kernel_shape": [3, 3]}):
        assert "fix the" in refusal("DeformConv", fits, opset=19, **attributes)
