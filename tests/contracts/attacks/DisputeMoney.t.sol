// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputes} from "../../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue, Options} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {Part} from "../../../contracts/libraries/Part.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {ReenteringConsumer} from "../actors/Consumers.sol";
import {HonestOperator, RefusingOperator} from "../actors/HonestOperator.sol";
import {RefusingPublisher} from "../actors/Publisher.sol";
import {DisputeFixture} from "../DisputeFixture.sol";
import {Toy} from "../toy/Toy.sol";

/// @dev Who pays, who is paid, and who comes back in while being paid.
contract DisputeMoneyAttackTest is DisputeFixture {
    /* GRIEFERS */

    /// @dev Whatever is demanded of an honest operator, answering and collecting costs it less than it gets.
    function test_attack_demandSpam_paysTheHonestOperator() external {
        _answerHonestly();
        bytes[] memory values = _run(Toy.NODES);
        IDisputes.Demand[] memory demands = new IDisputes.Demand[](30);
        for (uint32 i; i < 30; ++i) {
            Part memory part = i < 19 ? Part(3, LEAVES, i, 1 + (i * 7) % (19 - i)) : _small(i);
            demands[i] = _demand(stranger, part);
        }
        uint256 spent;
        for (uint256 i; i < 30; ++i) {
            (bytes memory data, bytes32[] memory siblings) = Toy.open(values, demands[i].part);
            bytes memory call =
                abi.encodeCall(IDisputes.reveal, (_refreshed(), demands[i], data, siblings));
            spent += _transact(address(operator), 0, call);
        }
        vm.warp(_refreshed().proposal.window.settleAt());
        for (uint256 i; i < 30; ++i) {
            bytes memory call = abi.encodeCall(IDisputes.collect, (demands[i]));
            spent += _transact(address(operator), 0, call);
        }
        vm.assertGe(address(operator).balance, spent * BASE_FEE);
        queue.settle(_subject.request, _refreshed().proposal, _output(Toy.NODES));
        vm.assertEq(address(court).balance, 0);
    }

    function test_attack_silentGriefer_leavesTheHonestOperatorItsFee() external {
        _answerHonestly();
        IDisputes.Demand memory demand = _demand(stranger, _roots());
        _reveal(address(operator), demand, Toy.NODES);
        vm.warp(_refreshed().proposal.window.settleAt());
        queue.settle(_subject.request, _refreshed().proposal, _output(Toy.NODES));
        _assertAccount(address(operator), STAKE + FEE - ROYALTY, BOND, 0);
    }

    /* CHALLENGERS */

    function test_attack_twoChallengersAtOnce_theSecondPaysOnlyItsGas() external {
        _reveal(_demand());
        bytes memory proof = _proof(LIE, LIE);
        _commit(challenger, proof);
        _commit(stranger, proof);
        IDisputes.Subject memory subject = _refreshed();
        _prove(stranger, proof);
        _expect(IDisputes.AlreadyConvicted.selector, abi.encode(_key));
        this.prove(challenger, subject, proof);
        vm.assertEq(queue.creditOf(stranger), BOND * 30 / 100);
        vm.assertEq(queue.creditOf(challenger), 0);
    }

    function test_attack_twoSilencesAtOnce_slashOnce() external {
        IDisputes.Demand memory first = _demand();
        IDisputes.Demand memory second = _demand(stranger, Part(0, LEAVES, 0, 1));
        vm.warp(second.deadline + 1);
        IDisputes.Subject memory subject = _refreshed();
        _timeout(first);
        _expect(IDisputes.AlreadyConvicted.selector, abi.encode(_key));
        court.timeout(subject, second);
        uint256 before = stranger.balance;
        court.collect(second);
        vm.assertEq(stranger.balance, before + second.prepaid);
        _assertAccount(address(operator), STAKE - BOND, 0, 1);
    }

    /// @dev A liar who is about to be convicted demands of itself what it will not answer. It gets the reward, and loses
    /// the rest; the challenger gets back what it paid.
    function test_attack_selfChallengeOfALiar_losesSeventyPercent() external {
        _reveal(_demand());
        address sybil = _actor("sybil");
        vm.deal(sybil, 1 ether);
        IDisputes.Demand memory own = _demand(sybil, Part(0, LEAVES, 0, 1));
        vm.warp(own.deadline + 1);
        _timeout(own);
        court.collect(own);
        queue.withdraw(sybil);
        uint256 left = queue.accountOf(address(operator)).staked + sybil.balance - 1 ether;
        vm.assertLe(left, STAKE - BOND * 70 / 100);
    }

    function test_attack_selfProofOfALiar_losesSeventyPercent() external {
        _reveal(_demand());
        address sybil = _actor("sybil");
        bytes memory proof = _proof(LIE, LIE);
        _commit(challenger, proof);
        _commit(sybil, proof);
        _prove(sybil, proof);
        uint256 left = queue.accountOf(address(operator)).staked + queue.creditOf(sybil);
        vm.assertLe(left, STAKE - BOND * 70 / 100);
    }

    /// @dev The sybil demands first what the challenger wants: the challenger reads the same answer, or asks for another
    /// part.
    function test_attack_sybilThatDemandsFirst_keepsNobodyFromAsking() external {
        _demand(stranger, _roots());
        uint256 price = _price(_roots());
        _expect(IDisputes.AlreadyDemanded.selector, abi.encode(_key, _roots()));
        this.demandPart(_roots(), price);
        IDisputes.Demand memory own = _demand(challenger, Part(VALUE_TREE, 0, 0, 4));
        vm.warp(own.deadline + 1);
        _timeout(own);
        vm.assertEq(queue.creditOf(challenger), BOND * 30 / 100);
    }

    /// @dev Requester, operator and demander are one: the reward and the requester's part come back, 40 % do not.
    function test_attack_requesterWhoColludes_losesFortyPercent() external {
        address sybil = _actor("sybil");
        vm.deal(sybil, 1 ether);
        Options memory options = _options();
        options.refundTo = sybil;
        options.timeout = 10 minutes;
        _take(operator, _askToy(options), LIE);
        IDisputes.Demand memory own = _demand(sybil, _roots());
        vm.warp(own.deadline + 1);
        _timeout(own);
        court.collect(own);
        queue.withdraw(sybil);
        uint256 left = queue.accountOf(address(operator)).staked + sybil.balance - 1 ether - FEE;
        vm.assertLe(left, STAKE - BOND * 40 / 100);
    }

    /* COLLECTING */

    function test_attack_doubleCollect_isRefused() external {
        _answerHonestly();
        IDisputes.Demand memory demand = _demand();
        IDisputes.Demand memory other = _demand(stranger, Part(0, LEAVES, 0, 1));
        _reveal(address(operator), demand, Toy.NODES);
        _reveal(address(operator), other, Toy.NODES);
        vm.warp(_refreshed().proposal.window.settleAt());
        court.collect(demand);
        _expect(IDisputes.NothingToCollect.selector, abi.encode(_key, demand.part));
        court.collect(demand);
        vm.assertEq(address(court).balance, other.prepaid);
    }

    function test_attack_collectBeforeFinal_isRefused() external {
        IDisputes.Demand memory demand = _demand();
        _reveal(demand);
        vm.warp(_refreshed().proposal.window.settleAt() - 1);
        _expect(IDisputes.NothingToCollect.selector, abi.encode(_key, demand.part));
        court.collect(demand);
    }

    function test_attack_demanderThatRefusesEther_blocksOnlyItself() external {
        address refusing = address(new RefusingPublisher(registry));
        vm.deal(refusing, 1 ether);
        IDisputes.Demand memory theirs = _demand(refusing, _roots());
        IDisputes.Demand memory other = _demand(stranger, Part(0, LEAVES, 0, 1));
        vm.warp(theirs.deadline + 1);
        _timeout(theirs);
        _expect(IDisputes.PaymentFailed.selector, abi.encode(refusing, theirs.prepaid));
        court.collect(theirs);
        court.collect(other);
        vm.assertEq(address(court).balance, theirs.prepaid);
    }

    function test_attack_operatorThatRefusesEther_blocksOnlyItself() external {
        HonestOperator refusing = new RefusingOperator(queue);
        refusing.stake{value: STAKE}();
        _take(refusing, _askToy(_options()), Toy.NODES);
        IDisputes.Demand memory demand = _demand();
        _reveal(address(refusing), demand, Toy.NODES);
        vm.warp(_refreshed().proposal.window.settleAt());
        _expect(IDisputes.PaymentFailed.selector, abi.encode(address(refusing), demand.prepaid));
        court.collect(demand);
        queue.settle(_subject.request, _refreshed().proposal, _output(Toy.NODES));
        _assertStatus(_subject.request, Status.Settled);
    }

    function test_attack_plainEther_isRefused() external {
        (bool isSuccess,) = address(court).call{value: 1}("");
        vm.assertFalse(isSuccess);
    }

    function testFuzz_attack_randomCalldata_movesNothing(bytes calldata data) external {
        _demand();
        uint256 before = address(court).balance;
        vm.prank(stranger);
        (bool isSuccess,) = address(court).call(data);
        isSuccess; // A view may answer, and anything may be committed to.
        vm.assertEq(address(court).balance, before);
        _assertDispute(1, _subject.proposal.window.settleAt(), false);
    }

    /* COMING BACK IN */

    function test_attack_collect_reentersCollect() external {
        ReenteringConsumer reentering = _reentering();
        IDisputes.Demand memory theirs = _demand(address(reentering), _roots());
        IDisputes.Demand memory other = _demand(stranger, Part(0, LEAVES, 0, 1));
        vm.warp(other.deadline + 1);
        _timeout(other);
        _arm(reentering, abi.encodeCall(IDisputes.collect, (theirs)));
        uint256 before = address(reentering).balance;
        court.collect(theirs);
        vm.assertFalse(reentering.outcomes()[0].isSuccess);
        vm.assertEq(
            reentering.outcomes()[0].data,
            abi.encodeWithSelector(IDisputes.NothingToCollect.selector, _key, theirs.part)
        );
        vm.assertEq(address(reentering).balance, before + theirs.prepaid);
        vm.assertEq(address(court).balance, other.prepaid);
    }

    function test_attack_collect_reentersTimeout() external {
        ReenteringConsumer reentering = _reentering();
        IDisputes.Demand memory theirs = _demand(address(reentering), _roots());
        vm.warp(theirs.deadline + 1);
        IDisputes.Subject memory subject = _refreshed();
        _timeout(theirs);
        _arm(reentering, abi.encodeCall(IDisputes.timeout, (subject, theirs)));
        court.collect(theirs);
        vm.assertEq(
            reentering.outcomes()[0].data,
            abi.encodeWithSelector(IDisputes.DemandNotOpen.selector, _key, theirs.part)
        );
        _assertAccount(address(operator), STAKE - BOND, 0, 1);
    }

    /// @dev Nothing has code at the burn address; if something had, it would find the dispute closed.
    function test_attack_burn_reentersTimeout() external {
        ReenteringConsumer reentering = _reentering();
        vm.etch(BURN_ADDRESS, address(reentering).code);
        IDisputes.Demand memory demand = _demand();
        vm.warp(demand.deadline + 1);
        reentering = ReenteringConsumer(payable(BURN_ADDRESS));
        _arm(reentering, abi.encodeCall(IDisputes.timeout, (_refreshed(), demand)));
        _timeout(demand);
        vm.assertEq(
            reentering.outcomes()[0].data,
            abi.encodeWithSelector(IDisputes.AlreadyConvicted.selector, _key)
        );
        _assertAccount(address(operator), STAKE - BOND, 0, 1);
    }

    /// @dev The consumer demands a part of its own result while it is called back with it.
    function test_attack_onInference_reentersDemand() external {
        ReenteringConsumer reentering = _reentering();
        vm.recordLogs();
        vm.prank(address(reentering));
        queue.request{value: FEE}(toyModel, INPUT, _optionsWithGas(2_000_000));
        _take(operator, _requestIn(vm.getRecordedLogs()), Toy.NODES);
        ReenteringConsumer.Call[] memory calls = new ReenteringConsumer.Call[](1);
        calls[0] = ReenteringConsumer.Call(_price(_roots()), _demandCall(_subject, _roots()));
        reentering.arm(calls);
        vm.warp(_subject.proposal.window.settleAt());
        queue.settle(_subject.request, _subject.proposal, _output(Toy.NODES));
        vm.assertEq(
            reentering.outcomes()[0].data,
            _wrongStatus(_subject.request, Status.Settled, Status.Proposed)
        );
    }

    function prove(address who, IDisputes.Subject calldata subject, bytes calldata proof) external {
        _prove(who, subject, proof);
    }

    function demandPart(Part calldata part, uint256 prepaid) external {
        _demand(challenger, part, prepaid);
    }

    /// @dev Comes back in to `court`.
    function _reentering() private returns (ReenteringConsumer reentering) {
        reentering = new ReenteringConsumer(IInferenceQueue(address(court)));
        vm.deal(address(reentering), 1 ether);
    }

    function _arm(ReenteringConsumer reentering, bytes memory data) private {
        ReenteringConsumer.Call[] memory calls = new ReenteringConsumer.Call[](1);
        calls[0] = ReenteringConsumer.Call(0, data);
        reentering.arm(calls);
    }

    function _small(uint32 i) private pure returns (Part memory) {
        return i < 24 ? Part(VALUE_TREE, 0, i - 19, 1) : Part(0, 0, i - 24, 2);
    }
}
