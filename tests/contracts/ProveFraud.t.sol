// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "./RootOf.sol";
import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {Claim, IReferee, Verdict} from "../../contracts/interfaces/IReferee.sol";
import {Part} from "../../contracts/libraries/Part.sol";
import {Status} from "../../contracts/libraries/RequestState.sol";
import {DisputeFixture} from "./DisputeFixture.sol";
import {Toy} from "./toy/Toy.sol";

contract CommitFraudTest is DisputeFixture {
    function test_commitFraud_emitsFraudCommitted() external {
        vm.expectEmit(address(court));
        emit IDisputes.FraudCommitted(SALT, challenger);
        vm.prank(challenger);
        court.commitFraud(SALT);
    }

    function test_commitFraud_revertsWhenRepeated() external {
        court.commitFraud(SALT);
        _expect(IDisputes.AlreadyCommitted.selector, abi.encode(SALT));
        court.commitFraud(SALT);
    }
}

contract ProveFraudTest is DisputeFixture {
    bytes internal _evidence;

    function setUp() public override {
        super.setUp();
        _reveal(_demand());
        _evidence = _proof(LIE, LIE);
        _commit(challenger, _evidence);
    }

    function test_proveFraud_slashesTheOperatorForTheChallenger() external {
        _prove(challenger, _evidence);
        _assertAccount(address(operator), STAKE - BOND, 0, 1);
        vm.assertEq(queue.creditOf(challenger), BOND * 30 / 100);
        _assertStatus(_subject.request, Status.Requested);
        _assertDispute(0, _subject.proposal.window.settleAt(), true);
    }

    function test_proveFraud_emitsFraudProven() external {
        bytes[] memory values = _run(LIE);
        uint32 claimed = Toy.at(values[LIE], 0);
        Verdict memory verdict = Verdict(LIE, 0, claimed, claimed ^ 1);
        vm.expectEmit(address(court));
        emit IDisputes.FraudProven(_id, _key, challenger, verdict);
        _prove(challenger, _evidence);
    }

    function test_proveFraud_asksTheRefereeAboutThisRun() external {
        Claim memory claim = Claim(
            Toy.programRoot(),
            _traceRoot(),
            rootOf(INPUT),
            INPUT.length,
            _subject.outputRoot,
            OUTPUT.length
        );
        vm.expectCall(court.REFEREE(), abi.encodeCall(IReferee.judge, (claim, _evidence)));
        _prove(challenger, _evidence);
    }

    function test_proveFraud_takesTheLastSecond() external {
        vm.warp(_refreshed().proposal.window.settleAt() - 1);
        _prove(challenger, _evidence);
    }

    function test_proveFraud_revertsWhenFinal() external {
        vm.warp(_refreshed().proposal.window.settleAt());
        _expect(IInferenceQueue.WindowOver.selector, abi.encode(_id, _time()));
        this.prove(challenger, _evidence);
    }

    function test_proveFraud_worksWhileSuspended() external {
        _demand(stranger, Part(0, LEAVES, 0, 1));
        _prove(challenger, _evidence);
        _assertStatus(_subject.request, Status.Requested);
    }

    /// @dev A lie in the last node shows in the output, and what it was made of is all that must be revealed.
    function test_proveFraud_judgesTheOutput() external {
        _take(Toy.LAST);
        IDisputes.Demand memory demand = _demand(challenger, Part(3, LEAVES, 0, 1));
        _reveal(address(operator), demand, Toy.LAST);
        bytes memory proof = _proof(Toy.LAST, Toy.LAST);
        _commit(challenger, proof);
        _prove(challenger, _refreshed(), proof);
        _assertStatus(_subject.request, Status.Requested);
    }

    function test_proveFraud_revertsWhenTheElementIsRight() external {
        bytes memory proof = _proof(2, LIE);
        _commit(challenger, proof);
        uint32 right = Toy.at(_run(LIE)[2], 0);
        Verdict memory verdict = Verdict(2, 0, right, right);
        _expect(IDisputes.NotFraud.selector, abi.encode(_id, verdict));
        this.prove(challenger, proof);
    }

    function test_proveFraud_revertsWhenItNeedsATraceThatNobodyRevealed() external {
        _take(LIE);
        _commit(challenger, _evidence);
        _expect(IReferee.NoTraceRoot.selector, "");
        this.prove(challenger, _evidence);
    }

    function test_proveFraud_revertsWhenNotCommitted() external {
        bytes32 commitment = _commitment(stranger, _key, _evidence);
        _expect(IDisputes.NotCommitted.selector, abi.encode(commitment));
        this.prove(stranger, _evidence);
    }

    function test_proveFraud_revertsWhenCommittedInTheSameBlock() external {
        bytes32 commitment = _commitment(stranger, _key, _evidence);
        vm.prank(stranger);
        court.commitFraud(commitment);
        uint256 blockNumber = cheats.getBlockNumber();
        _expect(IDisputes.CommittedTooLate.selector, abi.encode(commitment, blockNumber));
        this.prove(stranger, _evidence);
    }

    function test_proveFraud_revertsWhenRepeated() external {
        IDisputes.Subject memory subject = _refreshed();
        _prove(challenger, _evidence);
        _expect(IDisputes.AlreadyConvicted.selector, abi.encode(_key));
        this.proveOf(subject, _evidence);
    }

    function test_proveFraud_revertsWhenModelIsAnother() external {
        _modelBytes[200] ^= 0x01;
        _expect(IDisputes.WrongModel.selector, abi.encode(_id));
        this.prove(challenger, _evidence);
    }

    function prove(address who, bytes calldata proof) external {
        _prove(who, proof);
    }

    function proveOf(IDisputes.Subject calldata subject, bytes calldata proof) external {
        _prove(challenger, subject, proof);
    }
}

contract CollectTest is DisputeFixture {
    IDisputes.Demand internal _first;

    function setUp() public override {
        super.setUp();
        _first = _demand();
    }

    function test_collect_paysTheOperatorWhenFinal() external {
        _reveal(_first);
        vm.warp(_subject.proposal.window.settleAt());
        court.collect(_first);
        vm.assertEq(address(operator).balance, _first.prepaid);
        vm.assertEq(address(court).balance, 0);
    }

    function test_collect_paysTheOperatorForAnAnswerOfAnother() external {
        _reveal(_first);
        IDisputes.Demand memory next = _demand(challenger, Part(3, LEAVES, 0, 1));
        _reveal(stranger, next, LIE);
        vm.warp(_refreshed().proposal.window.settleAt());
        court.collect(next);
        vm.assertEq(address(operator).balance, next.prepaid);
    }

    function test_collect_paysTheDemanderWhenConvicted() external {
        _reveal(_first);
        IDisputes.Demand memory next = _demand(stranger, Part(3, LEAVES, 0, 1));
        vm.warp(next.deadline + 1);
        _timeout(next);
        uint256[2] memory before = [challenger.balance, stranger.balance];
        court.collect(_first);
        court.collect(next);
        vm.assertEq(challenger.balance, before[0] + _first.prepaid);
        vm.assertEq(stranger.balance, before[1] + next.prepaid);
        vm.assertEq(address(court).balance, 0);
    }

    function test_collect_emitsPrepaidCollected() external {
        _reveal(_first);
        vm.warp(_subject.proposal.window.settleAt());
        vm.expectEmit(address(court));
        emit IDisputes.PrepaidCollected(_key, address(operator), _first.prepaid);
        court.collect(_first);
    }

    function test_collect_revertsWhenNotFinal() external {
        _reveal(_first);
        vm.warp(_subject.proposal.window.settleAt() - 1);
        _expectNothing();
        court.collect(_first);
    }

    function test_collect_revertsWhenAnotherDemandIsOpen() external {
        IDisputes.Demand memory next = _demand(challenger, Part(3, LEAVES, 0, 1));
        _reveal(_first);
        vm.warp(next.deadline);
        _expectNothing();
        court.collect(_first);
    }

    function test_collect_revertsWhenOpen() external {
        vm.warp(_first.deadline + WINDOW);
        _expectNothing();
        court.collect(_first);
    }

    function test_collect_revertsWhenCollected() external {
        _reveal(_first);
        vm.warp(_subject.proposal.window.settleAt());
        court.collect(_first);
        _expectNothing();
        court.collect(_first);
    }

    function testFuzz_collect_revertsWhenTheDemandIsChanged(uint96 prepaid, address demander)
        external
    {
        IDisputes.Demand memory demand = _first;
        vm.assume(prepaid != demand.prepaid || demander != demand.demander);
        (demand.prepaid, demand.demander) = (prepaid, demander);
        vm.warp(demand.deadline + 1);
        _timeout(_first);
        _expect(IDisputes.WrongDemand.selector, abi.encode(_key, demand.part));
        court.collect(demand);
    }

    function _expectNothing() private {
        _expect(IDisputes.NothingToCollect.selector, abi.encode(_key, _first.part));
    }
}
