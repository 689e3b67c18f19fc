import base64
import hashlib
import re
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from oracle.errors import ModelMismatch, ModelRefused, ModelUnavailable, NotCertified
from oracle.exact.mapped import MAX_HEADER
from oracle.exact.program_file import pack
from oracle.inference import certificates
from oracle.inference.certifier import ERROR
from oracle.inference.files import ModelFiles
from oracle.inference.sources import CHUNK, is_public, masked
from oracle.types import FileKind, FileName
from tests.networks import network

DATA = b"a model's bytes"
NAME = FileName(FileKind.ONNX, hashlib.sha256(DATA).digest())
OTHER = b"other bytes"
LARGE = 32 << 20


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        try:
            self.server.answers[self.path](self)
        except KeyError:
            self.send_error(404)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client had enough

    def log_message(self, *_):
        pass


def gives(data, **headers):
    def answer(handler):
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def streams(size):
    def answer(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(0, size, 1 << 16):
            handler.wfile.write(bytes(1 << 16))

    return answer


def redirects(url):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.end_headers()

    return answer


def never_ends(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def dribbles(handler):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.stopped.wait(0.05):
        handler.wfile.write(b".")


class Server(ThreadingHTTPServer):
    """`url` is where, `asked` the paths that were asked for."""

    def __init__(self, answers: Any):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: list[str] = []
        self.stopped = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


@contextmanager
def server(answers) -> Iterator[Server]:
    """On loopback."""
    with Server(answers) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield http
        finally:
            http.stopped.set()
            http.shutdown()
            thread.join()


@contextmanager
def peak() -> Iterator[Callable[[], int]]:
    """Bytes of Python objects that were held at once in the block, beyond those before it."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def why(files, *uris):
    with pytest.raises(ModelUnavailable) as raised:
        files.fetch(NAME, uris)
    return str(raised.value)


# The folder


def test_add_keeps_a_file_under_its_hash(tmp_path):
    files = ModelFiles(tmp_path / "new" / "folder")
    assert files.path(NAME) is None
    assert files.add(DATA) == NAME
    assert files.path(NAME).read_bytes() == DATA
    assert files.path(NAME).parent == tmp_path / "new" / "folder"
    assert list((tmp_path / "new" / "folder" / "fetched").iterdir()) == []


def test_fetch_needs_no_uri_for_what_is_kept(tmp_path):
    files = ModelFiles(tmp_path)
    files.add(DATA)
    assert files.fetch(NAME, ()).read_bytes() == DATA


def test_add_reads_a_file_in_pieces(tmp_path):
    source = tmp_path / "m.onnx"
    source.write_bytes(bytes(LARGE))
    files = ModelFiles(tmp_path / "kept")
    with peak() as most:
        found = files.add(source)
        assert most() < LARGE // 8
    assert found.digest == hashlib.sha256(bytes(LARGE)).digest()


def test_path_gives_no_tampered_model_file_of_one_changed_byte(tmp_path):
    files = ModelFiles(tmp_path)
    files.add(DATA)
    path = files.path(NAME)
    path.write_bytes(b"A" + DATA[1:])
    assert files.path(NAME) is None
    assert not path.exists()


def test_fetch_replaces_a_tampered_file(tmp_path):
    files = ModelFiles(tmp_path)
    files.add(DATA)
    files.path(NAME).write_bytes(OTHER)
    assert files.fetch(NAME, ["data:,a%20model%27s%20bytes"]).read_bytes() == DATA


def test_path_hashes_a_file_once(tmp_path, monkeypatch):
    files = ModelFiles(tmp_path)
    files.add(DATA)
    files.path(NAME)
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert files.path(NAME) is not None


def test_fetch_says_that_the_folder_cannot_be_used(tmp_path):
    (tmp_path / "folder").write_bytes(b"a file")
    assert "folder cannot be used" in why(ModelFiles(tmp_path / "folder"), "data:,x")


# URIs


def test_fetch_reads_data_uris(tmp_path):
    path = ModelFiles(tmp_path).fetch(NAME, ["data:;base64,YSBtb2RlbCdzIGJ5dGVz"])
    assert path.read_bytes() == DATA


@pytest.mark.enable_socket
def test_fetch_reads_http(tmp_path):
    with server({"/m.onnx": gives(DATA)}) as http:
        files = ModelFiles(tmp_path, allow_local=True)
        assert files.fetch(NAME, [f"{http.url}/m.onnx"]).read_bytes() == DATA
        files.fetch(NAME, [f"{http.url}/m.onnx"])
    assert http.asked == ["/m.onnx"]


@pytest.mark.enable_socket
def test_fetch_reads_ipfs_through_the_operators_gateway(tmp_path):
    with server({"/ipfs/bafy/m.onnx": gives(DATA)}) as http:
        files = ModelFiles(tmp_path, ipfs_gateway=f"{http.url}/")
        assert files.fetch(NAME, ["ipfs://bafy/m.onnx"]).read_bytes() == DATA


def test_fetch_reads_local_files_where_allowed(tmp_path):
    source = tmp_path / "m.onnx"
    source.write_bytes(DATA)
    files = ModelFiles(tmp_path / "kept", allow_local=True)
    assert files.fetch(NAME, [source.as_uri()]).read_bytes() == DATA


@pytest.mark.enable_socket
def test_fetch_goes_on_to_the_next_uri(tmp_path):
    with server({"/wrong": gives(OTHER), "/right": gives(DATA)}) as http:
        uris = [f"{http.url}/{name}" for name in ("gone", "wrong", "right")]
        path = ModelFiles(tmp_path, allow_local=True).fetch(NAME, uris)
    assert path.read_bytes() == DATA
    assert http.asked == ["/gone", "/wrong", "/right"]


def test_fetch_names_both_hashes_of_a_tampered_model_file(tmp_path):
    with pytest.raises(ModelMismatch) as raised:
        ModelFiles(tmp_path).fetch(NAME, ["data:,other%20bytes"])
    assert NAME.digest.hex() in str(raised.value)
    assert hashlib.sha256(OTHER).hexdigest() in str(raised.value)
    assert list((tmp_path / "fetched").iterdir()) == []


def program_uri(data: bytes) -> str:
    return "data:;base64," + base64.b64encode(data).decode()


def test_fetch_takes_a_program_file_whose_root_it_is(tmp_path):
    """Names and sources are in no root, so other bytes may hold the same program."""
    program = network().program
    name = FileName(FileKind.PROGRAM, program.root)
    for at, source in enumerate((b"", b"\1" * 32)):
        data = pack(program, source)
        found = ModelFiles(tmp_path / str(at)).fetch(name, [program_uri(data)])
        assert found.read_bytes() == data and found.name == f"{program.root.hex()}.safetensors"


def test_fetch_says_what_came_in_a_programs_place(tmp_path):
    """Records that are right and constants that are not: another URI may have them all."""
    net = network()
    name = FileName(FileKind.PROGRAM, net.program.root)
    first = 8 + int.from_bytes(net.file[:8], "little")  # where constants begin
    spoilt = net.file[:first] + bytes([net.file[first] ^ 1]) + net.file[first + 1 :]
    uris = [program_uri(each) for each in (network(1).file, net.onnx, spoilt)]
    with pytest.raises(ModelMismatch) as raised:
        ModelFiles(tmp_path).fetch(name, uris)
    text = str(raised.value)
    assert f"it is the program file of root 0x{network(1).program.root.hex()}" in text
    assert f"it is no program file: its SHA-256 is {net.source_hash.hex()}" in text
    assert "has another root" in text
    kept = ModelFiles(tmp_path).fetch(name, [*uris, program_uri(net.file)])
    assert kept.read_bytes() == net.file


def test_add_keeps_no_program_that_lacks_a_part(tmp_path):
    files = ModelFiles(tmp_path)
    with pytest.raises(ModelRefused):
        files.add(network().file[:-1])
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".safetensors"]


def test_fetch_calls_a_file_unavailable_while_any_uri_may_still_give_it(tmp_path):
    text = why(ModelFiles(tmp_path), "data:,other", "gopher://x/m.onnx")
    assert "data:,other: it is another file: its SHA-256 is" in text
    assert "gopher://x/m.onnx: the protocol 'gopher' is not one of http" in text


def test_fetch_says_that_there_is_no_uri(tmp_path):
    assert "There is no URI for the model file with SHA-256" in why(ModelFiles(tmp_path))


@pytest.mark.enable_socket
def test_fetch_says_what_a_server_answered(tmp_path):
    def broken(handler):
        handler.send_error(503)

    with server({"/broken": broken}) as http:
        files = ModelFiles(tmp_path, allow_local=True)
        text = why(files, f"{http.url}/gone", f"{http.url}/broken")
    assert "/gone: HTTP status 404; " in text
    assert "/broken: HTTP status 503." in text


def test_masked_hides_passwords_and_queries():
    assert masked("https://me:pw@h.example/m?token=1#x") == "https://***@h.example/m?***"
    assert len(masked("data:," + "x" * 1_000)) == 120
    assert masked("data:," + "x" * 10_000) == "data:…"
    assert "pw" not in masked("https://me:pw@[bad")


@pytest.mark.parametrize(
    ("uri", "data"),
    [
        ("data:,a%00b%ff", b"a\0b\xff"),
        ("data:text/plain;charset=utf-8,caf%C3%A9", "café".encode()),
        ("data:application/octet-stream;base64,AAECAw==", bytes(range(4))),
        ("data:," + "%41b" * CHUNK, b"Ab" * CHUNK),
        ("data:,x" + "%41b" * CHUNK, b"x" + b"Ab" * CHUNK),
        ("data:,xy" + "%41b" * CHUNK, b"xy" + b"Ab" * CHUNK),
        ("data:;base64," + base64.b64encode(bytes(3 * CHUNK + 1)).decode(), bytes(3 * CHUNK + 1)),
    ],
)
def test_fetch_decodes_data_uris_piece_by_piece(tmp_path, uri, data):
    name = FileName(FileKind.ONNX, hashlib.sha256(data).digest())
    found = ModelFiles(tmp_path).fetch(name, [uri])
    assert found.read_bytes() == data


# Program files that are hostile to whoever reads them


def bomb() -> bytes:
    """A head that takes a gigabyte to parse: orjson ends its process where there is none."""
    head = b'{"a":[' + b"{}," * ((MAX_HEADER - 100) // 3) + b"0]}"
    return len(head).to_bytes(8, "little") + head + bytes(64)


def test_fetch_goes_on_after_a_file_that_ends_whoever_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(certificates, "MEMORY", 512 << 20)
    monkeypatch.setattr(certificates, "SECONDS", 60)
    deadly = tmp_path / "deadly"
    deadly.write_bytes(bomb())
    net = network()
    name = FileName(FileKind.PROGRAM, net.program.root)
    files = ModelFiles(tmp_path / "kept", allow_local=True)

    with pytest.raises(ModelUnavailable) as raised:
        files.fetch(name, [deadly.as_uri()])

    assert not isinstance(raised.value, ModelMismatch)  # nobody knows what it is
    assert re.search(
        f"{deadly.as_uri()}: .*(killed by SIG|took more|memory|Error)", str(raised.value)
    )
    uris = [deadly.as_uri(), program_uri(net.file)]
    assert files.fetch(name, uris).read_bytes() == net.file


def test_fetch_says_which_file_takes_too_long_to_look_at(tmp_path, monkeypatch):
    net = network()
    name, uri = FileName(FileKind.PROGRAM, net.program.root), program_uri(net.file)
    files = ModelFiles(tmp_path)
    monkeypatch.setattr(certificates, "SECONDS", 0.01)

    with pytest.raises(ModelUnavailable, match=r"data:.*took more than 0\.01 s") as raised:
        files.fetch(name, [uri])

    assert not isinstance(raised.value, ModelMismatch)
    monkeypatch.undo()
    assert files.fetch(name, [uri]).read_bytes() == net.file


def test_fetch_gives_many_slow_files_no_more_time_together_than_one(tmp_path, monkeypatch):
    """They are looked at one by one, and the files of others wait for that."""
    net = network()
    name = FileName(FileKind.PROGRAM, net.program.root)
    monkeypatch.setattr(certificates, "SECONDS", 0.08)

    with pytest.raises(ModelUnavailable) as raised:
        ModelFiles(tmp_path).fetch(name, [program_uri(net.file)] * 8)

    shares = [float(each) for each in re.findall(r"took more than (\S+) s", str(raised.value))]
    assert len(shares) == 8 and sum(shares) <= 0.08 * 1.001


def test_fetch_says_where_nobody_can_read_what_is_said_of_a_file(tmp_path, monkeypatch):
    net = network()
    name, uri = FileName(FileKind.PROGRAM, net.program.root), program_uri(net.file)
    monkeypatch.setattr(certificates, "_told", lambda *_: (ERROR + b"half an err", ""))

    with pytest.raises(ModelUnavailable, match=r"gave an answer that cannot be read\W*$") as raised:
        ModelFiles(tmp_path).fetch(name, [uri])

    assert ".." not in str(raised.value) and not isinstance(raised.value, ModelMismatch)


def test_a_file_that_could_not_be_checked_stays(tmp_path, monkeypatch):
    """A machine that is busy must not lose what its operator put there."""
    net = network()
    name = ModelFiles(tmp_path).add(net.file)
    files = ModelFiles(tmp_path)  # has not checked it yet
    monkeypatch.setattr(certificates, "SECONDS", 0.01)

    with pytest.raises(NotCertified, match="could not be checked"):
        files.path(name)

    monkeypatch.undo()
    path = files.path(name)
    assert path is not None and path.read_bytes() == net.file


def test_programs_of_leaves_out_what_could_not_be_checked(tmp_path, monkeypatch):
    source = FileName(FileKind.ONNX, bytes(range(32)))
    name = ModelFiles(tmp_path).add(pack(network().program, source.digest))
    files = ModelFiles(tmp_path)  # has not checked it yet
    monkeypatch.setattr(certificates, "SECONDS", 0.01)

    assert files.programs_of(source) == []

    monkeypatch.undo()
    assert files.programs_of(source) == [name]


# Attacks by URI


@pytest.mark.enable_socket
def test_fetch_holds_no_more_than_a_piece_in_memory(tmp_path):
    """`poc_fetch_memory.py`: five times the limit, once."""
    with server({"/m.onnx": streams(LARGE - 1), "/endless": streams(2 * LARGE)}) as http:
        files = ModelFiles(tmp_path, max_bytes=LARGE, allow_local=True)
        for path in ("m.onnx", "endless"):
            with peak() as most:
                with pytest.raises((ModelMismatch, ModelUnavailable)):
                    files.fetch(NAME, [f"{http.url}/{path}"])
                assert most() < LARGE // 8


def test_fetch_bounds_a_data_uri_before_it_is_decoded(tmp_path):
    files = ModelFiles(tmp_path, max_bytes=1 << 20)
    for uri in ("data:;base64," + "A" * (2 * LARGE), "data:," + "A" * (2 * LARGE)):
        with peak() as most:
            assert "it is longer than 1048576 bytes" in why(files, uri)
            assert most() < LARGE // 8


@pytest.mark.enable_socket
def test_fetch_gives_up_a_server_that_never_answers(tmp_path):
    with server({"/m.onnx": lambda handler: handler.server.stopped.wait()}) as http:
        files = ModelFiles(tmp_path, allow_local=True, patience=0.2)
        assert "it does not answer" in why(files, f"{http.url}/m.onnx")


@pytest.mark.enable_socket
def test_fetch_gives_up_a_server_that_sends_next_to_nothing(tmp_path):
    with server({"/m.onnx": dribbles}) as http:
        files = ModelFiles(tmp_path, allow_local=True, patience=0.2)
        assert "it sends less than 256 KiB in 0.2 s" in why(files, f"{http.url}/m.onnx")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "/etc/passwd",
        "local:///etc/passwd",
        "memory://x",
        "zip://m.onnx::file:///tmp/x.zip",
        "simplecache::file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "data:no-comma",
        "",
    ],
)
def test_fetch_refuses_what_is_not_public(tmp_path, uri):
    text = why(ModelFiles(tmp_path), uri)
    assert any(reason in text for reason in ("not read", "protocol", "cannot be read"))


@pytest.mark.enable_socket
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_fetch_opens_no_connection_to_loopback(tmp_path, host):
    with server({"/m.onnx": gives(DATA)}) as http:
        text = why(ModelFiles(tmp_path), f"http://{host}:{http.server_port}/m.onnx")
    assert "is not a public address" in text
    assert http.asked == []


@pytest.mark.enable_socket
def test_fetch_follows_no_redirect_to_loopback(tmp_path):
    with server({"/m.onnx": gives(DATA)}) as inside:
        hop = redirects(f"{inside.url}/m.onnx")
        # The gateway is the one local address that a guarded fetch may reach.
        with server({"/ipfs/bafy": hop}) as gateway:
            text = why(ModelFiles(tmp_path, ipfs_gateway=gateway.url), "ipfs://bafy")
    assert gateway.asked == ["/ipfs/bafy"]
    assert "127.0.0.1 is not a public address" in text
    assert inside.asked == []


@pytest.mark.enable_socket
def test_fetch_follows_no_redirect_to_a_file(tmp_path):
    with server({"/m.onnx": redirects("file:///etc/passwd")}) as http:
        text = why(ModelFiles(tmp_path, allow_local=True), f"{http.url}/m.onnx")
    assert "NonHttpUrlRedirectClientError" in text


@pytest.mark.enable_socket
def test_fetch_stops_reading_an_endless_body(tmp_path):
    with server({"/m.onnx": never_ends}) as http:
        files = ModelFiles(tmp_path, max_bytes=1 << 20, allow_local=True)
        assert "it is longer than 1048576 bytes" in why(files, f"{http.url}/m.onnx")


@pytest.mark.enable_socket
def test_fetch_stops_waiting_for_a_dribble(tmp_path):
    with server({"/m.onnx": dribbles}) as http:
        files = ModelFiles(tmp_path, timeout=0.3, allow_local=True)
        assert "it took more than 0.3 s" in why(files, f"{http.url}/m.onnx")


@pytest.mark.enable_socket
def test_fetch_gives_many_slow_uris_no_more_time_together_than_one(tmp_path):
    with server({f"/{n}": dribbles for n in range(20)}) as http:
        files = ModelFiles(tmp_path, timeout=2, allow_local=True)
        said = why(files, *(f"{http.url}/{n}" for n in range(20)))
    limits = [float(limit) for limit in re.findall(r"it took more than (\S+) s", said)]
    assert len(limits) == 20
    assert sum(limits) < 2.1  # they are said with two digits


@pytest.mark.enable_socket
def test_fetch_reads_the_uri_after_a_slow_one(tmp_path):
    with server({"/slow": dribbles, "/good": gives(DATA)}) as http:
        files = ModelFiles(tmp_path, timeout=4, allow_local=True)
        found = files.fetch(NAME, [f"{http.url}/slow", f"{http.url}/good"])
        assert found.read_bytes() == DATA


def test_fetch_reads_no_endless_file(tmp_path):
    files = ModelFiles(tmp_path, max_bytes=1 << 20, allow_local=True)
    assert "it is longer than 1048576 bytes" in why(files, "file:///dev/zero")


@pytest.mark.enable_socket
def test_fetch_inflates_nothing(tmp_path):
    with server({"/m.onnx": gives(b"no gzip", Content_Encoding="gzip")}) as http:
        files = ModelFiles(tmp_path, allow_local=True)
        with pytest.raises(ModelMismatch, match=hashlib.sha256(b"no gzip").hexdigest()):
            files.fetch(NAME, [f"{http.url}/m.onnx"])


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_is_public_knows_what_is_not(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_is_public_knows_what_is(address):
    assert is_public(address)


def test_fetch_by_many_threads_fetches_once(tmp_path):
    files = ModelFiles(tmp_path)
    found: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(files.fetch(NAME, ["data:,a%20model's%20bytes"]))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 8


@pytest.mark.parametrize("uri", ["file:///model.safetensors", "http://127.0.0.1:1/m"])
def test_fetch_says_what_allows_local_files(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"on a devnet, --allow-local-files allows it"):
        ModelFiles(tmp_path).fetch(NAME, [uri])
