"""What a trainer gives: a file, and rows on which to try it."""

import json
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Rows = Sequence[np.ndarray[Any, Any]]
"""An array an input of the model; its first axis has one place a run."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model that can be made. `by` names the programs that make and convert it."""

    name: str
    by: str
    make: Callable[[], tuple[bytes, Rows]]


def keep(recipes: Iterable[Recipe], folder: Path) -> int:
    """Makes every model that is not in the folder yet, and says of which their own converters make
    none. Gives how many are there."""
    kept = 0
    for recipe in recipes:
        path = folder / f"{recipe.name}.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            try:
                file, rows = recipe.make()
            except Exception as error:  # a converter may fail in any way
                last = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
                print(f"{recipe.name} was not made: {last[:200]}", file=sys.stderr, flush=True)
                continue
            arrays = {f"{at:03}": rows_of for at, rows_of in enumerate(rows)}
            np.savez(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
            path.with_suffix(".json").write_text(json.dumps({"by": recipe.by}))
            path.write_bytes(file)
        kept += 1
    return kept
