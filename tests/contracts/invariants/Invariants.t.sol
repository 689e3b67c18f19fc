// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInferenceQueue} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {IOperatorStaking} from "../../../contracts/interfaces/IOperatorStaking.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {Queue} from "../Fixture.sol";
import {Test} from "../Test.sol";
import {Handler} from "./Handler.sol";

bytes constant OUTPUT = hex"41000000410000004100000041000000410000004100000041000000deadbeef";

/// @dev The protocol's promises, held against a model of it that knows no epochs and no hashes.
/// forge-config: default.invariant.fail-on-revert = true
/// forge-config: long.invariant.fail-on-revert = true
contract InvariantTest is Test {
    struct Selectors {
        address addr;
        bytes4[] selectors;
    }

    string[14] private NAMES = [
        "stake",
        "unstake",
        "withdraw",
        "request",
        "propose",
        "settle",
        "settle after a slash",
        "retry",
        "retry in vain",
        "expire",
        "reopen",
        "slash",
        "slash of a void result",
        "slash refused"
    ];
    mapping(string => uint256) private _counts;

    Handler internal handler;
    Queue internal queue;

    function setUp() external {
        handler = new Handler();
        queue = handler.target();
        _targetContract(address(handler));
    }

    function targetSelectors() external view returns (Selectors[] memory targets) {
        targets = new Selectors[](1);
        targets[0] = Selectors(address(handler), _actions());
    }

    function invariant_moneyInEqualsMoneyOutPlusEscrow() external view {
        uint256 owed = handler.escrow();
        address[] memory accounts = handler.creditors();
        for (uint256 i; i < accounts.length; ++i) {
            vm.assertEq(queue.creditOf(accounts[i]), handler.credits(accounts[i]));
            vm.assertEq(queue.accountOf(accounts[i]).staked, handler.staked(accounts[i]));
            vm.assertEq(queue.unstakingOf(accounts[i]).amount, handler.unstaking(accounts[i]));
            owed += queue.creditOf(accounts[i]) + queue.accountOf(accounts[i]).staked
            + queue.unstakingOf(accounts[i]).amount;
        }
        (address first, address second) = handler.fixtureOperators();
        owed += queue.accountOf(first).staked + queue.accountOf(second).staked;
        vm.assertEq(address(queue).balance, owed);
        vm.assertEq(handler.moneyIn(), handler.moneyOut() + owed);
    }

    function invariant_lockedBondsNeverExceedStake() external view {
        address[] memory accounts = handler.operators();
        for (uint256 i; i < accounts.length; ++i) {
            IOperatorStaking.Account memory account = queue.accountOf(accounts[i]);
            vm.assertEq(account.locked, handler.lockedBy(accounts[i]));
            vm.assertLe(account.locked, account.staked);
        }
    }

    /// @dev The model moves one way by construction: what matters is that the queue is where the model is.
    function invariant_statusMovesOneWay() external view {
        Handler.Ghost[] memory ghosts = handler.ghosts();
        for (uint256 i; i < ghosts.length; ++i) {
            (Status status, bool isCallbackOwed) = queue.statusOf(ghosts[i].id);
            vm.assertEq(uint256(status), uint256(ghosts[i].status));
            vm.assertEq(isCallbackOwed, ghosts[i].isCallbackOwed);
        }
    }

    function invariant_finalResultsStayFinal() external view {
        Handler.Ghost[] memory ghosts = handler.ghosts();
        for (uint256 i; i < ghosts.length; ++i) {
            bool isExpected = (ghosts[i].status == Status.Proposed && handler.isFinal(i))
                || ghosts[i].status == Status.Settled;
            vm.assertEq(_isFinal(ghosts[i]), isExpected);
        }
    }

    function invariant_settledOnlyAfterWindow() external view {
        Handler.Ghost[] memory ghosts = handler.ghosts();
        for (uint256 i; i < ghosts.length; ++i) {
            (Status status,) = queue.statusOf(ghosts[i].id);
            if (status != Status.Settled) continue;
            vm.assertGe(
                ghosts[i].settledAt, ghosts[i].proposal.window.proposedAt() + ghosts[i].window
            );
        }
    }

    function invariant_slashOnlyByDisputes() external view {
        vm.assertEq(handler.intruders(), 0);
        address[] memory accounts = handler.operators();
        for (uint256 i; i < accounts.length; ++i) {
            vm.assertEq(queue.accountOf(accounts[i]).epoch, handler.slashes(accounts[i]));
        }
    }

    /// @dev A campaign in which nothing is ever settled would prove nothing.
    function test_handler_reachesEverything() external {
        bytes4[] memory actions = _actions();
        uint256 seed = 1;
        for (uint256 round; round < 20 && bytes(_missing()).length != 0; ++round) {
            handler = new Handler();
            queue = handler.target();
            for (uint256 i; i < 256; ++i) {
                seed = uint256(keccak256(abi.encode(seed)));
                bytes memory data = abi.encodePacked(
                    actions[seed % actions.length],
                    keccak256(abi.encode(seed, 1)),
                    keccak256(abi.encode(seed, 2)),
                    keccak256(abi.encode(seed, 3))
                );
                // A bool must be clean.
                if (bytes4(data) == Handler.retryCallback.selector) {
                    data = abi.encodeCall(Handler.retryCallback, (seed >> 8, seed & 0x80 == 0));
                }
                (bool isSuccess, bytes memory error) = address(handler).call(data);
                vm.assertTrue(isSuccess, string(error));
            }
            _count();
        }
        vm.assertEq(_missing(), "");
    }

    function _missing() private view returns (string memory) {
        for (uint256 i; i < NAMES.length; ++i) {
            if (_counts[NAMES[i]] == 0) return NAMES[i];
        }
        return "";
    }

    function _count() private {
        for (uint256 i; i < NAMES.length; ++i) {
            _counts[NAMES[i]] += handler.count(NAMES[i]);
        }
    }

    function _actions() private pure returns (bytes4[] memory actions) {
        actions = new bytes4[](22);
        actions[0] = Handler.wait.selector;
        actions[1] = Handler.stake.selector;
        actions[2] = Handler.unstake.selector;
        actions[3] = Handler.withdraw.selector;
        actions[4] = Handler.request.selector;
        actions[5] = Handler.propose.selector;
        actions[6] = Handler.proposeBatch.selector;
        actions[7] = Handler.settle.selector;
        actions[8] = Handler.settleBatch.selector;
        actions[9] = Handler.retryCallback.selector;
        actions[10] = Handler.expire.selector;
        actions[11] = Handler.reopen.selector;
        actions[12] = Handler.slash.selector;
        actions[13] = Handler.slashAsAnother.selector;
        // Twice or more in the draw: without them there is nothing to do.
        actions[14] = Handler.request.selector;
        actions[15] = Handler.request.selector;
        actions[16] = Handler.propose.selector;
        actions[17] = Handler.propose.selector;
        actions[18] = Handler.propose.selector;
        actions[19] = Handler.settle.selector;
        actions[20] = Handler.wait.selector;
        actions[21] = Handler.retryCallback.selector;
    }

    function _isFinal(Handler.Ghost memory ghost) private view returns (bool) {
        try queue.requireFinal(ghost.request, ghost.proposal, OUTPUT) {
            return true;
        } catch {
            return false;
        }
    }
}
