"""GridSample and AffineGrid: as onnxruntime has them."""

import numpy as np
import pytest

from tests.unit.exact.agreement import check, numbers, refusal

IMAGE = numbers(2, 3, 4, 5)
NEAR, FAR = numbers(2, 6, 3, 2, seed=1), numbers(2, 6, 3, 2, seed=2) * 3


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_grid_sample_agrees(mode, padding, corners):
    options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    for grid in (NEAR, FAR):
        check("GridSample", {"x": IMAGE, "grid": grid}, **options)
    volume, places = numbers(1, 2, 3, 4, 5), numbers(1, 2, 2, 2, 3, seed=3)
    check("GridSample", {"x": volume, "grid": places}, **options)


def test_grid_sample_of_older_opsets_agrees():
    check("GridSample", {"x": IMAGE, "grid": NEAR}, opset=16, mode="bilinear")
    assert "mode cubic" in refusal("GridSample", {"x": IMAGE, "grid": NEAR}, mode="cubic")


@pytest.mark.parametrize(
    ("size", "corners"), [([2, 3, 4, 5], 0), ([2, 3, 4, 5], 1), ([2, 1, 1, 3], 0)]
)
def test_affine_grid_agrees(size, corners):
    shape = {"size": np.int64(size)}
    check("AffineGrid", {"theta": numbers(2, 2, 3)}, shape, align_corners=corners)
    deep = {"size": np.int64([1, 2, 3, 4, 5])}
    check("AffineGrid", {"theta": numbers(1, 3, 4)}, deep, align_corners=corners)
