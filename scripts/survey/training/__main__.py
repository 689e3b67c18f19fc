"""Trains all models into a folder: python -m scripts.survey.training FOLDER."""

import sys
import warnings
from pathlib import Path

from scripts.survey.training import boosting, estimators, functions, layers, rewritten
from scripts.survey.training.made import keep

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    families = (estimators, boosting, layers, functions, rewritten)
    count = sum(keep(family.recipes(), folder) for family in families)
    print(f"{count} models in {folder}", file=sys.stderr)
