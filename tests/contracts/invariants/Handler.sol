// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "../RootOf.sol";
import {IInferenceQueue, Options} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {ModelId} from "../../../contracts/interfaces/IModelRegistry.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../../contracts/libraries/RequestState.sol";
import {
    GasBurningConsumer,
    RecordingConsumer,
    RevertingConsumer,
    TestConsumer
} from "../actors/Consumers.sol";
import {Fixture, Queue} from "../Fixture.sol";

/// @title Handler
/// @notice Many actors at random, next to a plain model of what should come of each call: no epochs, no hashes, every
/// bond in a list of its own. A call that succeeds where the model says no, or fails where it says yes, ends the run.
contract Handler is Fixture {
    struct Ghost {
        Request request;
        RequestId id;
        uint96 fee;
        uint96 bond;
        uint96 royalty;
        uint32 window;
        uint32 callbackGas;
        uint64 deadline;
        Status status;
        bool isCallbackOwed;
        Proposal proposal;
        bool isVoid; // slashed before it was final
        bool isBondLive;
        uint64 settledAt;
    }

    uint256 internal constant MAX_REQUESTS = 40;
    uint256 internal constant OPERATORS = 3;

    Ghost[] internal _ghosts;
    address[] internal _operators;
    TestConsumer[] internal _consumers;
    RevertingConsumer internal _moody;
    address[] internal _creditors;

    mapping(address operator => uint256) public staked;
    mapping(address operator => uint256) public slashes;
    mapping(address account => uint256) public credits;
    mapping(address operator => uint256) public unstaking;
    mapping(address operator => uint256) public unstakingUntil;
    uint256 public moneyIn;
    uint256 public moneyOut;
    uint256 public escrow;
    uint256 public intruders;

    /// @dev How often each thing came to pass, so that a campaign in which nothing happens is seen.
    mapping(string what => uint256) public count;

    constructor() {
        vm.deal(address(this), 2 * STAKE);
        setUp();
        for (uint256 i; i < OPERATORS; ++i) {
            _operators.push(_actor(string(abi.encodePacked("operator", bytes1(uint8(48 + i))))));
            vm.deal(_operators[i], 1_000_000 ether);
            _creditors.push(_operators[i]);
        }
        _moody = new RevertingConsumer(queue);
        _consumers.push(consumer);
        _consumers.push(_moody);
        _consumers.push(new GasBurningConsumer(queue));
        for (uint256 i; i < 3; ++i) {
            _creditors.push(address(_consumers[i]));
        }
        _creditors.push(address(publisher));
        _creditors.push(challenger);
        // What the fixture staked for its own two operators.
        moneyIn = 2 * STAKE;
        staked[address(operator)] = staked[address(rival)] = STAKE;
    }

    receive() external payable {}

    /* WHAT ACTORS DO */

    function wait(uint256 secondsOn) external {
        _skip(_bound(secondsOn, 1, WINDOW / 2));
    }

    function stake(uint256 who, uint256 amount) external {
        address account = _operators[who % OPERATORS];
        amount = _bound(amount, 10 * BOND, 50 * BOND);
        vm.prank(account);
        queue.stake{value: amount}();
        staked[account] += amount;
        moneyIn += amount;
        ++count["stake"];
    }

    function unstake(uint256 who, uint256 amount) external {
        address account = _operators[who % OPERATORS];
        amount = _bound(amount, 0, 12 * BOND);
        bool isFine = amount != 0 && amount <= staked[account] - lockedBy(account);
        vm.prank(account);
        try queue.unstake(amount) {
            vm.assertTrue(isFine, "unstaked what was bound");
            staked[account] -= amount;
            unstaking[account] += amount;
            unstakingUntil[account] = _time() + WITHDRAWAL_DELAY;
            ++count["unstake"];
        } catch {
            vm.assertFalse(isFine);
        }
    }

    function withdraw(uint256 who) external {
        address account = _creditors[who % _creditors.length];
        bool isDue = _time() >= unstakingUntil[account];
        uint256 due = credits[account] + (isDue ? unstaking[account] : 0);
        uint256 before = account.balance;
        try queue.withdraw(account) returns (uint256 amount) {
            vm.assertEq(amount, due);
            vm.assertEq(account.balance, before + due);
            credits[account] = 0;
            if (isDue) unstaking[account] = 0;
            moneyOut += due;
            ++count["withdraw"];
        } catch {
            vm.assertEq(due, 0);
        }
    }

    function request(uint256 who, uint256 fee, uint256 seed) external {
        if (_ghosts.length == MAX_REQUESTS) return;
        TestConsumer asking = _consumers[who % 3];
        fee = _bound(fee, ROYALTY, 4 * ROYALTY);
        Options memory options = _options();
        options.operator = seed % 8 == 0 ? _operators[(seed >> 8) % OPERATORS] : address(0);
        options.bond = uint96(_bound(seed >> 16, MIN_BOND, 3 * BOND));
        options.window = uint32(_bound(seed >> 32, MIN_WINDOW, WINDOW / 2));
        options.timeout = uint32(_bound(seed >> 64, 1, 8 * WINDOW));
        options.callbackGas = seed % 5 == 0 ? 0 : CALLBACK_GAS;
        vm.deal(address(this), fee);
        Request memory made = _ask(asking, model, fee, options);

        Ghost storage ghost = _ghosts.push();
        ghost.request = made;
        ghost.id = _idOf(made);
        (ghost.fee, ghost.bond, ghost.royalty) = (uint96(fee), options.bond, ROYALTY);
        (ghost.window, ghost.callbackGas) = (options.window, options.callbackGas);
        ghost.deadline = uint64(_time()) + options.timeout;
        ghost.status = Status.Requested;
        moneyIn += fee;
        escrow += fee;
        ++count["request"];
    }

    function propose(uint256 who, uint256 which) external {
        if (_ghosts.length == 0) return;
        address account = _operators[who % OPERATORS];
        Ghost storage ghost = _pick(which, Status.Requested);
        bool isFine = _mayPropose(account, ghost);
        Proposal memory proposal = _proposalOf(account, ghost.request);
        vm.prank(account);
        try queue.propose(ghost.request, OUTPUT) {
            vm.assertTrue(isFine, "proposed against the rules");
            _proposed(ghost, proposal);
        } catch {
            vm.assertFalse(isFine);
        }
    }

    function proposeBatch(uint256 who, uint256 which) external {
        if (_ghosts.length == 0) return;
        address account = _operators[who % OPERATORS];
        uint256 size = _ghosts.length < 4 ? _ghosts.length : 4;
        Request[] memory requests = new Request[](size);
        bytes[] memory outputs = new bytes[](size);
        uint256 free = staked[account] - lockedBy(account);
        bool isFine = true;
        for (uint256 i; i < size; ++i) {
            Ghost storage ghost = _ghosts[_at(which, i)];
            (requests[i], outputs[i]) = (ghost.request, OUTPUT);
            if (ghost.status != Status.Requested || _time() >= ghost.deadline) continue;
            address chosen = address(uint160(ghost.request.operatorAndBond >> 96));
            if (chosen != address(0) && chosen != account) isFine = false;
            if (ghost.bond > free) isFine = false;
            else free -= ghost.bond;
        }
        vm.prank(account);
        try queue.proposeBatch(requests, outputs) {
            vm.assertTrue(isFine, "proposed against the rules");
            for (uint256 i; i < size; ++i) {
                Ghost storage ghost = _ghosts[_at(which, i)];
                bool isOpen = ghost.status == Status.Requested && _time() < ghost.deadline;
                if (isOpen) _proposed(ghost, _proposalOf(account, ghost.request));
            }
        } catch {
            vm.assertFalse(isFine);
        }
    }

    function settle(uint256 which) external {
        if (_ghosts.length == 0) return;
        Ghost storage ghost = _pickFinal(which);
        bool isFine = ghost.status == Status.Proposed && _isFinal(ghost);
        try queue.settle(ghost.request, ghost.proposal, OUTPUT) {
            vm.assertTrue(isFine, "settled against the rules");
            _settled(ghost);
        } catch {
            vm.assertFalse(isFine);
        }
    }

    function settleBatch(uint256 which) external {
        if (_ghosts.length == 0) return;
        uint256 size = _ghosts.length < 4 ? _ghosts.length : 4;
        IInferenceQueue.Settlement[] memory items = new IInferenceQueue.Settlement[](size);
        uint256[] memory chosen = new uint256[](size);
        bool isFine = true;
        for (uint256 i; i < size; ++i) {
            chosen[i] = _at(which, i);
            // Mostly without what is too early, or one would spoil every batch.
            if (which % 4 != 0 && !_isFinal(_ghosts[chosen[i]])) chosen[i] = _indexOfFinal(which);
            Ghost storage ghost = _ghosts[chosen[i]];
            items[i] = _settlements(ghost.request, ghost.proposal)[0];
            bool isTried = ghost.status == Status.Proposed && !ghost.isVoid;
            if (isTried && _time() < ghost.proposal.window.settleAt()) isFine = false;
        }
        try queue.settleBatch(items) {
            vm.assertTrue(isFine, "settled against the rules");
            for (uint256 i; i < size; ++i) {
                Ghost storage ghost = _ghosts[chosen[i]];
                if (ghost.status == Status.Proposed && !ghost.isVoid) _settled(ghost);
            }
        } catch {
            vm.assertFalse(isFine);
        }
    }

    function retryCallback(uint256 which, bool isRefusing) external {
        if (_ghosts.length == 0) return;
        _moody.setRefusing(isRefusing);
        Ghost storage ghost = _pickOwed(which);
        try queue.retryCallback{gas: 1_000_000}(ghost.request, ghost.proposal, OUTPUT) {
            vm.assertTrue(ghost.isCallbackOwed, "called back what was not owed");
            ghost.isCallbackOwed = _isHostile(ghost);
            ++count[ghost.isCallbackOwed ? "retry in vain" : "retry"];
        } catch {
            vm.assertFalse(ghost.isCallbackOwed);
        }
    }

    function expire(uint256 which) external {
        if (_ghosts.length == 0) return;
        Ghost storage ghost = _pick(which, Status.Requested);
        bool isFine = ghost.status == Status.Requested && _time() >= ghost.deadline;
        try queue.expire(ghost.request) {
            vm.assertTrue(isFine, "expired against the rules");
            _expired(ghost);
        } catch {
            vm.assertFalse(isFine);
        }
    }

    function reopen(uint256 which) external {
        if (_ghosts.length == 0) return;
        Ghost storage ghost = _pickVoid(which);
        bool isFine = ghost.status == Status.Proposed && ghost.isVoid
            && _time() >= ghost.proposal.window.settleAt();
        try queue.reopen(ghost.request, ghost.proposal, rootOf(OUTPUT)) {
            vm.assertTrue(isFine, "reopened against the rules");
            ghost.isBondLive = false;
            _reopened(ghost);
            ++count["reopen"];
        } catch {
            vm.assertFalse(isFine);
        }
    }

    function slash(uint256 which) external {
        // A liar now and then; more would leave nobody to settle.
        if (_ghosts.length == 0 || which % 3 == 0) return;
        Ghost storage ghost = _pickPending(which);
        bool isFine = ghost.status == Status.Proposed && _time() < ghost.proposal.window.settleAt();
        uint256 burnedBefore = BURN_ADDRESS.balance;
        vm.prank(disputes);
        try queue.slash(ghost.request, ghost.proposal, rootOf(OUTPUT), challenger) {
            vm.assertTrue(isFine, "slashed against the rules");
            _slashed(ghost, BURN_ADDRESS.balance - burnedBefore);
        } catch {
            vm.assertFalse(isFine);
        }
    }

    function slashAsAnother(uint256 who, uint256 which) external {
        if (_ghosts.length == 0) return;
        Ghost storage ghost = _pick(which, Status.Proposed);
        vm.prank(_creditors[who % _creditors.length]);
        try queue.slash(ghost.request, ghost.proposal, rootOf(OUTPUT), challenger) {
            ++intruders;
        } catch {
            ++count["slash refused"];
        }
    }

    /* WHAT SHOULD COME OF IT */

    function ghosts() external view returns (Ghost[] memory) {
        return _ghosts;
    }

    function operators() external view returns (address[] memory) {
        return _operators;
    }

    function creditors() external view returns (address[] memory) {
        return _creditors;
    }

    function target() external view returns (Queue) {
        return queue;
    }

    function fixtureOperators() external view returns (address, address) {
        return (address(operator), address(rival));
    }

    function lockedBy(address account) public view returns (uint256 locked) {
        for (uint256 i; i < _ghosts.length; ++i) {
            bool isTheirs =
                _ghosts[i].isBondLive && _ghosts[i].proposal.origin.operator() == account;
            if (isTheirs) locked += _ghosts[i].bond;
        }
    }

    function isFinal(uint256 which) external view returns (bool) {
        return _isFinal(_ghosts[which]);
    }

    function _isFinal(Ghost storage ghost) private view returns (bool) {
        return !ghost.isVoid && ghost.proposal.window.settleAt() != 0
            && _time() >= ghost.proposal.window.settleAt();
    }

    function _mayPropose(address account, Ghost storage ghost) private view returns (bool) {
        address chosen = address(uint160(ghost.request.operatorAndBond >> 96));
        return ghost.status == Status.Requested && _time() < ghost.deadline
            && (chosen == address(0) || chosen == account)
            && ghost.bond <= staked[account] - lockedBy(account);
    }

    function _proposed(Ghost storage ghost, Proposal memory proposal) private {
        vm.assertEq(proposal.origin.epoch(), slashes[proposal.origin.operator()]);
        vm.assertEq(proposal.window.settleAt(), _time() + ghost.window);
        ghost.proposal = proposal;
        ghost.status = Status.Proposed;
        ghost.isVoid = false;
        ghost.isBondLive = true;
        ++count["propose"];
    }

    function _settled(Ghost storage ghost) private {
        vm.assertTrue(ghost.isBondLive);
        if (ghost.proposal.origin.epoch() != slashes[ghost.proposal.origin.operator()]) {
            ++count["settle after a slash"];
        }
        ghost.status = Status.Settled;
        ghost.settledAt = uint64(_time());
        ghost.isBondLive = false;
        ghost.isCallbackOwed = ghost.callbackGas != 0 && _isHostile(ghost);
        staked[ghost.proposal.origin.operator()] += ghost.fee - ghost.royalty;
        credits[address(publisher)] += ghost.royalty;
        escrow -= ghost.fee;
        ++count["settle"];
    }

    function _expired(Ghost storage ghost) private {
        ghost.status = Status.Expired;
        credits[_refundToOf(ghost.request)] += ghost.fee;
        escrow -= ghost.fee;
        ++count["expire"];
    }

    function _reopened(Ghost storage ghost) private {
        if (_time() >= ghost.deadline) return _expired(ghost);
        ghost.status = Status.Requested;
    }

    function _slashed(Ghost storage ghost, uint256 burned) private {
        address liar = ghost.proposal.origin.operator();
        uint256 reward = uint256(ghost.bond) * 30 / 100;
        vm.assertGe(burned * 100, uint256(ghost.bond) * 40);
        vm.assertLt(burned * 100, uint256(ghost.bond) * 40 + 100);
        staked[liar] -= ghost.bond;
        credits[challenger] += reward;
        credits[_refundToOf(ghost.request)] += ghost.bond - reward - burned;
        moneyOut += burned;
        ghost.isBondLive = false;
        // A void lie voids nothing more: what was proposed since the first slash stands for itself.
        if (ghost.isVoid) ++count["slash of a void result"];
        else _void(liar);
        _reopened(ghost);
        ++count["slash"];
    }

    function _void(address liar) private {
        ++slashes[liar];
        for (uint256 i; i < _ghosts.length; ++i) {
            Ghost storage other = _ghosts[i];
            bool isOpen =
                other.status == Status.Proposed && _time() < other.proposal.window.settleAt();
            if (isOpen && other.proposal.origin.operator() == liar) other.isVoid = true;
        }
    }

    function _isHostile(Ghost storage ghost) private view returns (bool) {
        address asking = address(uint160(ghost.request.consumerAndFee >> 96));
        return
            asking == address(_consumers[2]) || (asking == address(_moody) && _moody.isRefusing());
    }

    /* WHICH */

    function _at(uint256 seed, uint256 step) private view returns (uint256) {
        return (seed % _ghosts.length + step) % _ghosts.length;
    }

    /// @dev The first from `seed` on that has `status`, so that calls mostly mean something; else any.
    function _pick(uint256 seed, Status status) private view returns (Ghost storage) {
        for (uint256 i; i < _ghosts.length; ++i) {
            if (_ghosts[_at(seed, i)].status == status) return _ghosts[_at(seed, i)];
        }
        return _ghosts[_at(seed, 0)];
    }

    function _pickFinal(uint256 seed) private view returns (Ghost storage) {
        return _ghosts[_indexOfFinal(seed)];
    }

    function _indexOfFinal(uint256 seed) private view returns (uint256) {
        for (uint256 i; i < _ghosts.length; ++i) {
            Ghost storage ghost = _ghosts[_at(seed, i)];
            if (ghost.status == Status.Proposed && _isFinal(ghost)) return _at(seed, i);
        }
        return _at(seed, 0);
    }

    /// @dev Rather one whose operator has a final result that is not settled yet: that one must outlive the slash.
    function _pickPending(uint256 seed) private view returns (Ghost storage) {
        for (uint256 i; i < _ghosts.length; ++i) {
            Ghost storage done = _ghosts[_at(seed, i)];
            if (done.status != Status.Proposed || !_isFinal(done)) continue;
            for (uint256 j; j < _ghosts.length; ++j) {
                Ghost storage ghost = _ghosts[_at(seed, j)];
                bool isTheirs = ghost.proposal.origin.operator() == done.proposal.origin.operator();
                if (isTheirs && _isPending(ghost, seed)) return ghost;
            }
        }
        for (uint256 i; i < _ghosts.length; ++i) {
            Ghost storage ghost = _ghosts[_at(seed, i)];
            if (_isPending(ghost, seed)) return ghost;
        }
        return _ghosts[_at(seed, 0)];
    }

    /// @dev Seldom of what is void already, or nothing void would live to be reopened.
    function _isPending(Ghost storage ghost, uint256 seed) private view returns (bool) {
        if (ghost.isVoid && seed % 8 != 0) return false;
        return ghost.status == Status.Proposed && !_isFinal(ghost);
    }

    /// @dev Rather one that will be delivered.
    function _pickOwed(uint256 seed) private view returns (Ghost storage) {
        for (uint256 i; i < _ghosts.length; ++i) {
            Ghost storage ghost = _ghosts[_at(seed, i)];
            if (ghost.isCallbackOwed && !_isHostile(ghost)) return ghost;
        }
        for (uint256 i; i < _ghosts.length; ++i) {
            if (_ghosts[_at(seed, i)].isCallbackOwed) return _ghosts[_at(seed, i)];
        }
        return _ghosts[_at(seed, 0)];
    }

    function _pickVoid(uint256 seed) private view returns (Ghost storage) {
        for (uint256 i; i < _ghosts.length; ++i) {
            Ghost storage ghost = _ghosts[_at(seed, i)];
            bool isOver = seed % 4 == 0 || _time() >= ghost.proposal.window.settleAt();
            if (ghost.isVoid && ghost.status == Status.Proposed && isOver) return ghost;
        }
        return _ghosts[_at(seed, 0)];
    }
}
