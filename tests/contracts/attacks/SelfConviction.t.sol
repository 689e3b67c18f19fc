// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputes} from "../../../contracts/interfaces/IDisputes.sol";
import {Options} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {Part} from "../../../contracts/libraries/Part.sol";
import {HonestOperator} from "../actors/HonestOperator.sol";
import {DisputeFixture} from "../DisputeFixture.sol";
import {Toy} from "../toy/Toy.sol";

/// @dev Whose a slashed bond is where the liar convicts itself (docs/protocol.md, "Challengers' income"): the reward is
/// the liar's to take, the requester's share is not, and the burn is nobody's.
contract SelfConvictionAttackTest is DisputeFixture {
    uint256 private constant REWARD = uint256(BOND) * 30 / 100;

    address private _sybil;
    address private _requester;

    function setUp() public override {
        super.setUp();
        _sybil = _actor("sybil");
        _requester = _actor("requester");
        vm.deal(_sybil, 1 ether);
    }

    /// @dev By its own silence, by its own proof, or by a stranger's: the requester's share is the same.
    function test_attack_refundTo_isPaidWhoeverConvicts() external {
        address[3] memory convictors = [_sybil, _sybil, challenger];
        for (uint256 i; i < 3; ++i) {
            _requester = _actor(string(abi.encodePacked("requester", i)));
            _lieTo(_requester, BOND);
            uint256 before = queue.creditOf(convictors[i]);
            if (i == 0) _convictBySilenceOf(_sybil);
            else _convictByProofOf(convictors[i]);
            vm.assertEq(queue.creditOf(_requester), REWARD, "requester");
            vm.assertEq(queue.creditOf(convictors[i]), before + REWARD, "reward");
        }
    }

    /// @dev The small lie ends the epoch and voids the large one, whose bond stays locked: it is still convicted of it,
    /// whoever does that, and the requester of each is paid from the bond of each.
    function test_attack_smallLieFirst_doesNotSaveTheRequestersShare() external {
        uint96 large = 50 * BOND;
        _lieTo(_requester, large);
        IDisputes.Subject memory lie = _subject;
        _lieTo(_actor("own"), MIN_BOND);
        _convictByProofOf(_sybil);
        _assertAccount(address(operator), STAKE - MIN_BOND, BOND + large, 1);

        _subject = lie;
        _key = court.keyOf(lie);
        _convictByProofOf(_sybil);
        vm.assertEq(queue.creditOf(_requester), uint256(large) * 30 / 100);
        vm.assertEq(queue.creditOf(_actor("own")), uint256(MIN_BOND) * 30 / 100);
        uint256 left = queue.accountOf(address(operator)).staked + queue.creditOf(_sybil);
        vm.assertEq(left, STAKE - (uint256(large) + MIN_BOND) * 70 / 100);
    }

    /// @dev Somebody asks its own question and gives its own wrong answer, to see whether anyone watches. If nobody does,
    /// it convicts itself: what burns is the price of knowing.
    function test_attack_missedCanary_losesFortyPercent() external {
        uint256 before = _wealthOfThePlanter();
        _lieTo(_requester, BOND);
        _convictBySilenceOf(_sybil);
        _expireSubject();
        vm.assertEq(_wealthOfThePlanter(), before - uint256(BOND) * 40 / 100 + FEE);
    }

    /// @dev The same canary, found: the finder's reward is what it costs more.
    function test_attack_foundCanary_paysItsFinder() external {
        uint256 before = _wealthOfThePlanter();
        _lieTo(_requester, BOND);
        _convictByProofOf(challenger);
        _expireSubject();
        vm.assertEq(_wealthOfThePlanter(), before - uint256(BOND) * 70 / 100 + FEE);
        vm.assertEq(queue.creditOf(challenger), REWARD);
    }

    /// @dev The liar has committed to its own proof before anybody asks. The first demand tells it that it is found: it
    /// answers, and convicts itself in the same block. The finder gets back what it prepaid, and is out of its gas (`gas_demandOfRoots`).
    function test_attack_preparedLiar_takesTheRewardAfterADemand() external {
        _lieTo(_requester, BOND);
        bytes memory proof = _proof(LIE, LIE);
        _commit(_sybil, proof);

        IDisputes.Demand memory theirs = _demand();
        _reveal(theirs);
        bytes memory found = _proof(LIE, LIE);
        vm.prank(challenger);
        court.commitFraud(_commitment(challenger, _key, found));
        _prove(_sybil, proof);

        vm.roll(cheats.getBlockNumber() + 1);
        IDisputes.Subject memory subject = _refreshed();
        _expect(IDisputes.AlreadyConvicted.selector, abi.encode(_key));
        this.prove(challenger, subject, found);
        vm.assertEq(queue.creditOf(_sybil), REWARD);
        vm.assertEq(queue.creditOf(challenger), 0);
        vm.assertEq(queue.creditOf(_requester), REWARD);
        _assertAccount(address(operator), STAKE - BOND, BOND, 1);
        uint256 before = challenger.balance;
        court.collect(theirs);
        vm.assertEq(challenger.balance, before + theirs.prepaid);
    }

    function prove(address who, IDisputes.Subject calldata subject, bytes calldata proof) external {
        _prove(who, subject, proof);
    }

    /* STEPS */

    /// @dev `_subject` becomes a lie about a request whose refunds are `refundTo`'s.
    function _lieTo(address refundTo, uint96 bond) private {
        Options memory options = _options();
        (options.refundTo, options.bond) = (refundTo, bond);
        _take(operator, _askToy(options), LIE);
    }

    function _convictBySilenceOf(address who) private {
        IDisputes.Demand memory demand = _demand(who, Part(0, LEAVES, 0, 1));
        vm.warp(demand.deadline + 1);
        _timeout(demand);
        court.collect(demand);
    }

    function _convictByProofOf(address who) private {
        IDisputes.Demand memory demand = _demand(who, _roots());
        _reveal(demand);
        bytes memory proof = _proof(LIE, LIE);
        _commit(who, proof);
        _prove(who, proof);
        court.collect(demand);
        _assertStatus(_subject.request, Status.Requested);
    }

    function _expireSubject() private {
        vm.warp(_deadlineOf(_subject.request));
        queue.expire(_subject.request);
    }

    /// @dev Operator, requester and demander in one.
    function _wealthOfThePlanter() private view returns (uint256) {
        return queue.accountOf(address(operator)).staked + queue.creditOf(_requester)
            + queue.creditOf(_sybil) + _sybil.balance;
    }
}
