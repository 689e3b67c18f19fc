"""What a program waits for before it has a model run: the model's file."""

from collections.abc import Callable, Iterable, Sequence

import structlog

from oracle.errors import ModelUnavailable
from oracle.inference.answers import Inference
from oracle.types import FileName, Model

log = structlog.get_logger()


class Waits:
    """The files that are waited for, in one round. While a file is fetched, it holds no run's
    place, since the fetch may take as long as a stranger's server wants."""

    def __init__(self, inference: Inference):
        self._inference = inference
        self._files: set[FileName] = set()
        self._is_unkept = False  # as was said

    @property
    def is_empty(self) -> bool:
        return not self._files

    def start_round(self) -> None:
        self._files.clear()

    def has_file(
        self, model: Model, uris: Callable[[], Sequence[str]], is_urgent: bool = False
    ) -> bool:
        """Says whether a model's file needs no more waiting."""
        if self._inference.ready(model, uris, is_urgent):
            return True
        self._files.add(model.file)
        return False

    def keep(self, models: Iterable[Model | None]) -> None:
        """Keeps the files of these models, and no others, from being evicted. Where that cannot be,
        it says so once: what is at work goes on, and so does what must be shown."""
        try:
            self._inference.keep({model.file for model in models if model is not None})
        except ModelUnavailable as error:
            if not self._is_unkept:
                log.error("model files may be evicted that are still needed", why=str(error))
            self._is_unkept = True
        else:
            self._is_unkept = False
