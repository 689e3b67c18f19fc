// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "../RootOf.sol";
import {IDisputes} from "../../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {ModelId} from "../../../contracts/interfaces/IModelRegistry.sol";
import {IReferee, Verdict} from "../../../contracts/interfaces/IReferee.sol";
import {Part} from "../../../contracts/libraries/Part.sol";
import {Merkle} from "../../../contracts/libraries/Merkle.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {Trace} from "../../../contracts/libraries/Trace.sol";
import {DisputeFixture} from "../DisputeFixture.sol";
import {Queue} from "../Fixture.sol";
import {Toy} from "../toy/Toy.sol";

/// @dev False traces, copied proofs, evidence of something else.
contract DisputeEvidenceAttackTest is DisputeFixture {
    /* FALSE TRACES */

    /// @dev A stranger says that an honest operator's trace is a false one, to convict it.
    function test_attack_traceRootOfAStranger_isRefused() external {
        _answerHonestly();
        IDisputes.Demand memory demand = _demand();
        _expect(IDisputes.NotOperator.selector, abi.encode(stranger, address(operator)));
        this.reveal(stranger, demand, LIE);
        _reveal(address(operator), demand, Toy.NODES);
    }

    function test_attack_secondTraceRoot_isRefused() external {
        _reveal(_demand());
        IDisputes.Demand memory next = _demand(challenger, Part(3, LEAVES, 0, 1));
        bytes32 honest = Toy.traceRoot(_run(Toy.NODES));
        _expect(IDisputes.WrongOpening.selector, abi.encode(_key, honest, _traceRoot()));
        this.reveal(address(operator), next, Toy.NODES);
    }

    /// @dev A root without an opening below it: whoever made it up cannot answer what comes next.
    function test_attack_madeUpRoots_endInSilence() external {
        IDisputes.Demand memory first = _demand();
        this.revealData(address(operator), first, new bytes(160), _siblingsOfRoots());
        IDisputes.Demand memory next = _demand(challenger, Part(2, LEAVES, 0, 1));
        (bytes memory data, bytes32[] memory siblings) = Toy.open(_run(LIE), next.part);
        vm.expectRevert();
        this.revealData(address(operator), next, data, siblings);
        vm.warp(next.deadline + 1);
        _timeout(next);
        _assertStatus(_subject.request, Status.Requested);
    }

    /// @dev Something behind the last value, where nobody could ever open it.
    function test_attack_valueBeyondTheLast_isRefused() external {
        IDisputes.Demand memory demand = _demand(challenger, Part(VALUE_TREE, 0, 4, 1));
        (bytes memory data, bytes32[] memory siblings) = Toy.open(_run(LIE), demand.part);
        siblings[0] = keccak256("hidden");
        _expect(Merkle.NotEmpty.selector, abi.encode(0, siblings[0], bytes32(0)));
        this.revealData(address(operator), demand, data, siblings);
    }

    function test_attack_leafBeyondTheLast_isRefused() external {
        IDisputes.Demand memory demand = _demand(challenger, Part(3, 0, 18, 1));
        (bytes memory data, bytes32[] memory siblings) = Toy.open(_run(LIE), demand.part);
        siblings[0] = keccak256("hidden");
        _expect(Merkle.NotEmpty.selector, abi.encode(0, siblings[0], Merkle.EMPTY_LEAF));
        this.revealData(address(operator), demand, data, siblings);
    }

    function testFuzz_attack_noiseBehindAValue_isRefused(uint256 at) external {
        IDisputes.Demand memory demand = _demand(challenger, Part(3, LEAVES, 18, 1));
        (bytes memory data, bytes32[] memory siblings) = Toy.open(_run(LIE), demand.part);
        data[_bound(at, 96, 127)] = 0x01;
        _expect(Trace.NonZeroPadding.selector, abi.encode(96));
        this.revealData(address(operator), demand, data, siblings);
    }

    /* COPIES */

    function test_attack_proofCopiedFromTheMempool_isNotCommitted() external {
        bytes memory proof = _readyProof();
        bytes32 commitment = _commitment(stranger, _key, proof);
        _expect(IDisputes.NotCommitted.selector, abi.encode(commitment));
        this.prove(stranger, proof);
    }

    function test_attack_proofCopiedFromTheMempool_isCommittedTooLate() external {
        bytes memory proof = _readyProof();
        bytes32 commitment = _commitment(stranger, _key, proof);
        vm.prank(stranger);
        court.commitFraud(commitment);
        uint256 blockNumber = cheats.getBlockNumber();
        _expect(IDisputes.CommittedTooLate.selector, abi.encode(commitment, blockNumber));
        this.prove(stranger, proof);
        _prove(challenger, proof);
        vm.assertEq(queue.creditOf(challenger), BOND * 30 / 100);
    }

    /// @dev Who sends it first is not who may use it.
    function test_attack_copiedCommitment_isTheChallengersAllTheSame() external {
        _reveal(_demand());
        bytes memory proof = _proof(LIE, LIE);
        bytes32 commitment = _commitment(challenger, _key, proof);
        vm.prank(stranger);
        court.commitFraud(commitment);
        _expect(IDisputes.AlreadyCommitted.selector, abi.encode(commitment));
        vm.prank(challenger);
        court.commitFraud(commitment);
        vm.roll(cheats.getBlockNumber() + 1);
        _expect(IDisputes.NotCommitted.selector, abi.encode(_commitment(stranger, _key, proof)));
        this.prove(stranger, proof);
        _prove(challenger, proof);
        vm.assertEq(queue.creditOf(challenger), BOND * 30 / 100);
    }

    /// @dev The copier pays for the answer, and the money is the operator's.
    function test_attack_copiedAnswer_paysTheOperator() external {
        _answerHonestly();
        _reveal(address(operator), _demand(), Toy.NODES);
        IDisputes.Demand memory next = _demand(challenger, Part(3, LEAVES, 0, 1));
        _reveal(stranger, next, Toy.NODES);
        _expect(IDisputes.DemandNotOpen.selector, abi.encode(_key, next.part));
        this.reveal(address(operator), next, Toy.NODES);
        vm.warp(_refreshed().proposal.window.settleAt());
        court.collect(next);
        vm.assertEq(address(operator).balance, next.prepaid);
    }

    /* EVIDENCE OF SOMETHING ELSE */

    function test_attack_commitmentForAnotherRequest_isNone() external {
        bytes memory proof = _readyProof();
        _lie();
        _expect(IDisputes.NotCommitted.selector, abi.encode(_commitment(challenger, _key, proof)));
        this.prove(challenger, proof);
    }

    /// @dev An honest result of the same input: the proof against a liar's says nothing about it.
    function test_attack_proofAgainstAnotherProposal_isRefused() external {
        bytes memory proof = _readyProof();
        _take(rival, _askToy(_options()), Toy.NODES);
        IDisputes.Demand memory demand = _demand();
        _reveal(address(rival), demand, Toy.NODES);
        _commit(challenger, proof);
        vm.expectRevert();
        this.prove(challenger, proof);
    }

    /// @dev Slashed, and the same answer again in the same second: a new proposal, which must be disputed anew.
    function test_attack_commitmentAfterReproposal_isNone() external {
        bytes memory proof = _readyProof();
        _prove(challenger, proof);
        bytes32 old = _key;
        _take(operator, _subject.request, LIE);
        vm.assertNotEq(_key, old);
        _expect(IDisputes.NotCommitted.selector, abi.encode(_commitment(challenger, _key, proof)));
        this.prove(challenger, proof);
        vm.assertEq(_traceRoot(), bytes32(0));
    }

    function test_attack_demandAfterReproposal_isAnothers() external {
        IDisputes.Demand memory old = _convictBySilence();
        _take(operator, _subject.request, LIE);
        _expect(IDisputes.WrongDemand.selector, abi.encode(_key, old.part));
        this.timeout(old);
        _demand();
    }

    function test_attack_disputeOnAnotherChain_isAnother() external {
        (address first, address firstQueue) = (address(court), address(queue));
        bytes32 key = _key;
        cheats.chainId(block.chainid + 1);
        queue = _deployQueue();
        vm.assertNotEq(court.keyOf(_subject), key);
        // What stands on a chain that takes another id can still be disputed.
        (court, queue) = (IDisputes(first), Queue(firstQueue));
        vm.assertEq(court.keyOf(_subject), key);
        _convictBySilence();
    }

    function test_attack_disputeOfAnotherQueue_isUnknown() external {
        bytes32 key = _key;
        (address first, address firstQueue) = (address(court), address(queue));
        queue = _deployQueue();
        vm.assertNotEq(court.keyOf(_subject), key);
        uint256 price = _price(_roots());
        _expect(
            IInferenceQueue.WrongStatus.selector,
            abi.encode(queue.idOf(_subject.request), Status.None, Status.Proposed)
        );
        this.demandRoots(price);
        vm.expectRevert();
        vm.prank(first);
        queue.slash(_subject.request, _subject.proposal, _subject.outputRoot, challenger);
        vm.assertNotEq(uint160(firstQueue), uint160(address(queue)));
    }

    /* FALSE PROOFS */

    function test_attack_falseProof_costsOnlyItsGas() external {
        _answerHonestly();
        _reveal(address(operator), _demand(), Toy.NODES);
        bytes memory proof = _proof(LIE, Toy.NODES);
        _commit(challenger, proof);
        uint32 right = Toy.at(_run(Toy.NODES)[LIE], 0);
        _expect(IDisputes.NotFraud.selector, abi.encode(_id, Verdict(LIE, 0, right, right)));
        this.proveOf(proof, Toy.NODES);
        _assertAccount(address(operator), STAKE, 2 * BOND, 0);
    }

    /// @dev The liar's trace is not the honest operator's: nothing of it can be opened.
    function test_attack_proofFromAnothersTrace_isRefused() external {
        _answerHonestly();
        _reveal(address(operator), _demand(), Toy.NODES);
        bytes memory proof = _proof(LIE, LIE);
        _commit(challenger, proof);
        vm.expectRevert();
        this.proveOf(proof, Toy.NODES);
    }

    function test_attack_hugeProof_costsOnlyItsGas() external {
        _reveal(_demand());
        bytes memory proof = abi.encodePacked(_proof(LIE, LIE), new bytes(100_000));
        _commit(challenger, proof);
        uint256 before = gasleft();
        _prove(challenger, proof);
        vm.assertLe(before - gasleft(), 16_000_000);
        vm.assertEq(queue.creditOf(challenger), BOND * 30 / 100);
    }

    /* MODELS */

    function test_attack_vanillaModel_cannotBeDisputed() external {
        Request memory request = _ask(consumer, mixedModel, FEE, _options());
        bytes memory output = new bytes(16);
        _subject.request = request;
        _subject.proposal = _proposalOf(address(operator), request);
        _subject.outputRoot = rootOf(output);
        operator.propose(request, output);
        _modelBytes = abi.encode(publisher, _mixedModel());
        _id = _idOf(request);
        _key = court.keyOf(_subject);
        _expect(IDisputes.NotExact.selector, abi.encode(_id));
        this.demandRoots(1 ether);
        _commit(challenger, "proof");
        _expect(IDisputes.NotExact.selector, abi.encode(_id));
        this.proveOf("proof", LIE);
    }

    /// @dev No program hashes to it, so no part of a trace can be named, and nobody is slashed for silence.
    function test_attack_programRootThatIsNonsense_endsInNoDemand() external {
        Request memory request = _ask(consumer, model, FEE, _options());
        _subject.request = request;
        _subject.proposal = _propose(request);
        _subject.outputRoot = rootOf(OUTPUT);
        _modelBytes = abi.encode(publisher, _model());
        _id = _idOf(request);
        _key = court.keyOf(_subject);
        _expect(
            IReferee.WrongProof.selector, abi.encode("header", Toy.descriptors(VALUE_TREE).length)
        );
        this.demandRoots(1 ether);
        _settle(request, _subject.proposal);
    }

    function test_attack_modelOfAnotherRequest_isRefused() external {
        _modelBytes = abi.encode(publisher, _model());
        _expect(IDisputes.WrongModel.selector, abi.encode(_id));
        this.demandRoots(1 ether);
    }

    /// @dev The terms are in the request, and the request in its id: nobody can say that a model is exact.
    function test_attack_requestWithOtherTerms_isUnknown() external {
        _subject.request.inputRoot = keccak256("another");
        uint256 price = _price(_roots());
        _expectWrongStatus(_subject.request, Status.None, Status.Proposed);
        this.demandRoots(price);
    }

    /* CALLS THAT MUST REVERT */

    function reveal(address who, IDisputes.Demand calldata demand, uint256 lie) external {
        _reveal(who, demand, lie);
    }

    function revealData(
        address who,
        IDisputes.Demand calldata demand,
        bytes calldata data,
        bytes32[] calldata siblings
    ) external {
        _reveal(who, demand, data, siblings);
    }

    function prove(address who, bytes calldata proof) external {
        _prove(who, proof);
    }

    function proveOf(bytes calldata proof, uint256 lie) external {
        _prove(challenger, _refreshed(), proof);
    }

    function timeout(IDisputes.Demand calldata demand) external {
        _timeout(demand);
    }

    function demandRoots(uint256 prepaid) external {
        _demand(challenger, _roots(), prepaid);
    }

    function _readyProof() private returns (bytes memory proof) {
        _reveal(_demand());
        proof = _proof(LIE, LIE);
        _commit(challenger, proof);
    }

    function _siblingsOfRoots() private view returns (bytes32[] memory siblings) {
        (, siblings) = Toy.open(_run(LIE), _roots());
    }
}
