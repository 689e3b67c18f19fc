"""What is remembered of requests and models."""

from typing import Any

from oracle.types import Model, ModelId
from oracle.worker.records import Records
from tests.chains import address, model

ID = ModelId(bytes(32))


class Known:
    def __init__(self) -> None:
        self.models: dict[ModelId, Model] = {}
        self.asked = 0

    def model(self, id_: ModelId) -> Model | None:
        self.asked += 1
        return self.models.get(id_)

    def request(self, _: Any) -> None: ...

    def request_of(self, _: Any) -> None: ...


def test_what_is_read_later_is_known_then_and_asked_for_once() -> None:
    store = Known()
    records = Records(store)  # type: ignore[arg-type]
    assert records.model(ID) is None

    store.models[ID] = model(address("publisher"))

    assert [records.model(ID) for _ in range(3)] == [store.models[ID]] * 3
    assert store.asked == 2
