"""Bundles: evidence about one result in one file, the same bytes whoever writes it.

docs/auditors.md has the format. A file may come from anyone: nothing is extracted, decompressed or
unpickled, sizes are limited, and it is refused unless writing its contents gives the same file.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from eth_utils import is_checksum_address

from oracle.chain.codec import request_bytes, request_from_bytes
from oracle.errors import NotABundle
from oracle.types import Address, ModelId, Proposal, Request, RequestId

FORMAT = "exactum evidence 3"
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
MAX_BYTES = (2 << 30) - 1  # a longer ZIP file has another format

# The most bytes of each entry, in the order in which they stand in the file.
_LIMITS = {
    MANIFEST: 1 << 16,
    "request.bin": 224,
    "model.abi": 1 << 20,
    "model.safetensors": MAX_BYTES,
    "input.bin": 1 << 24,
    "output.bin": 1 << 24,
    "recomputed.bin": 1 << 24,
    "trace.bin": 4 << 20,
    "proof.bin": 4 << 20,
    SUMS: 1 << 12,
}
_OPTIONAL = {"model.safetensors", "proof.bin"}
_END, _FAR_END = b"PK\x05\x06", b"PK\x06\x07"
_DIRECTORY = 1 << 12  # the most bytes of ZIP's directory
_DAWN = (1980, 1, 1, 0, 0, 0)  # the first time that ZIP can say


@dataclass(frozen=True, slots=True)
class Reference:
    """The place of a log in the chain."""

    block: int
    transaction: bytes
    index: int


@dataclass(frozen=True, slots=True)
class References:
    """The logs from which the rest was taken. Nothing in the bundle proves that they exist: only a
    node can tell."""

    model_published: Reference
    request_created: Reference
    result_proposed: Reference


@dataclass(frozen=True, slots=True)
class Bundle:
    """The evidence about one result. `trace` is the trace's root, the program's header with its
    path, and for each output the hashes beside its value's path. `proof` convicts a wrong output
    before the referee, and is None for a right one."""

    chain_id: int
    queue: Address
    registry: Address
    request_id: RequestId
    model_id: ModelId
    request: Request
    proposal: Proposal
    logs: References
    model: bytes  # preimage of its id
    program: bytes | None  # its file
    payload: bytes
    output: bytes  # as proposed
    recomputed: bytes
    trace: bytes
    proof: bytes | None


def pack(bundle: Bundle) -> bytes:
    """Writes the file's bytes. Raises NotABundle where it would be too long."""
    contents: dict[str, bytes | None] = {
        MANIFEST: _manifest(bundle),
        "request.bin": request_bytes(bundle.request),
        "model.abi": bundle.model,
        "model.safetensors": bundle.program,
        "input.bin": bundle.payload,
        "output.bin": bundle.output,
        "recomputed.bin": bundle.recomputed,
        "trace.bin": bundle.trace,
        "proof.bin": bundle.proof,
    }
    packed = _zipped({name: data for name, data in contents.items() if data is not None})
    if len(packed) > MAX_BYTES:
        raise NotABundle("The model's file is too long for a bundle: leave it out.")
    return packed


def unpack(data: bytes) -> Bundle:
    """Reads the file's bytes, and refuses all but what `pack` writes. Raises NotABundle."""
    contents = _unzipped(data)
    sums = contents.pop(SUMS)
    for name, content in contents.items():
        if _sum_line(name, content) not in sums.splitlines(keepends=True):
            raise NotABundle(f"{name} is not what {SUMS} says: the bundle was damaged.")
    try:
        bundle = _bundle(orjson.loads(contents[MANIFEST]), contents)
        packed = pack(bundle)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise NotABundle(f"Its {MANIFEST} cannot be read: {error!r}.") from None
    if packed != data:
        raise NotABundle("It is not written as a bundle is: somebody changed it.")
    return bundle


def read(path: Path) -> Bundle:
    """Reads a bundle from a file. Raises NotABundle."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise NotABundle(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise NotABundle(f"{path} is longer than any bundle.")
    return unpack(data)


# The container.


def _zipped(contents: Mapping[str, bytes]) -> bytes:
    """Zips contents without compression, in order. All that ZIP leaves open is always the same."""
    lines = b"".join(_sum_line(name, data) for name, data in contents.items())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (*contents.items(), (SUMS, lines)):
            entry = zipfile.ZipInfo(name, _DAWN)
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return file.getvalue()


def _sum_line(name: str, data: bytes) -> bytes:
    """Writes a line as sha256sum does."""
    return f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode()


def _unzipped(data: bytes) -> dict[str, bytes]:
    # zipfile reads the whole directory before it can be asked for its size, so the size is checked
    # here.
    end = data[-22:]
    is_long = int.from_bytes(end[12:16], "little") > _DIRECTORY
    if end[:4] != _END or is_long or data[-42:-38] == _FAR_END:
        raise NotABundle("It is no bundle, or was damaged: its end is not that of one.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            known = [name for name in _LIMITS if name in names]
            if names != known or _LIMITS.keys() - _OPTIONAL - set(names):
                raise NotABundle("It has not the files that a bundle has.")
            for entry in entries:
                _check(entry)
            return {entry.filename: archive.read(entry) for entry in entries}
    # zipfile raises these for no ZIP, a wrong checksum, encryption, places beyond the end.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise NotABundle(f"It is no bundle, or was damaged: {error}.") from None
    except (ValueError, LookupError, OverflowError, EOFError, OSError) as error:
        raise NotABundle(f"It is no bundle, or was damaged ({type(error).__name__}).") from None


def _check(entry: zipfile.ZipInfo) -> None:
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise NotABundle(f"{entry.filename} is compressed, as no file of a bundle is.")
    if entry.file_size > _LIMITS[entry.filename]:
        raise NotABundle(f"{entry.filename} is longer than it may be.")


# The manifest.


def _manifest(bundle: Bundle) -> bytes:
    fields = {
        "format": FORMAT,
        "chain_id": bundle.chain_id,
        "queue": bundle.queue,
        "registry": bundle.registry,
        "request_id": bundle.request_id,
        "model_id": bundle.model_id,
        "proposal": asdict(bundle.proposal),
        "logs": asdict(bundle.logs),
    }
    return orjson.dumps(fields, default=_hex, option=orjson.OPT_INDENT_2) + b"\n"


def _hex(value: Any) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    raise TypeError(type(value))


def _bundle(fields: Any, contents: Mapping[str, bytes]) -> Bundle:
    """Reads the manifest's fields. It ignores others and other forms of the same values, because
    `unpack` finds them by writing the bundle again."""
    if fields["format"] != FORMAT:
        raise NotABundle(f"This program reads {FORMAT!r}, not {fields['format']!r}.")
    proposal, logs = fields["proposal"], fields["logs"]
    if len(contents["request.bin"]) != 224:
        raise NotABundle("Its request is not of seven words.")
    return Bundle(
        chain_id=_number(fields["chain_id"]),
        queue=_address(fields["queue"]),
        registry=_address(fields["registry"]),
        request_id=RequestId(_word(fields["request_id"])),
        model_id=ModelId(_word(fields["model_id"])),
        request=request_from_bytes(contents["request.bin"]),
        proposal=Proposal(
            operator=_address(proposal["operator"]),
            epoch=_number(proposal["epoch"]),
            proposed_at=_number(proposal["proposed_at"]),
            settle_at=_number(proposal["settle_at"]),
            output_length=_number(proposal["output_length"]),
            by_signer=_bool(proposal["by_signer"]),
        ),
        logs=References(
            _reference(logs["model_published"]),
            _reference(logs["request_created"]),
            _reference(logs["result_proposed"]),
        ),
        model=contents["model.abi"],
        program=contents.get("model.safetensors"),
        payload=contents["input.bin"],
        output=contents["output.bin"],
        recomputed=contents["recomputed.bin"],
        trace=contents["trace.bin"],
        proof=contents.get("proof.bin"),
    )


def _reference(fields: Any) -> Reference:
    block, index = _number(fields["block"]), _number(fields["index"])
    return Reference(block, _word(fields["transaction"]), index)


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number")
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _word(value: Any) -> bytes:
    word = bytes.fromhex(value.removeprefix("0x"))
    if len(word) != 32:
        raise ValueError(f"{value!r} is no hash")
    return word


def _address(value: Any) -> Address:
    if not is_checksum_address(value):
        raise ValueError(f"{value!r} is no address")
    return Address(value)
