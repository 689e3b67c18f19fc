// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputes} from "../../../contracts/interfaces/IDisputes.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {Queue} from "../Fixture.sol";
import {Test} from "../Test.sol";
import {Toy} from "../toy/Toy.sol";
import {DisputeHandler} from "./DisputeHandler.sol";

/// @dev The promises of disputes: `DisputeHandler` says who keeps them and who does not.
/// forge-config: default.invariant.runs = 8
/// forge-config: default.invariant.depth = 150
/// forge-config: default.invariant.fail-on-revert = true
/// forge-config: long.invariant.fail-on-revert = true
contract DisputeInvariantTest is Test {
    struct Selectors {
        address addr;
        bytes4[] selectors;
    }

    uint96 private constant FEE = 0.005 ether;
    uint256 private constant WINDOW = 1 hours;
    address private constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;

    string[13] private NAMES = [
        "demand",
        "reveal",
        "answer in the last second",
        "timeout",
        "proof",
        "proof refused",
        "settle",
        "settle of a lie",
        "reopen",
        "collect by a demander",
        "collect by an operator",
        "proof of one's own lie",
        "withdrawal by a colluder"
    ];
    mapping(string => uint256) private _counts;

    DisputeHandler internal handler;
    Queue internal queue;
    IDisputes internal court;

    function setUp() external {
        _start();
        _targetContract(address(handler));
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        targets = new Selectors[](1);
        targets[0] = Selectors(address(handler), _actions());
    }

    /// @dev Of the queue and of the disputes, each for itself.
    function invariant_moneyInEqualsMoneyOutPlusEscrow() external view {
        vm.assertEq(address(court).balance, handler.prepaidIn() - handler.prepaidOut());
        uint256 owed = handler.owed() + handler.unanswered();
        DisputeHandler.Ghost[] memory ghosts = handler.ghosts();
        for (uint256 i; i < ghosts.length; ++i) {
            bool isOpen =
                ghosts[i].status == Status.Proposed || ghosts[i].status == Status.Requested;
            if (isOpen) owed += FEE;
        }
        vm.assertEq(address(queue).balance, owed);
        vm.assertEq(handler.moneyIn(), owed + handler.moneyOut() + BURN_ADDRESS.balance);
    }

    /// @dev Operator, requester and challenger in one have, at any time, what they brought and what others paid them for
    /// answers, less 40 % of each bond that was slashed.
    function invariant_collusionNeverProfits() external view {
        vm.assertLe(handler.loot() + handler.burned(), handler.brought() + handler.earned());
    }

    /// @dev Whoever is slashed for what, and whatever is unstaked meanwhile.
    function invariant_bondsStayLockedWhileTheirResultsMayBeDisputed() external view {
        (uint256[] memory locked, uint256[] memory needed) = handler.bonds();
        for (uint256 i; i < locked.length; ++i) {
            vm.assertEq(locked[i], needed[i]);
        }
    }

    function invariant_slashOnlyAfterAVerdictOrATimeout() external view {
        DisputeHandler.Ghost[] memory ghosts = handler.ghosts();
        for (uint256 i; i < ghosts.length; ++i) {
            (,,, bool isConvicted) = court.disputeOf(ghosts[i].key);
            vm.assertEq(isConvicted, ghosts[i].isSlashed);
            if (ghosts[i].isSlashed) vm.assertTrue(ghosts[i].hadCause);
        }
        vm.assertEq(handler.intrusions(), 0);
    }

    function invariant_settledMeansWindowOverAndNoOpenDemand() external view {
        DisputeHandler.Ghost[] memory ghosts = handler.ghosts();
        for (uint256 i; i < ghosts.length; ++i) {
            if (ghosts[i].status != Status.Settled) continue;
            (, uint256 open,,) = court.disputeOf(ghosts[i].key);
            vm.assertEq(open, 0);
            vm.assertEq(handler.openDemandsOf(i), 0);
            uint256 end = ghosts[i].subject.proposal.window.proposedAt() + WINDOW;
            vm.assertGe(handler.standingOf(i).proposal.window.settleAt(), end);
        }
    }

    function invariant_statusMovesOneWay() external view {
        vm.assertEq(handler.backwards(), 0);
    }

    function invariant_anHonestOperatorThatAnswersInTimeIsNeverSlashed() external view {
        DisputeHandler.Ghost[] memory ghosts = handler.ghosts();
        for (uint256 i; i < ghosts.length; ++i) {
            bool isHonest = ghosts[i].character == DisputeHandler.Character.Honest;
            vm.assertFalse(isHonest && ghosts[i].isSlashed);
        }
    }

    /// @dev Nor does it wait for its fee, nor for what was prepaid to it.
    function invariant_nobodyWaitsForEver() external view {
        vm.assertEq(handler.stuck(), 0);
    }

    function invariant_oneHonestChallengerSuffices() external view {
        vm.assertEq(handler.finalLies(), 0);
    }

    /// @dev A campaign in which nothing ever happens would prove nothing.
    function test_handler_reachesEverything() external {
        bytes4[] memory actions = _actions();
        uint256 seed = 1;
        for (uint256 round; round < 10 && bytes(_missing()).length != 0; ++round) {
            _start();
            for (uint256 i; i < 200; ++i) {
                seed = uint256(keccak256(abi.encode(seed)));
                bytes memory data = abi.encodePacked(
                    actions[seed % actions.length],
                    keccak256(abi.encode(seed, 1)),
                    keccak256(abi.encode(seed, 2)),
                    uint256(seed >> 8) % 2
                );
                (bool isSuccess, bytes memory error) = address(handler).call(data);
                vm.assertTrue(isSuccess, string(error));
            }
            for (uint256 i; i < NAMES.length; ++i) {
                _counts[NAMES[i]] += handler.count(NAMES[i]);
            }
        }
        vm.assertEq(_missing(), "");
    }

    function _start() private {
        handler = new DisputeHandler();
        (queue, court) = handler.target();
    }

    function _missing() private view returns (string memory) {
        for (uint256 i; i < NAMES.length; ++i) {
            if (_counts[NAMES[i]] == 0) return NAMES[i];
        }
        return "";
    }

    function _actions() private pure returns (bytes4[] memory actions) {
        actions = new bytes4[](16);
        actions[0] = DisputeHandler.ask.selector;
        actions[1] = DisputeHandler.wait.selector;
        actions[2] = DisputeHandler.grief.selector;
        actions[3] = DisputeHandler.answer.selector;
        actions[4] = DisputeHandler.timeout.selector;
        actions[5] = DisputeHandler.settle.selector;
        actions[6] = DisputeHandler.reopen.selector;
        actions[7] = DisputeHandler.collect.selector;
        actions[8] = DisputeHandler.intrude.selector;
        // More often in the draw: without them there is nothing to do.
        actions[9] = DisputeHandler.wait.selector;
        actions[10] = DisputeHandler.wait.selector;
        actions[11] = DisputeHandler.wait.selector;
        actions[12] = DisputeHandler.settle.selector;
        actions[13] = DisputeHandler.collect.selector;
        actions[14] = DisputeHandler.collude.selector;
        actions[15] = DisputeHandler.collude.selector;
    }
}
