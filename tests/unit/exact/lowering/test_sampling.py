"""GridSample and AffineGrid: as onnxruntime has them."""

import numpy as np
import pytest

from oracle.exact.lowering.graph import lower
from oracle.exact.run import run
from tests.unit.exact.agreement import check, model, numbers, refusal

IMAGE = numbers(2, 3, 4, 5)
NEAR, FAR = numbers(2, 6, 3, 2, seed=1), numbers(2, 6, 3, 2, seed=2) * 3


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_grid_sample_agrees(mode, padding, corners):
    options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    for grid in (NEAR, FAR):
        check("GridSample", {"x": IMAGE, "grid": grid}, **options)
    if mode != "cubic":  # onnxruntime has it of images alone
        volume, places = numbers(1, 2, 3, 4, 5), numbers(1, 2, 2, 2, 3, seed=3)
        check("GridSample", {"x": volume, "grid": places}, **options)


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_cubic_grid_sample_agrees_beside_small_images(padding, corners):
    options = {"mode": "cubic", "padding_mode": padding, "align_corners": corners}
    for sides in ((1, 1), (1, 2), (2, 3)):
        check("GridSample", {"x": numbers(2, 2, *sides), "grid": FAR}, **options)


def test_cubic_grid_sample_reads_no_element_far_beside_the_image():
    """A weight of 0 would make NaN of an infinity at the border."""
    inputs = {"x": np.full((1, 1, 2, 2), np.inf, np.float32), "grid": np.float32([[[[-9, 9]]]])}
    (read,) = run(lower(model("GridSample", inputs, mode="cubic")), list(inputs.values()))
    assert read.tolist() == [[[[0]]]]


def test_grid_sample_of_older_opsets_agrees():
    for mode in ("bilinear", "bicubic"):
        check("GridSample", {"x": IMAGE, "grid": NEAR}, opset=16, mode=mode)
    assert "mode best" in refusal("GridSample", {"x": IMAGE, "grid": NEAR}, mode="best")


@pytest.mark.parametrize(
    ("size", "corners"), [([2, 3, 4, 5], 0), ([2, 3, 4, 5], 1), ([2, 1, 1, 3], 0)]
)
def test_affine_grid_agrees(size, corners):
    shape = {"size": np.int64(size)}
    check("AffineGrid", {"theta": numbers(2, 2, 3)}, shape, align_corners=corners)
    deep = {"size": np.int64([1, 2, 3, 4, 5])}
    check("AffineGrid", {"theta": numbers(1, 3, 4)}, deep, align_corners=corners)
