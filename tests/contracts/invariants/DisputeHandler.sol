// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "../RootOf.sol";
import {IDisputes} from "../../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue, Options} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {Part} from "../../../contracts/libraries/Part.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../../contracts/libraries/RequestState.sol";
import {DisputeFixture} from "../DisputeFixture.sol";
import {Queue} from "../Fixture.sol";
import {Toy} from "../toy/Toy.sol";
import {ToyReferee} from "../toy/ToyReferee.sol";

/// @title DisputeHandler
/// @notice Operators who are honest, who lie, who are silent, who withhold and who collude; a challenger who watches some
/// of the results and knows nothing but the law and what was revealed; griefers, copiers, and anybody who calls what
/// anybody may. Time passes in `wait` alone, in steps shorter than the challenger needs, and whoever answers may do so in the
/// last second.
contract DisputeHandler is DisputeFixture {
    enum Character {
        Honest,
        Lying, // answers everything, from the trace of its lie
        Silent,
        Withholding, // says what its roots are, and shows no leaf
        Colluding // lies, asks itself, convicts itself, and takes out what is free
    }

    struct Ghost {
        IDisputes.Subject subject;
        RequestId id;
        bytes32 key;
        Character character;
        uint256 lie;
        bool isWatched;
        bool isSlashed;
        bool hadCause; // a verdict of wrong, or silence beyond a deadline
        Status status;
        uint256 committedIn; // block
    }

    struct GhostDemand {
        uint256 ghost;
        IDisputes.Demand demand;
        bool isAnswered;
        bool isPaid;
    }

    uint256 internal constant MAX_GHOSTS = 10;
    uint256 internal constant MAX_DEMANDS = 40;
    uint256 internal constant STEP = 10 minutes;
    uint256 internal constant OPERATORS = 5;
    /// @dev What the colluders' second account has.
    uint256 internal constant PURSE = 100 ether;

    Ghost[] internal _ghosts;
    GhostDemand[] internal _demands;
    address[] internal _accounts;
    /// @dev What was revealed of which part of which proposal.
    mapping(bytes32 key => mapping(bytes32 part => ToyReferee.Opened)) internal _seen;

    uint256 public moneyIn;
    uint256 public unanswered;
    uint256 public prepaidIn;
    uint256 public prepaidOut;
    uint256 public intrusions;
    uint256 public stuck;
    uint256 public backwards;
    uint256 public finalLies;
    mapping(string what => uint256) public count;

    /// @dev Demands and convicts in the colluders' name, and is the requester of what they answer.
    address internal _accomplice;
    uint256 public moneyOut;
    /// @dev Of the colluders: what they and their requests brought, what strangers paid them for answers, and the parts
    /// of their bonds that must be gone.
    uint256 public brought;
    uint256 public earned;
    uint256 public burned;

    constructor() {
        vm.deal(address(this), 10 ether);
        setUp();
        moneyIn = address(queue).balance;
        // What the fixture proposed is left alone.
        unanswered = FEE;
        for (uint256 lie; lie < Toy.NODES; ++lie) {
            _runs[lie] = Toy.run(rootOf(INPUT), lie);
        }
        for (uint256 i; i < OPERATORS; ++i) {
            address account = _actor(string(abi.encodePacked("operator", bytes1(uint8(48 + i)))));
            _accounts.push(account);
            vm.deal(account, STAKE);
            vm.prank(account);
            queue.stake{value: STAKE}();
            moneyIn += STAKE;
        }
        vm.deal(challenger, 1000 ether);
        vm.deal(stranger, 1000 ether);
        _accomplice = _actor("accomplice");
        vm.deal(_accomplice, PURSE);
        brought = STAKE + PURSE;
    }

    /// @dev So short that it is over in the middle of a dispute.
    function _withdrawalDelay() internal pure override returns (uint256) {
        return 20 minutes;
    }

    receive() external payable {}

    /* WHAT ACTORS DO */

    function ask(uint256 who, uint256 lie, bool isWatched) external {
        if (_ghosts.length == MAX_GHOSTS) return;
        Character character = Character(who % OPERATORS);
        bool isColluding = character == Character.Colluding;
        lie = character == Character.Honest ? Toy.NODES : lie % Toy.NODES;
        vm.deal(address(this), FEE);
        Options memory options = _options();
        if (who % 8 > 4) options.timeout = 30 minutes;
        if (isColluding) options.refundTo = _accomplice;
        Request memory request = _ask(consumer, toyModel, FEE, options);
        moneyIn += FEE;
        Proposal memory proposal = _proposalOf(_accounts[who % OPERATORS], request);
        bytes memory output = _output(lie);
        vm.prank(_accounts[who % OPERATORS]);
        // Without free stake: the request stays open, with its fee.
        try queue.propose(request, output) {}
        catch {
            unanswered += FEE;
            return;
        }
        if (isColluding) brought += FEE;

        Ghost storage ghost = _ghosts.push();
        ghost.subject = IDisputes.Subject(request, proposal, rootOf(output));
        ghost.id = _idOf(request);
        ghost.key = court.keyOf(ghost.subject);
        (ghost.character, ghost.lie) = (character, lie);
        ghost.isWatched = isWatched;
        ghost.status = Status.Proposed;
    }

    function wait(uint256 secondsOn) external {
        for (uint256 i; i < _ghosts.length; ++i) {
            if (_ghosts[i].isWatched) _challenge(i);
        }
        uint256 end = _time() + _bound(secondsOn, 1, STEP);
        for (uint256 which = _nextDue(end); which < _demands.length; which = _nextDue(end)) {
            uint256 deadline = _demands[which].demand.deadline;
            if (deadline > _time()) vm.warp(deadline);
            _answer(which);
            ++count["answer in the last second"];
        }
        vm.warp(end);
        vm.roll(cheats.getBlockNumber() + 1);
        _look();
    }

    function grief(uint256 which, uint256 seed) external {
        if (_ghosts.length == 0 || _demands.length >= MAX_DEMANDS / 2) return;
        uint32 value = uint32(seed % Toy.NODES);
        Part memory part = Part(value, LEAVES, 0, 1);
        if (seed % 4 == 0) part = _roots();
        if (seed % 4 == 1) part = Part(value, 0, uint32(seed % Toy.leaves(value)), 1);
        _tryDemand(which % _ghosts.length, stranger, part);
    }

    /// @dev Asks itself for a part, lets the time for that pass, proves its own lie, takes out what is free, and stakes
    /// it again.
    function collude(uint256 which, uint256 seed) external {
        address account = _accounts[uint256(Character.Colluding)];
        if (seed % 8 == 6) return _takeOut(account);
        if (seed % 8 == 7) return _bringBack(account);
        (bool isThere, uint256 found) = _colluding(which);
        if (!isThere) return;
        Ghost storage ghost = _ghosts[found];
        if (seed % 8 < 2) {
            uint32 value = uint32(seed % Toy.NODES);
            return
                _tryDemand(found, _accomplice, seed % 8 == 0 ? _roots() : Part(value, LEAVES, 0, 1));
        }
        if (seed % 8 == 2) {
            for (uint256 i; i < _demands.length && !ghost.isSlashed; ++i) {
                if (_demands[i].ghost == found) _tryTimeout(i);
            }
            return;
        }
        _convictThemselves(ghost);
    }

    function answer(uint256 which) external {
        if (_demands.length == 0) return;
        which %= _demands.length;
        if (_isAnswering(_demands[which])) _answer(which);
    }

    /// @dev Of a demand that is answered, or whose time is not over, nothing may come.
    function timeout(uint256 which) external {
        if (_demands.length == 0) return;
        _tryTimeout(which % _demands.length);
    }

    function settle(uint256 which) external {
        if (_ghosts.length == 0) return;
        Ghost storage ghost = _ghosts[which % _ghosts.length];
        IDisputes.Subject memory subject = _standing(ghost);
        bytes memory output = _output(ghost.lie);
        bool isOver = _isOver(ghost);
        try queue.settle(subject.request, subject.proposal, output) {
            if (!isOver) ++intrusions;
            ++count[ghost.lie == Toy.NODES ? "settle" : "settle of a lie"];
        } catch {
            // An honest result whose window is over is paid.
            bool isDue = isOver && ghost.character == Character.Honest;
            if (isDue && ghost.status == Status.Proposed) ++stuck;
        }
        _look();
    }

    function reopen(uint256 which) external {
        if (_ghosts.length == 0) return;
        Ghost storage ghost = _ghosts[which % _ghosts.length];
        IDisputes.Subject memory subject = _standing(ghost);
        bool isOver = _isOver(ghost);
        try queue.reopen(subject.request, subject.proposal, subject.outputRoot) {
            if (!isOver) ++intrusions;
            ++count["reopen"];
        } catch {}
        _look();
    }

    function collect(uint256 which) external {
        if (_demands.length == 0) return;
        GhostDemand storage item = _demands[which % _demands.length];
        Ghost storage ghost = _ghosts[item.ghost];
        address operator_ = ghost.subject.proposal.origin.operator();
        address account = ghost.isSlashed ? item.demand.demander : operator_;
        uint256 before = account.balance;
        bool isOver = ghost.isSlashed || _isOver(ghost);
        try court.collect(item.demand) {
            bool isRight = isOver && !item.isPaid && (ghost.isSlashed || item.isAnswered);
            if (!isRight || account.balance != before + item.demand.prepaid) ++intrusions;
            item.isPaid = true;
            prepaidOut += item.demand.prepaid;
            bool isTheirs = account == _accounts[uint256(Character.Colluding)];
            if (isTheirs && item.demand.demander != _accomplice) earned += item.demand.prepaid;
            ++count[ghost.isSlashed ? "collect by a demander" : "collect by an operator"];
        } catch {
            if (isOver && !item.isPaid) ++stuck;
        }
    }

    /// @dev What the challenger sent, sent by another; a proof that all is wrong, of what is right; calls that are not
    /// the caller's to make.
    function intrude(uint256 which, uint256 seed) external {
        if (_ghosts.length == 0) return;
        Ghost storage ghost = _ghosts[which % _ghosts.length];
        IDisputes.Subject memory subject = _standing(ghost);
        (bool isReady, bytes memory proof) = _proofFor(ghost);
        if (!isReady || seed % 2 == 0) {
            proof = _proof(seed % Toy.NODES, Toy.NODES);
            vm.prank(stranger);
            try court.commitFraud(_commitment(stranger, ghost.key, proof)) {} catch {}
            if (seed % 4 == 0) vm.roll(cheats.getBlockNumber() + 1);
        }
        bool isLie = ghost.lie != Toy.NODES;
        bytes memory output = _output(ghost.lie);
        vm.prank(stranger);
        try court.proveFraud(subject, _modelBytes, proof, SALT) {
            if (!isLie) ++intrusions;
            _slashed(ghost, isLie);
        } catch {
            ++count["proof refused"];
        }
        vm.prank(stranger);
        try queue.slash(subject.request, subject.proposal, subject.outputRoot, stranger) {
            ++intrusions;
        } catch {}
        _look();
    }

    /* THE CHALLENGER */

    function _challenge(uint256 which) private {
        Ghost storage ghost = _ghosts[which];
        if (ghost.isSlashed || ghost.lie == Toy.NODES || ghost.status != Status.Proposed) return;
        for (uint256 i; i < _demands.length && !ghost.isSlashed; ++i) {
            if (_demands[i].ghost == which) _tryTimeout(i);
        }
        if (ghost.isSlashed) return;
        ToyReferee.Opened storage roots = _opened(ghost, _roots());
        if (roots.data.length == 0) return _tryDemand(which, challenger, _roots());
        (bool isReady, bytes memory proof) = _proofFor(ghost);
        if (!isReady) return _narrow(which, _firstWrong(roots.data));
        if (ghost.committedIn == 0) {
            ghost.committedIn = cheats.getBlockNumber();
            vm.prank(challenger);
            court.commitFraud(_commitment(challenger, ghost.key, proof));
        } else if (ghost.committedIn < cheats.getBlockNumber()) {
            IDisputes.Subject memory subject = _standing(ghost);
            bytes memory output = _output(ghost.lie);
            vm.prank(challenger);
            court.proveFraud(subject, _modelBytes, proof, SALT);
            _slashed(ghost, true);
            ++count["proof"];
        }
    }

    function _narrow(uint256 which, uint256 node) private {
        bool isShown = node == Toy.LAST;
        if (!isShown) _tryDemand(which, challenger, Toy.leafOf(node, 0));
        if (node != 0) _tryDemand(which, challenger, Toy.leafOf(node - 1, 0));
    }

    /// @dev From what was revealed, and nothing else.
    function _proofFor(Ghost storage ghost) private view returns (bool isReady, bytes memory) {
        ToyReferee.Opened storage roots = _opened(ghost, _roots());
        if (roots.data.length == 0) return (false, "");
        uint256 node = _firstWrong(roots.data);
        ToyReferee.Proof memory proof;
        (proof.isOutput, proof.node) = (node == Toy.LAST, node);
        proof.claimed = proof.isOutput
            ? _opened(_runs[ghost.lie], node, 0)
            : _opened(ghost, Toy.leafOf(node, 0));
        if (node != 0) proof.operand = _opened(ghost, Toy.leafOf(node - 1, 0));
        isReady = (proof.isOutput || proof.claimed.data.length != 0)
            && (node == 0 || proof.operand.data.length != 0);
        return (isReady, abi.encode(proof));
    }

    /// @return The first node whose value is not what an honest run has.
    function _firstWrong(bytes memory revealed) private view returns (uint256) {
        bytes32[] memory honest = Toy.valueRoots(_run(Toy.NODES));
        for (uint256 node; node < Toy.LAST; ++node) {
            bytes32 theirs;
            assembly ("memory-safe") {
                theirs := mload(add(add(revealed, 32), mul(32, node)))
            }
            if (theirs != honest[node]) return node;
        }
        return Toy.LAST;
    }

    /* COLLUDERS */

    function _colluding(uint256 which) private view returns (bool isThere, uint256 found) {
        for (uint256 i; i < _ghosts.length; ++i) {
            found = (which % _ghosts.length + i) % _ghosts.length;
            if (_ghosts[found].character == Character.Colluding && !_ghosts[found].isSlashed) {
                return (true, found);
            }
        }
    }

    function _convictThemselves(Ghost storage ghost) private {
        IDisputes.Subject memory subject = _standing(ghost);
        bytes memory proof = _proof(ghost.lie, ghost.lie);
        bytes memory output = _output(ghost.lie);
        vm.prank(_accomplice);
        try court.commitFraud(_commitment(_accomplice, ghost.key, proof)) {} catch {}
        vm.prank(_accomplice);
        try court.proveFraud(subject, _modelBytes, proof, SALT) {
            _slashed(ghost, true);
            ++count["proof of one's own lie"];
        } catch {}
        _look();
    }

    function _takeOut(address account) private {
        uint256 free = queue.freeStakeOf(account);
        vm.prank(account);
        try queue.unstake(free / 2) {} catch {}
        address[2] memory both = [account, _accomplice];
        for (uint256 i; i < 2; ++i) {
            try queue.withdraw(both[i]) returns (uint256 amount) {
                moneyOut += amount;
                ++count["withdrawal by a colluder"];
            } catch {}
        }
    }

    function _bringBack(address account) private {
        uint256 amount = account.balance;
        if (amount == 0) return;
        vm.prank(account);
        queue.stake{value: amount}();
        moneyIn += amount;
    }

    /* STEPS */

    function _tryDemand(uint256 which, address who, Part memory part) private {
        if (_demands.length >= MAX_DEMANDS && who != challenger) return;
        Ghost storage ghost = _ghosts[which];
        uint256 price = _price(part);
        bytes memory data = _demandCall(_standing(ghost), part);
        vm.recordLogs();
        vm.prank(who);
        (bool isSuccess,) = address(court).call{value: price}(data);
        if (!isSuccess) return;
        GhostDemand storage item = _demands.push();
        item.ghost = which;
        item.demand = _demandIn(vm.getRecordedLogs());
        prepaidIn += price;
        ++count["demand"];
    }

    function _answer(uint256 which) private {
        GhostDemand storage item = _demands[which];
        Ghost storage ghost = _ghosts[item.ghost];
        (bytes memory data, bytes32[] memory siblings) = Toy.open(_run(ghost.lie), item.demand.part);
        IDisputes.Subject memory subject = _standing(ghost);
        vm.prank(ghost.subject.proposal.origin.operator());
        court.reveal(subject, item.demand, data, siblings);
        item.isAnswered = true;
        _seen[ghost.key][keccak256(abi.encode(item.demand.part))] =
            ToyReferee.Opened(data, siblings);
        ++count["reveal"];
    }

    function _tryTimeout(uint256 which) private {
        GhostDemand storage item = _demands[which];
        Ghost storage ghost = _ghosts[item.ghost];
        bool isSilence = !item.isAnswered && _time() > item.demand.deadline;
        try court.timeout(_standing(ghost), item.demand) {
            _slashed(ghost, isSilence);
            ++count["timeout"];
        } catch {
            if (isSilence && !ghost.isSlashed) ++stuck;
        }
        _look();
    }

    function _slashed(Ghost storage ghost, bool hadCause) private {
        if (ghost.isSlashed) ++intrusions;
        ghost.isSlashed = true;
        ghost.hadCause = hadCause;
        // Rounded up.
        if (ghost.character == Character.Colluding) burned += (uint256(BOND) * 40 + 99) / 100;
    }

    /// @dev Sees where the queue is, and whether it came there by a way that exists.
    function _look() private {
        for (uint256 i; i < _ghosts.length; ++i) {
            Ghost storage ghost = _ghosts[i];
            (Status next,) = queue.statusOf(ghost.id);
            bool isLie = ghost.lie != Toy.NODES && ghost.isWatched;
            if (isLie && next == Status.Proposed && _isFinal(ghost)) ++finalLies;
            if (isLie && next == Status.Settled) ++finalLies;
            if (next == ghost.status) continue;
            bool isOneWay = ghost.status == Status.Proposed;
            if (!isOneWay) ++backwards;
            ghost.status = next;
        }
    }

    /* WHICH */

    function _nextDue(uint256 end) private view returns (uint256 next) {
        next = _demands.length;
        for (uint256 i; i < _demands.length; ++i) {
            GhostDemand storage item = _demands[i];
            if (item.demand.deadline > end || !_isAnswering(item)) continue;
            if (next == _demands.length || item.demand.deadline < _demands[next].demand.deadline) {
                next = i;
            }
        }
    }

    function _isAnswering(GhostDemand storage item) private view returns (bool) {
        Ghost storage ghost = _ghosts[item.ghost];
        if (item.isAnswered || ghost.isSlashed) return false;
        if (_time() > item.demand.deadline) return false;
        if (ghost.character == Character.Silent) return false;
        bool isOfRoots = item.demand.part.value == VALUE_TREE;
        // What the accomplice wants it need not answer.
        if (item.demand.demander == _accomplice) return isOfRoots;
        return ghost.character != Character.Withholding || isOfRoots;
    }

    function _opened(Ghost storage ghost, Part memory part)
        private
        view
        returns (ToyReferee.Opened storage)
    {
        return _seen[ghost.key][keccak256(abi.encode(part))];
    }

    function _standing(Ghost storage ghost)
        private
        view
        returns (IDisputes.Subject memory subject)
    {
        subject = ghost.subject;
        (, uint256 open, uint256 settleAt,) = court.disputeOf(ghost.key);
        if (open != 0) {
            subject.proposal.window = subject.proposal.window.movedTo(SUSPENDED);
        } else if (settleAt != 0) {
            subject.proposal.window = subject.proposal.window.movedTo(uint64(settleAt));
        }
    }

    function _isFinal(Ghost storage ghost) private view returns (bool) {
        return _isOver(ghost) && !_isVoid(ghost);
    }

    function _isOver(Ghost storage ghost) private view returns (bool) {
        (, uint256 open,,) = court.disputeOf(ghost.key);
        return open == 0 && _time() >= _standing(ghost).proposal.window.settleAt();
    }

    function _isVoid(Ghost storage ghost) private view returns (bool) {
        Proposal memory proposal = _standing(ghost).proposal;
        uint256 slashedAt = queue.slashedAt(proposal.origin.operator(), proposal.origin.epoch());
        return slashedAt != 0 && slashedAt < proposal.window.settleAt();
    }

    /* WHAT IS SEEN */

    function ghosts() external view returns (Ghost[] memory) {
        return _ghosts;
    }

    function openDemandsOf(uint256 which) external view returns (uint256 open) {
        for (uint256 i; i < _demands.length; ++i) {
            if (_demands[i].ghost == which && !_demands[i].isAnswered) ++open;
        }
    }

    function standingOf(uint256 which) external view returns (IDisputes.Subject memory) {
        return _standing(_ghosts[which]);
    }

    function target() external view returns (Queue, IDisputes) {
        return (queue, court);
    }

    /// @return locked What is locked of each operator's stake, and should be: the bonds of results that may be disputed.
    /// @return needed
    function bonds() external view returns (uint256[] memory locked, uint256[] memory needed) {
        (locked, needed) = (new uint256[](OPERATORS), new uint256[](OPERATORS));
        for (uint256 i; i < OPERATORS; ++i) {
            locked[i] = queue.accountOf(_accounts[i]).locked;
        }
        for (uint256 i; i < _ghosts.length; ++i) {
            bool isStanding = _ghosts[i].status == Status.Proposed;
            if (isStanding) needed[uint256(_ghosts[i].character)] += BOND;
        }
    }

    /// @return sum All that the colluders have, are owed, and may get back.
    function loot() external view returns (uint256 sum) {
        address account = _accounts[uint256(Character.Colluding)];
        sum = account.balance + _accomplice.balance + queue.creditOf(_accomplice);
        sum += queue.accountOf(account).staked + queue.creditOf(account);
        sum += queue.unstakingOf(account).amount;
        for (uint256 i; i < _demands.length; ++i) {
            GhostDemand storage item = _demands[i];
            bool isTheirs = item.demand.demander == _accomplice;
            if (isTheirs && !item.isPaid) sum += item.demand.prepaid;
        }
        for (uint256 i; i < _ghosts.length; ++i) {
            bool isOpen =
                _ghosts[i].status == Status.Proposed || _ghosts[i].status == Status.Requested;
            if (isOpen && _ghosts[i].character == Character.Colluding) sum += FEE;
        }
    }

    /// @return Stakes and credits of all that there are.
    function owed() external view returns (uint256) {
        uint256 sum;
        for (uint256 i; i < OPERATORS; ++i) {
            sum += queue.accountOf(_accounts[i]).staked + queue.creditOf(_accounts[i]);
            sum += queue.unstakingOf(_accounts[i]).amount;
        }
        address[8] memory others = [
            _accomplice,
            address(operator),
            address(rival),
            challenger,
            stranger,
            address(consumer),
            address(publisher),
            address(this)
        ];
        for (uint256 i; i < others.length; ++i) {
            sum += queue.accountOf(others[i]).staked + queue.creditOf(others[i]);
        }
        return sum;
    }
}
