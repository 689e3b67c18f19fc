"""The first act: a contract asks, an honest operator answers, anyone checks."""

import secrets
from dataclasses import dataclass

from eth_utils import keccak

from oracle.chain import keys as signers
from oracle.chain.contracts import Consumer, Options
from oracle.chain.deployer import create
from oracle.cli import payload as payloads
from oracle.cli import show
from oracle.cli.demo import crew
from oracle.cli.demo.crew import Operator, Program
from oracle.cli.demo.money import Ledger
from oracle.cli.demo.signed import Signatures, compare
from oracle.cli.demo.stage import BOND, ETHER, FEE, Stage, act, created_by, scene
from oracle.cli.files import model_files
from oracle.exact.lowering.graph import lower
from oracle.exact.program_file import pack
from oracle.samples import Sample, breast_cancer, gradient_boosting
from oracle.types import Assurance, Model, ModelId, RequestId, Wei

TIMEOUT = 8  # seconds, of the request that nobody answers


@dataclass(frozen=True, slots=True)
class Asking:
    """A model, and the contracts that ask it: one waits for the window, one acts at once."""

    sample: Sample
    consumer: Consumer
    signatures: Signatures


@dataclass(frozen=True, slots=True)
class FirstAct:
    stage: Stage
    challenger: Program

    def run(self) -> Asking:
        """Performs the act. Gives what the second act asks, and how."""
        stage = self.stage
        act("Act one: everybody is honest")
        ledger = Ledger(stage)
        scene("Two models", "trained once on real data, published for ever")
        cancer, trees = breast_cancer(), gradient_boosting()
        cancer_id = self.publish(cancer, Wei(FEE // 10))
        trees_id = self.publish(trees, Wei(0))

        scene("An operator", "whose stake stands behind every result")
        stage.stake("operator", stage.cast.operator)

        scene("A contract asks", "DiagnosisConsumer, 20 lines of Solidity, and a person")
        consumer = self.consumer(cancer_id)
        rows = rows_of_both_classes(cancer)
        asked = [stage.ask(consumer, cancer, row).request_id for row in rows]
        direct = self.request(trees_id, trees)

        everything = [*asked, direct]
        with crew.operator(stage.session, stage.cast.operator) as operator:
            self.answer(everything, operator.program)
            for request_id, row in zip(asked, rows, strict=True):
                probability = consumer.benign_probability(request_id) / ETHER
                stage.show_diagnosis(probability, cancer, row)
            self.show_result(direct, trees)

            scene("An answer by signature", "asked for over HTTP, and acted on as it is posted")
            signatures = Signatures.deploy(stage, cancer_id)
            everything.append(self.sign(signatures, cancer, rows[0], operator, asked[0]))

        scene("An auditor", "re-runs the result from chain data and the model file alone")
        for request_id in everything:
            stage.audit(request_id)

        scene("Nobody answers", "a request for an operator who is not there")
        self.expire(cancer_id, cancer)

        scene("The money", "every wei of this act accounted for")
        ledger.balance()
        return Asking(cancer, consumer, signatures)

    def publish(self, sample: Sample, royalty: Wei) -> ModelId:
        session, publisher = self.stage.session, self.stage.cast.publisher
        program = lower(sample.onnx)
        files = model_files(session.settings)
        files.add(pack(program))
        model = Model(
            publisher=publisher.address,
            name=sample.name,
            version=sample.version,
            program_root=program.root,
            source_hash=files.add(sample.onnx).digest,
            signature=program.signature,
            assurance=Assurance.EXACT,
            royalty=royalty,
        )
        receipt = self.stage.transact(publisher, session.registry.publish(model, ""))
        model_id = session.registry.id_of(model)
        show.out.print(show.styled("  [bold]{}[/] {}", sample.name, show.hex_(model_id)))
        show.out.print(f"    {sample.made}: oracle/samples/{sample.name}.onnx")
        show.out.print(
            f"    {len(sample.onnx):,} bytes, {len(program.nodes)} exact ops,"
            f" royalty {show.ether(royalty)}, {receipt.gas_used:,} gas"
        )
        show.out.print(f"    {show.signature(program.signature.inputs)} →", end=" ")
        show.out.print(show.signature(program.signature.outputs))
        return model_id

    def consumer(self, model_id: ModelId) -> Consumer:
        chain, publisher = self.stage.chain, self.stage.cast.publisher
        arguments = (self.stage.session.deployment.queue, model_id, self.stage.window)
        deployed = create(chain, publisher, "DiagnosisConsumer", arguments)
        show.out.print(f"  DiagnosisConsumer {deployed.address}")
        return Consumer(chain, "DiagnosisConsumer", deployed.address)

    def request(self, model_id: ModelId, sample: Sample) -> RequestId:
        options = Options(bond=BOND, window=self.stage.window, timeout=3600)
        call = self.stage.session.queue.request(model_id, sample.payload(0), FEE, options)
        receipt = self.stage.transact(self.stage.cast.patient, call)
        request_id = created_by(receipt).request_id
        show.out.print(
            f"  patient asks {sample.name} directly: {show.short(request_id)},"
            f" {show.ether(FEE)} in escrow, {receipt.gas_used:,} gas"
        )
        return request_id

    def answer(self, requests: list[RequestId], operator: Program) -> None:
        stage, programs = self.stage, [operator, self.challenger]
        scene("The worker answers", "each result locks a bond, and the challenger re-runs it")
        stage.propose(requests, programs)
        for request_id in requests:
            self.show_proposal(request_id)
        scene(
            "The window passes",
            f"{stage.window // 60} minutes here, a day on an L2; nobody objects",
        )
        stage.settle(requests, programs)

    def sign(
        self,
        signatures: Signatures,
        sample: Sample,
        row: int,
        operator: Operator,
        windowed: RequestId,
    ) -> RequestId:
        """Has an answer signed about a patient who has one that took a window, and compares."""
        stage, programs = self.stage, [operator.program, self.challenger]
        used = signatures.use(sample, row, operator, [self.challenger])
        stage.propose([used.request_id], programs)
        show.out.print(f"  {stage.window // 60} minutes pass, and nobody objects: it is final too")
        stage.settle([used.request_id], programs)
        compare(stage, windowed, used)
        return used.request_id

    def show_proposal(self, request_id: RequestId) -> None:
        found = self.stage.session.history.request(request_id)
        assert found.proposed is not None
        receipt = self.stage.chain.receipt(found.proposed.where.transaction)
        output = found.proposed.output
        show.out.print(
            f"  {show.short(request_id)} ← output 0x{output.hex()[:24]}… hash"
            f" {show.short(keccak(output))}, bond {show.ether(found.created.request.bond)} locked,"
            f" {receipt.gas_used if receipt else 0:,} gas in its transaction"
        )

    def show_result(self, request_id: RequestId, sample: Sample) -> None:
        history = self.stage.session.history
        found = history.request(request_id)
        assert found.proposed is not None
        tensors = history.model(found.created.request.model).model.signature.outputs
        title = f"{sample.name}, row 0 (the data say {sample.classes[sample.targets[0]]})"
        payloads.print_elements(f"  {title}", found.proposed.output, tensors)

    def expire(self, model_id: ModelId, sample: Sample) -> None:
        stage, patient = self.stage, self.stage.cast.patient
        queue = stage.session.queue
        nobody = signers.from_key(secrets.token_bytes(32)).address
        options = Options(BOND, stage.window, TIMEOUT, operator=nobody)
        call = queue.request(model_id, sample.payload(1), FEE, options)
        created = created_by(stage.transact(patient, call))
        show.out.print(f"  {show.short(created.request_id)} waits {TIMEOUT} s for {nobody}")
        stage.pass_time(TIMEOUT + 1)
        expired = stage.transact(patient, queue.expire(created.request))
        credit = queue.credit_of(patient.address)
        withdrawn = stage.transact(patient, queue.withdraw(patient.address))
        show.out.print(
            f"  expired, {expired.gas_used:,} gas; {show.ether(credit)} credited to the patient,"
            f" and withdrawn, {withdrawn.gas_used:,} gas"
        )


def rows_of_both_classes(sample: Sample) -> list[int]:
    """Gives the first row of each class."""
    return [list(sample.targets).index(target) for target in range(len(sample.classes))]
