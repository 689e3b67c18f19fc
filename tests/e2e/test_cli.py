"""The command line as people use it: each command a process, against one anvil."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle import samples
from oracle.chain import devnet
from oracle.chain import keys as signer
from oracle.chain.connection import connect
from oracle.chain.contracts import Queue
from oracle.chain.deployment import read_deployment
from oracle.chain.history import History
from oracle.chain.transactions import transact
from oracle.challenger.policy import least_bond
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import pack
from oracle.types import RequestId
from tests import chains
from tests.e2e.desk import ETHER, PASSWORD, Desk
from tests.unit.exact.files import file, leaning, tensor


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Contracts deployed, a model published, an operator staked; all by the command line."""
    chains.require_anvil()
    with devnet.anvil() as url:
        desk = Desk(tmp_path_factory.mktemp("desk"), url)
        for name in ("publisher", "operator", "requester"):
            desk.fund(name)
        times = ("--min-window", "1s", "--withdrawal-delay", "1s")
        desk.run("deploy", "--key", "publisher", *times)
        (desk.home / "model.onnx").write_bytes(samples.breast_cancer().onnx)
        desk.run("operator", "stake", "1ether", "--key", "operator")
        yield desk


@pytest.fixture(scope="module")
def model(desk: Desk) -> str:
    names = ("--name", "cancer", "--version", "1", "--key", "publisher")
    file = str(desk.home / "model.onnx")
    return desk.json("model", "publish", file, *names)["model_id"]


def row(index: int) -> str:
    return json.dumps(samples.breast_cancer().rows[index].tolist())


def ask(desk: Desk, model: str, *options: str) -> str:
    asked = desk.json("request", model, "--input", row(0), "--key", "requester", *options)
    return asked["request_id"]


def eventually(desk: Desk, request: str, status: str) -> dict:
    deadline = time.monotonic() + 900
    while True:
        found = json.loads(desk.call("result", request, "--json").stdout)
        if found["status"] == status:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_deploy_is_free_when_all_is_there(desk: Desk) -> None:
    again = ("deploy", "--key", "publisher", "--min-window", "1s", "--withdrawal-delay", "1s")
    before = connect(desk.url).block("latest").number

    assert "already there" in desk.run(*again).stderr
    assert connect(desk.url).block("latest").number == before


def test_deploy_refuses_to_write_over_another_deployment(desk: Desk) -> None:
    said = desk.run("deploy", "--key", "publisher", "--preset", "l1", code=1).stderr

    assert "holds another deployment: of no preset" in said
    assert "minWindow is 1 there and 604800 here" in said


def test_deploy_refuses_a_tip_of_zero(desk: Desk) -> None:
    said = desk.run("deploy", "--key", "publisher", "--reveal-tip", "0wei", code=1).stderr

    assert "A reveal tip of zero makes demands free" in said


def test_request_warns_of_a_bond_that_pays_for_no_conviction(desk: Desk, model: str) -> None:
    nobody = "0x" + "00" * 19 + "01"
    asking = ("request", model, "--input", row(0), "--key", "requester", "--operator", nobody)
    least = least_bond(connect(desk.url).gas_price())

    enough, little = (
        desk.run(*asking, "--bond", f"{bond}wei").stderr for bond in (2 * least, least // 2)
    )

    assert enough == ""
    assert re.fullmatch(
        r"A bond of [\d.]+ ether pays for no conviction at the present [\d.]+ gwei a gas, so a lie"
        r" may go unchallenged: --bond [\d.]+ether would\.\n",
        little,
    )


def test_model_show_says_what_was_published(desk: Desk, model: str) -> None:
    shown = desk.json("model", "show", model)

    assert shown["model"]["name"] == "cancer"
    assert [shown["model"]["assurance"], shown["is_deprecated"]] == ["exact", False]
    assert model in desk.run("model", "list").stdout


def test_model_deprecate_warns_who_asks_and_stops_nobody(desk: Desk) -> None:
    file = str(desk.home / "model.onnx")
    names = ("--name", "old", "--version", "1", "--key", "publisher")
    old = desk.json("model", "publish", file, *names)["model_id"]
    desk.run("model", "deprecate", old, "--key", "publisher")

    asked = desk.run("request", old, "--input", row(0), "--key", "requester")

    assert "deprecated" in asked.stderr


def test_request_is_answered_settled_and_audited(desk: Desk, model: str) -> None:
    with desk.worker():
        request = ask(desk, model)
        found = eventually(desk, request, "settled")

    assert found["is_final"]
    assert found["values"]["label"] in ([0], [1])
    audited = desk.json("audit", request)
    assert audited["matches"] and audited["elements"] == 3


def test_request_waits_for_the_final_result(desk: Desk, model: str) -> None:
    with desk.worker():
        waited = desk.run("request", model, "--input", row(1), "--key", "requester", "--wait")

    assert "FINAL" in waited.stdout and "NOT FINAL" not in waited.stdout.splitlines()[-1]


def lied(desk: Desk, model: str) -> str:
    """A request whose answer is off by one ulp."""
    chain = connect(desk.url)
    deployment = read_deployment(desk.home / "deployments" / f"{chain.id}.json")
    with desk.worker():
        honest = eventually(desk, ask(desk, model), "settled")["output"]
    request = ask(desk, model)
    found = History(chain, deployment).request(RequestId(bytes.fromhex(request[2:])))
    lie = (int(honest, 16) + 1).to_bytes(16, "big")
    liar = signer.open_keystore(desk.home / "keys" / "operator.json", PASSWORD)
    transact(chain, liar, Queue(chain, deployment).propose([(found.created.request, lie)]))
    return request


def test_audit_shows_a_result_that_is_off_by_one_ulp(desk: Desk, model: str) -> None:
    request = lied(desk, model)

    audited = desk.json("audit", request, code=1)

    assert [m["tensor"] for m in audited["mismatches"]] == ["probabilities"]
    assert "MISMATCH" in desk.run("audit", request, code=1).stdout


def test_audit_of_a_range_finds_the_lie_among_what_is_right(desk: Desk, model: str) -> None:
    first = str(connect(desk.url).block("latest").number + 1)
    request = lied(desk, model)

    audited = desk.json("audit", "--from-block", first, code=1)

    assert [row["verdict"] for row in audited["proposals"]] == ["equal", "wrong"]
    [row] = [row for row in audited["proposals"] if row["verdict"] == "wrong"]
    assert row["request_id"] == request and row["first_mismatch"]["tensor"] == "probabilities"
    assert [audited[name] for name in ("equal", "wrong", "unchecked")] == [1, 1, 0]
    said = desk.run("audit", "--from-block", first, code=1).stdout
    assert "WRONG" in said and "1 equal, 1 wrong, 0 not checked" in said


def test_audit_of_a_range_exits_with_3_when_not_all_could_be_checked(desk: Desk) -> None:
    file = str(desk.home / "model.onnx")
    names = ("--name", "cancer", "--version", "vanilla", "--key", "publisher")
    model = desk.json("model", "publish", file, *names, "--assurance", "vanilla")["model_id"]
    operator = desk.json("keys", "list")["operator"]
    request = ask(desk, model)
    state = f"sqlite:///{desk.home}/vanilla.db"
    desk.run("worker", "--key", "operator", "--vanilla", "--once", "--state", state)

    audited = desk.json("audit", "--model", model, "--operator", operator, code=3)

    [row] = audited["proposals"]
    assert (row["request_id"], row["verdict"]) == (request, "unchecked")
    assert "VANILLA" in row["why"]


def test_audit_exports_evidence_that_others_verify_without_a_node(
    desk: Desk, model: str, tmp_path: Path
) -> None:
    request, file, again = lied(desk, model), tmp_path / "a.zip", tmp_path / "b.zip"
    exported = desk.json("audit", request, "--export", str(file), code=1)
    desk.run("audit", request, "--export", str(again), code=1)
    stranger = Desk(tmp_path / "stranger", "http://127.0.0.1:1")

    verified = stranger.json("audit", "--verify", str(file))

    assert file.read_bytes() == again.read_bytes()
    assert exported["evidence"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (verified["outcome"], verified["is_wrong"]) == ("ok", True)
    assert verified["first_mismatch"]["tensor"] == "probabilities"
    assert {check["outcome"] for check in verified["checks"]} == {"ok"}
    assert "The evidence holds" in stranger.run("audit", "--verify", str(file)).stdout
    known = stranger.json("audit", "--verify", str(file), "--rpc", desk.url)["checks"]
    logs = [check for check in known if check["name"].endswith(" log")]
    assert [check["outcome"] for check in logs] == ["ok"] * 3


def test_audit_verifies_evidence_of_a_right_result_and_no_damaged_one(
    desk: Desk, model: str, tmp_path: Path
) -> None:
    with desk.worker():
        request = ask(desk, model)
        eventually(desk, request, "settled")
    file = tmp_path / "evidence.zip"
    desk.run("audit", request, "--export", str(file))

    assert "is right, every bit" in desk.run("audit", "--verify", str(file)).stdout
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert "damaged" in desk.run("audit", "--verify", str(file), code=1).stderr


def test_audit_verifies_evidence_without_the_file_where_that_is_given(
    desk: Desk, model: str, tmp_path: Path
) -> None:
    file, onnx = tmp_path / "evidence.zip", str(desk.home / "model.onnx")
    program = str(desk.home / "model.safetensors")
    desk.run("audit", lied(desk, model), "--export", str(file), "--without-file", code=1)
    stranger = Desk(tmp_path / "stranger", "http://127.0.0.1:1")

    assert stranger.json("audit", "--verify", str(file), code=3)["outcome"] == "not checked"
    verify = ("audit", "--verify", str(file), "--model")
    assert stranger.json(*verify, program)["outcome"] == "ok"
    said = stranger.run(*verify, onnx, code=1).stderr
    assert "exactum model lower writes its program file" in said


def test_publish_takes_a_program_file_and_verify_its_source(desk: Desk, tmp_path: Path) -> None:
    onnx, program = tmp_path / "digits.onnx", tmp_path / "digits.safetensors"
    onnx.write_bytes(samples.digits().onnx)
    desk.run("model", "lower", str(onnx))
    names = ("--name", "digits", "--version", "1", "--key", "publisher")

    published = desk.json("model", "publish", str(program), *names)

    model = published["model_id"]
    assert published["file"] == str(program)
    found = desk.json("model", "verify", model, "--source", str(onnx))
    assert found["is_source"] and found["gives_program"]
    assert "as in the id" in desk.run("model", "verify", model, "--source", str(onnx)).stdout
    other = str(desk.home / "model.onnx")
    found = desk.json("model", "verify", model, "--source", other, code=1)
    assert not found["is_source"] and not found["gives_program"]
    said = desk.run("model", "verify", model, "--source", other, code=1).stdout
    assert " ".join(said.split()).count("not that of the id") == 2


def test_publish_needs_to_know_what_a_program_was_lowered_from(desk: Desk, tmp_path: Path) -> None:
    program = tmp_path / "nameless.safetensors"
    program.write_bytes(pack(lower(samples.digits().onnx)))
    names = ("--name", "digits", "--version", "2", "--key", "publisher")

    said = desk.run("model", "publish", str(program), *names, code=1).stderr

    assert "does not say what it was lowered from" in " ".join(said.split())


def test_expire_refunds_what_nobody_answered(desk: Desk, model: str) -> None:
    nobody = "0x00000000000000000000000000000000000000AA"
    request = ask(desk, model, "--operator", nobody, "--timeout", "1s", "--fee", "0.5ether")
    devnet.skip_time(connect(desk.url), 2)

    assert desk.json("expire", request, "--key", "requester")["refund"] == str(ETHER // 2)
    assert desk.json("operator", "withdraw", "--key", "requester")["credit"] == "0"
    assert desk.json("result", request, code=2)["status"] == "expired"


def test_operator_gets_its_stake_back(desk: Desk) -> None:
    desk.run("operator", "unstake", "0.1ether", "--key", "operator")
    devnet.skip_time(connect(desk.url), 2)

    account = desk.json("operator", "withdraw", "--key", "operator")

    assert account["unstaking"] == "0"


def test_worker_once_exits_with_3_where_nothing_is_staked_for_an_answer(
    desk: Desk, model: str
) -> None:
    desk.fund("idle")
    request = ask(desk, model)

    done = desk.run("worker", "--key", "idle", "--once", "--json-logs", code=3)

    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    left = [line for line in lines if line["event"] == "left undone"]
    assert {"propose"} == {line["kind"] for line in left}
    assert request in {line["subject"] for line in left}
    assert "above our stake of 0 wei" in left[0]["why"]


def test_worker_sends_nothing_when_it_is_a_dry_run(desk: Desk, model: str) -> None:
    operator = desk.json("keys", "list")["operator"]
    state = f"sqlite:///{desk.home}/dry.db"
    request = ask(desk, model)

    dry = desk.run("worker", "--dry-run", operator, "--state", state, "--once", "--json-logs")

    assert "would send" in dry.stderr
    assert desk.json("result", request, code=2)["status"] == "requested"


def test_publish_refuses_a_model_that_nobody_could_be_convicted_of(desk: Desk) -> None:
    """Of a walk of 400 comparisons a proof takes more bytes than nodes pass on."""
    path = desk.home / "unprovable.onnx"
    path.write_bytes(file([leaning(400)], [tensor("x", [1, 1])], ["y"]))
    named = ("--name", "walk", "--version", "1", "--key", "publisher")

    before = desk.json("model", "list")
    refused = desk.run("model", "publish", str(path), *named, code=1).stderr

    assert "myTreeEnsembleRegressor" in refused and "bytes of 131,072" in " ".join(refused.split())
    assert desk.json("model", "list") == before
    desk.run("model", "publish", str(path), *named, "--even-if-unprovable")
    assert len(desk.json("model", "list")) == len(before) + 1


def test_publish_refuses_a_model_outside_the_law_with_every_reason(desk: Desk) -> None:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["a"], name="noise"),
        helper.make_node("Bernoulli", ["a"], ["y"], name="coin"),
    ]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:])
    opsets = [helper.make_opsetid("", 17)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    (desk.home / "odd.onnx").write_bytes(data)

    names = ("--name", "odd", "--version", "1", "--key", "publisher")
    refused = desk.run("model", "publish", str(desk.home / "odd.onnx"), *names, code=1).stderr

    assert "RandomNormalLike" in refused and "Bernoulli" in refused


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("result", "0x" + "11" * 32), "knows no request"),
        (("model", "show", "0x" + "11" * 32), "knows no model"),
        (("audit", "0x" + "11" * 32), "knows no request"),
        (("audit", "0x" + "11" * 32, "--from-block", "1"), "no range"),
        (("audit", "--export", "x.zip"), "give its REQUEST"),
        (("audit", "0x" + "11" * 32, "--without-file"), "says what to --export"),
        (("audit", "--verify", "/dev/null", "--from-block", "1"), "no range"),
        (("audit", "--verify", __file__), "no bundle"),
        (("audit", "--from-block", "9", "--to-block", "8"), "ends before it begins"),
        (("audit", "--to-block", "99999999"), "no block 99999999 yet"),
        (("audit", "--model", "nothing.onnx"), "neither the id of a model nor a file"),
        (("operator", "stake", "1ether", "--key", "nobody"), "no keystore"),
        (("operator", "stake", "99ether", "--key", "operator"), "funds|refused|insufficient"),
        (("operator", "unstake", "99ether", "--key", "operator"), "InsufficientStake"),
        (("request", "0x" + "11" * 32, "--input", "[1]", "--key", "requester"), "knows no model"),
        (("--rpc-is-elsewhere",), "No such option"),
        (("result", "0x" + "11" * 32, "--rpc", "http://127.0.0.1:1"), "does not answer"),
        (("result", "0x" + "11" * 32, "--rpc", "ftp://x"), "no RPC URL"),
        (("result", "0x" + "11" * 32, "--deployments", "/nonexistent"), "exactum deploy"),
        (("keys", "new", "operator"), "exists already"),
    ],
)
def test_errors_are_one_sentence(desk: Desk, arguments: tuple[str, ...], why: str) -> None:
    done = desk.call(*arguments)

    assert done.returncode in (1, 2)
    assert re.search(why, done.stderr), done.stderr


def test_errors_show_no_secrets_of_the_rpc_url(desk: Desk) -> None:
    url = "http://user:hunter2@127.0.0.1:1/v3/apikey123?token=abc"

    said = desk.run("result", "0x" + "11" * 32, "--rpc", url, code=1).stderr

    assert not re.search("hunter2|apikey123|abc", said)


def test_open_keystore_is_refused_when_the_password_is_wrong(desk: Desk) -> None:
    (desk.home / "wrong").write_text("battery staple\n")
    file = str(desk.home / "wrong")
    stake = ("operator", "stake", "1ether", "--key", "operator", "--password-file", file)

    assert "password is wrong" in desk.run(*stake, code=1).stderr


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("demo",),
        ("deploy",),
        ("keys", "new"),
        ("keys", "import"),
        ("model", "publish"),
        ("model", "deprecate"),
        ("operator", "status"),
        ("worker",),
        ("request",),
        ("result",),
        ("expire",),
        ("retry-callback",),
        ("audit",),
    ],
)
def test_help_teaches(desk: Desk, command: tuple[str, ...]) -> None:
    said = desk.run(*command, "--help").stdout

    assert len(said.splitlines()) > 5


def test_publish_pays_nothing_where_the_file_cannot_be_kept(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    path.write_bytes(samples.digits().onnx)
    names = ("--name", "digits", "--version", "unkept", "--key", "publisher")
    before = desk.json("model", "list")
    models = desk.home / "models"
    models.mkdir(exist_ok=True)
    kept = models.with_name("models away")
    models.rename(kept)
    models.write_bytes(b"a file where the cache should be")
    try:
        said = desk.run("model", "publish", str(path), *names, code=1).stderr
    finally:
        models.unlink()
        kept.rename(models)
    assert "cannot be kept" in " ".join(said.split()) or "cannot be used" in said
    assert desk.json("model", "list") == before
