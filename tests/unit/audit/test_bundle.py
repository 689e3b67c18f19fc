import hashlib
import io
import random
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from oracle.audit.bundle import MANIFEST, SUMS, Bundle, pack, read, unpack
from oracle.errors import NotABundle
from tests.bundles import bundle


def files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(contents: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return file.getvalue()


def summed(contents: dict[str, bytes]) -> dict[str, bytes]:
    """With checksums that are right."""
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in contents.items()
        if name != SUMS
    ]
    return contents | {SUMS: "".join(lines).encode()}


@pytest.mark.parametrize("is_lie", [False, True])
@pytest.mark.parametrize("with_file", [False, True])
def test_unpack_is_the_inverse_of_pack(is_lie: bool, with_file: bool) -> None:
    made = bundle(is_lie, with_file)

    assert unpack(pack(made)) == made


def test_pack_gives_the_same_bytes_each_time() -> None:
    """And on every machine: a change of format is a change of `FORMAT`."""
    assert pack(bundle(True)) == pack(bundle(True))
    names = list(files(pack(bundle(True))))
    assert names == [
        *(MANIFEST, "request.bin", "model.abi", "model.safetensors", "input.bin"),
        *("output.bin", "recomputed.bin", "trace.bin", "proof.bin", SUMS),
    ]


def test_pack_writes_sums_that_sha256sum_reads() -> None:
    contents = files(pack(bundle()))

    assert contents == summed(contents)


@pytest.mark.parametrize("with_file", [False, True])
def test_unpack_refuses_any_flipped_byte(with_file: bool) -> None:
    data = pack(bundle(is_lie=True, with_file=with_file))
    step = 1 if not with_file else 13

    for at in range(0, len(data), step):
        damaged = bytearray(data)
        damaged[at] ^= random.Random(at).randrange(1, 256)
        with pytest.raises(NotABundle):
            unpack(bytes(damaged))


def test_unpack_refuses_what_is_cut_off_or_goes_on() -> None:
    data = pack(bundle(with_file=False))

    for damaged in (data[:-1], data[1:], data + b"\0", b"", data[:100], data + data):
        with pytest.raises(NotABundle):
            unpack(damaged)


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "extra.bin", "model.safetensors/.."])
def test_unpack_refuses_files_that_do_not_belong_there(name: str) -> None:
    contents = files(pack(bundle(with_file=False)))

    with pytest.raises(NotABundle, match="not the files"):
        unpack(zipped(contents | {name: b"x"}))


def test_unpack_refuses_one_file_twice() -> None:
    contents = files(pack(bundle(with_file=False)))
    file = io.BytesIO(zipped(contents))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("trace.bin", b"x")

    with pytest.raises(NotABundle, match="not the files"):
        unpack(file.getvalue())


@pytest.mark.parametrize("name", ["request.bin", "trace.bin", SUMS, MANIFEST])
def test_unpack_refuses_a_file_that_is_missing(name: str) -> None:
    contents = files(pack(bundle()))
    del contents[name]

    with pytest.raises(NotABundle):
        unpack(zipped(contents))


def test_unpack_refuses_what_is_compressed_before_it_inflates() -> None:
    contents = files(pack(bundle(with_file=False)))
    bomb = zipped(contents | {"input.bin": bytes(1 << 24)}, zipfile.ZIP_DEFLATED)
    tracemalloc.start()

    with pytest.raises(NotABundle, match="compressed"):
        unpack(bomb)

    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 22


def test_unpack_refuses_a_file_that_is_too_long() -> None:
    contents = files(pack(bundle(with_file=False)))

    with pytest.raises(NotABundle, match="manifest.json is longer"):
        unpack(zipped(contents | {MANIFEST: bytes(1 << 17)}))


def test_unpack_refuses_a_directory_of_many_files() -> None:
    many = zipped({f"{number}": b"" for number in range(1000)})

    with pytest.raises(NotABundle, match="its end"):
        unpack(many)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", -1),
        ("chain_id", "1"),
        ("chain_id", 1.0),
        ("chain_id", True),
        ("chain_id", None),
        ("queue", "0x00"),
        ("queue", 5),
        ("request_id", "0x12"),
        ("request_id", "zz"),
        ("request_id", 7),
        ("model_id", None),
        ("proposal", []),
        ("proposal", None),
        ("logs", {}),
        ("logs", 3),
        ("format", "exactum evidence 2"),
        ("more", 1),
    ],
)
def test_unpack_refuses_a_manifest_that_is_none(field: str, value: object) -> None:
    contents = files(pack(bundle(with_file=False)))
    manifest = orjson.loads(contents[MANIFEST]) | {field: value}
    data = orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n"

    with pytest.raises(NotABundle):
        unpack(zipped(summed(contents | {MANIFEST: data})))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"[" * 60_000, b'{"format": "x"}'])
def test_unpack_refuses_a_manifest_that_is_no_object(data: bytes) -> None:
    contents = files(pack(bundle(with_file=False)))

    with pytest.raises(NotABundle):
        unpack(zipped(summed(contents | {MANIFEST: data})))


def test_unpack_refuses_words_of_a_request_that_have_no_meaning() -> None:
    contents = files(pack(bundle(with_file=False)))
    for at in range(0, 224, 32):
        words = bytearray(contents["request.bin"])
        words[at : at + 32] = b"\xff" * 32
        try:
            unpack(zipped(summed(contents | {"request.bin": bytes(words)})))
        except NotABundle:
            continue
        raise AssertionError(at)


def test_read_refuses_what_is_no_file_of_ours(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")

    for path in (tmp_path / "text", tmp_path / "nothing", tmp_path):
        with pytest.raises(NotABundle):
            read(path)


def test_pack_keeps_numbers_that_json_could_lose() -> None:
    made: Bundle = bundle(with_file=False)
    far = replace(made.proposal, settle_at=2**63 - 1)

    assert unpack(pack(replace(made, proposal=far))).proposal.settle_at == 2**63 - 1
