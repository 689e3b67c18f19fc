// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputes} from "../../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue, Options} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {Part} from "../../../contracts/libraries/Part.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {DisputeFixture} from "../DisputeFixture.sol";
import {Toy} from "../toy/Toy.sol";

/// @dev Last seconds, hard ends, and what happens to a disputed result meanwhile.
contract DisputeTimeAttackTest is DisputeFixture {
    function test_attack_demandInTheLastSecond_leavesTimeToAnswerAndToReact() external {
        vm.warp(_subject.proposal.window.settleAt() - 1);
        IDisputes.Demand memory demand = _demand();
        vm.warp(demand.deadline);
        _reveal(demand);
        vm.warp(_refreshed().proposal.window.settleAt() - 1);
        bytes memory proof = _proof(LIE, LIE);
        _commit(challenger, proof);
        _prove(challenger, proof);
        _assertStatus(_subject.request, Status.Requested);
    }

    function testFuzz_attack_answerAgainstTimeout_oneOfThemSucceeds(
        uint256 time,
        bool isTimeoutFirst
    ) external {
        _answerHonestly();
        IDisputes.Demand memory demand = _demand();
        vm.warp(_bound(time, demand.deadline - 2, demand.deadline + 2));
        bool isTimedOut;
        if (isTimeoutFirst) isTimedOut = _try(this.timeout, demand);
        bool isRevealed = _try(this.reveal, demand);
        if (!isTimeoutFirst) isTimedOut = _try(this.timeout, demand);
        vm.assertEq(isRevealed, _time() <= demand.deadline);
        vm.assertEq(isTimedOut, !isRevealed);
    }

    function test_attack_timeoutAfterTheAnswer_isRefused() external {
        IDisputes.Demand memory demand = _demand();
        vm.warp(demand.deadline);
        _reveal(demand);
        _skip(1);
        _expect(IDisputes.DemandNotOpen.selector, abi.encode(_key, demand.part));
        this.timeout(demand);
    }

    function test_attack_answerAfterTheTimeout_isRefused() external {
        IDisputes.Demand memory demand = _convictBySilence();
        _expect(IDisputes.AlreadyConvicted.selector, abi.encode(_key));
        this.reveal(demand);
    }

    /// @dev Whatever griefers demand, and however late it is answered, the result is final at the hard end.
    function testFuzz_attack_endlessDemands_endAtTheHardEnd(uint256 seed) external {
        _answerHonestly();
        uint256 hardEnd = _subject.proposal.window.proposedAt() + WINDOW + EXTENSION_LIMIT;
        for (uint32 i; i < 19; ++i) {
            uint256 settleAt = _refreshed().proposal.window.settleAt();
            vm.warp(_bound(seed, _time(), settleAt - 1));
            Part memory part = Part(3, LEAVES, i, 1);
            if (_time() + REVEAL_PERIOD + REACTION_PERIOD > hardEnd) {
                _expect(IDisputes.TooLateToDemand.selector, abi.encode(_id, hardEnd));
                this.demandPart(part);
                break;
            }
            IDisputes.Demand memory demand = _demand(stranger, part);
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(_bound(seed, _time(), demand.deadline));
            _reveal(address(operator), demand, Toy.NODES);
            seed = uint256(keccak256(abi.encode(seed)));
        }
        vm.assertLe(_refreshed().proposal.window.settleAt(), hardEnd);
        vm.warp(hardEnd);
        queue.settle(_subject.request, _refreshed().proposal, _output(Toy.NODES));
        _assertAccount(address(operator), STAKE + FEE - ROYALTY, BOND, 0);
    }

    /// @dev The last demand that is taken still leaves time for its answer and a proof.
    function test_attack_liarWhoAnswersInTheLastSecond_isConvictedBeforeTheHardEnd() external {
        uint256 hardEnd = _subject.proposal.window.proposedAt() + WINDOW + EXTENSION_LIMIT;
        for (uint32 i; _time() + REVEAL_PERIOD + REACTION_PERIOD <= hardEnd; ++i) {
            IDisputes.Demand memory demand = _demand(stranger, Part(3, LEAVES, i, 1));
            vm.warp(demand.deadline);
            _reveal(demand);
        }
        _skip(REACTION_PERIOD - 1);
        bytes memory proof = _proof(LIE, LIE);
        _commit(challenger, proof);
        _prove(challenger, proof);
        vm.assertLt(_time(), hardEnd);
        _assertStatus(_subject.request, Status.Requested);
    }

    /// @dev A demand and its answer just before each of the challenger's transactions: the window is no more what they say.
    function test_attack_windowMovedBeforeTheProof_doesNotStopIt() external {
        vm.warp(_subject.proposal.window.settleAt() - 1);
        _reveal(_demand());
        IDisputes.Subject memory signed = _refreshed();
        bytes memory proof = _proof(LIE, LIE);
        _commit(challenger, proof);
        _skip(60);
        _reveal(_demand(stranger, Part(0, LEAVES, 0, 1)));
        vm.assertNotEq(_refreshed().proposal.window.settleAt(), signed.proposal.window.settleAt());
        _prove(challenger, signed, proof);
        _assertStatus(_subject.request, Status.Requested);
    }

    function test_attack_windowMovedBeforeTheDemand_doesNotStopIt() external {
        vm.warp(_subject.proposal.window.settleAt() - 1);
        IDisputes.Subject memory signed = _refreshed();
        _reveal(_demand(stranger, Part(0, LEAVES, 0, 1)));
        uint256 price = _price(_roots());
        vm.prank(challenger);
        (bool isSuccess,) = address(court).call{value: price}(_demandCall(signed, _roots()));
        vm.assertTrue(isSuccess);
        (, uint256 open,,) = court.disputeOf(_key);
        vm.assertEq(open, 1);
    }

    /// @dev Nor can anybody say that it ends elsewhere, before there is a dispute or in one.
    function testFuzz_attack_anotherEndOfTheWindow_changesNothing(uint64 settleAt) external {
        IDisputes.Demand memory demand = _demand();
        _reveal(demand);
        uint256 end = _refreshed().proposal.window.settleAt();
        _subject.proposal.window = _subject.proposal.window.movedTo(settleAt);
        _demand(stranger, Part(0, LEAVES, 0, 1));
        _assertDispute(1, end, false);
    }

    function test_attack_settleBatchSpoiledByADemand_skipsIt() external {
        _answerHonestly();
        IInferenceQueue.Settlement[] memory items = new IInferenceQueue.Settlement[](2);
        items[0] =
            IInferenceQueue.Settlement(_subject.request, _subject.proposal, _output(Toy.NODES));
        IDisputes.Subject memory other = _proposeToy(operator, _askToy(_options()), Toy.NODES);
        items[1] = IInferenceQueue.Settlement(other.request, other.proposal, _output(Toy.NODES));
        _demand();
        vm.warp(other.proposal.window.settleAt());
        queue.settleBatch(items);
        _assertStatus(_subject.request, Status.Proposed);
        _assertStatus(other.request, Status.Settled);
    }

    /* SLASHED ELSEWHERE */

    function test_attack_suspendedWhileSlashedElsewhere_isVoid() external {
        _answerHonestly();
        IDisputes.Demand memory demand = _demand();
        _slashForAnother();
        _reveal(address(operator), demand, Toy.NODES);
        Proposal memory proposal = _refreshed().proposal;
        vm.warp(proposal.window.settleAt());
        _expect(IInferenceQueue.ProposalVoid.selector, abi.encode(_id, address(operator), 0));
        queue.settle(_subject.request, proposal, _output(Toy.NODES));
        queue.reopen(_subject.request, proposal, _subject.outputRoot);
        court.collect(demand);
        vm.assertEq(address(operator).balance, demand.prepaid);
    }

    function test_attack_voidLie_canStillBeDemandedAndProven() external {
        _slashForAnother();
        _reveal(_demand());
        bytes memory proof = _proof(LIE, LIE);
        _commit(challenger, proof);
        _prove(challenger, proof);
        _assertAccount(address(operator), STAKE - 2 * BOND, 0, 1);
    }

    function test_attack_silenceAboutAVoidLie_isSlashed() external {
        IDisputes.Demand memory demand = _demand();
        _slashForAnother();
        vm.warp(demand.deadline + 1);
        _timeout(demand);
        _assertAccount(address(operator), STAKE - 2 * BOND, 0, 1);
    }

    /// @dev The epoch ends between commitment and proof: the proof is about the proposal, not about the epoch.
    function test_attack_epochRace_doesNotSaveTheLiar() external {
        _reveal(_demand());
        bytes memory proof = _proof(LIE, LIE);
        _commit(challenger, proof);
        _slashForAnother();
        _prove(challenger, proof);
        _assertAccount(address(operator), STAKE - 2 * BOND, 0, 1);
    }

    function test_attack_finalBeforeTheSlash_staysFinalAfterADispute() external {
        _answerHonestly();
        _reveal(address(operator), _demand(), Toy.NODES);
        Proposal memory proposal = _refreshed().proposal;
        vm.warp(proposal.window.settleAt());
        _slashForAnother();
        queue.settle(_subject.request, proposal, _output(Toy.NODES));
        _assertStatus(_subject.request, Status.Settled);
    }

    /// @dev The bond of a result that is suspended stays where it is, also beyond the first window.
    function test_attack_unstakingDuringADispute_cannotTouchTheBond() external {
        IDisputes.Demand memory demand = _demand();
        operator.unstake(STAKE - 2 * BOND);
        vm.warp(demand.deadline + 1);
        _timeout(demand);
        vm.assertEq(BURN_ADDRESS.balance, BOND * 40 / 100);
    }

    /* THE REQUEST'S OWN TIME */

    function test_attack_deadlinePassedDuringTheDispute_expiresWithRefund() external {
        Options memory options = _options();
        options.timeout = 10 minutes;
        _take(operator, _askToy(options), LIE);
        _convictBySilence();
        _assertStatus(_subject.request, Status.Expired);
        vm.assertEq(queue.creditOf(address(consumer)), FEE + BOND * 30 / 100);
    }

    /* CALLS THAT MAY REVERT */

    function reveal(IDisputes.Demand calldata demand) external {
        _reveal(address(operator), demand, Toy.NODES);
    }

    function timeout(IDisputes.Demand calldata demand) external {
        _timeout(demand);
    }

    function demandPart(Part calldata part) external {
        _demand(stranger, part);
    }

    function _try(function(IDisputes.Demand memory) external step, IDisputes.Demand memory demand)
        private
        returns (bool)
    {
        try step(demand) {
            return true;
        } catch {
            return false;
        }
    }

    /// @dev Another result of the same operator, slashed now.
    function _slashForAnother() private {
        Request memory request = _askToy(_options());
        IDisputes.Subject memory other = _proposeToy(operator, request, LIE);
        vm.prank(disputes);
        queue.slash(other.request, other.proposal, other.outputRoot, challenger);
    }
}
