// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Proposal} from "../../contracts/libraries/Proposal.sol";
import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {Part} from "../../contracts/libraries/Part.sol";
import {Status} from "../../contracts/libraries/RequestState.sol";
import {Trace} from "../../contracts/libraries/Trace.sol";
import {DisputeFixture} from "./DisputeFixture.sol";
import {Toy} from "./toy/Toy.sol";

contract RevealTest is DisputeFixture {
    IDisputes.Demand internal _first;

    function setUp() public override {
        super.setUp();
        _first = _demand();
    }

    function test_reveal_fixesTheTraceRoot() external {
        vm.assertEq(_traceRoot(), bytes32(0));
        _reveal(_first);
        vm.assertEq(_traceRoot(), Toy.traceRoot(_run(LIE)));
    }

    function test_reveal_resumesTheWindowWhereItWas() external {
        _reveal(_first);
        _assertDispute(0, _subject.proposal.window.settleAt(), false);
        vm.warp(_subject.proposal.window.settleAt());
        queue.settle(_subject.request, _subject.proposal, _output(LIE));
        _assertStatus(_subject.request, Status.Settled);
    }

    function test_reveal_leavesTimeToReact() external {
        vm.warp(_first.deadline);
        _reveal(_first);
        _assertDispute(0, _first.deadline + REACTION_PERIOD, false);
        Proposal memory proposal = _refreshed().proposal;
        vm.assertEq(proposal.window.settleAt(), _first.deadline + REACTION_PERIOD);
        vm.warp(proposal.window.settleAt() - 1);
        _expect(IInferenceQueue.WindowNotOver.selector, abi.encode(_id, proposal.window.settleAt()));
        queue.settle(_subject.request, proposal, _output(LIE));
        vm.warp(proposal.window.settleAt());
        queue.settle(_subject.request, proposal, _output(LIE));
    }

    function test_reveal_keepsTheWindowSuspendedWhileAnotherDemandIsOpen() external {
        _demand(stranger, Part(0, LEAVES, 0, 1));
        _reveal(_first);
        _assertDispute(1, _subject.proposal.window.settleAt(), false);
        vm.assertEq(_refreshed().proposal.window.settleAt(), SUSPENDED);
    }

    function test_reveal_takesTheFirstAnswerWithAnyPart() external {
        _reveal(_demand(stranger, Part(3, LEAVES, 17, 2)));
        vm.assertEq(_traceRoot(), Toy.traceRoot(_run(LIE)));
    }

    function test_reveal_emitsTraceRevealedAndPartRevealed() external {
        bytes[] memory values = _run(LIE);
        (bytes memory data, bytes32[] memory siblings) = Toy.open(values, _roots());
        vm.expectEmit(address(court));
        emit IDisputes.TraceRevealed(_id, _key, Toy.traceRoot(values));
        vm.expectEmit(address(court));
        emit IDisputes.PartRevealed(_id, _key, _roots(), data, siblings);
        _reveal(address(operator), _first, data, siblings);
    }

    function test_reveal_emitsWindowMoved() external {
        vm.warp(_first.deadline);
        Proposal memory moved = _subject.proposal;
        moved.window = moved.window.movedTo(uint64(_first.deadline + REACTION_PERIOD));
        vm.expectEmit(address(queue));
        emit IInferenceQueue.WindowMoved(_id, address(operator), moved);
        _reveal(_first);
    }

    function test_reveal_laterAnswersMayBeAnyones() external {
        _reveal(_first);
        _reveal(stranger, _demand(challenger, Part(3, LEAVES, 0, 19)), LIE);
        _assertDispute(0, _subject.proposal.window.settleAt(), false);
    }

    function test_reveal_revertsWhenFirstAndNotTheOperators() external {
        _expect(IDisputes.NotOperator.selector, abi.encode(stranger, address(operator)));
        this.reveal(stranger, _first, LIE);
    }

    function test_reveal_revertsWhenItLeadsToAnotherTrace() external {
        _reveal(_first);
        IDisputes.Demand memory next = _demand(challenger, Part(3, LEAVES, 0, 1));
        bytes32 other = Toy.traceRoot(_run(2));
        _expect(IDisputes.WrongOpening.selector, abi.encode(_key, other, _traceRoot()));
        this.reveal(address(operator), next, 2);
    }

    function test_reveal_takesTheLastSecond() external {
        vm.warp(_first.deadline);
        _reveal(_first);
    }

    function test_reveal_revertsWhenTooLate() external {
        vm.warp(_first.deadline + 1);
        _expect(IDisputes.RevealTooLate.selector, abi.encode(_key, _first.deadline));
        this.reveal(address(operator), _first, LIE);
    }

    function test_reveal_revertsWhenRevealed() external {
        _reveal(_first);
        _expect(IDisputes.DemandNotOpen.selector, abi.encode(_key, _roots()));
        this.reveal(address(operator), _first, LIE);
    }

    function test_reveal_revertsWhenConvicted() external {
        IDisputes.Demand memory later = _laterDemand();
        vm.warp(_first.deadline + 1);
        _timeout(_first);
        _expect(IDisputes.AlreadyConvicted.selector, abi.encode(_key));
        this.reveal(address(operator), later, LIE);
    }

    function test_reveal_revertsWhenNothingWasDemanded() external {
        IDisputes.Demand memory demand = _first;
        demand.part.count = 4;
        _expect(IDisputes.WrongDemand.selector, abi.encode(_key, demand.part));
        this.reveal(address(operator), demand, LIE);
    }

    function testFuzz_reveal_revertsWhenTheDemandIsChanged(uint256 field) external {
        IDisputes.Demand memory demand = _first;
        field %= 5;
        if (field == 0) demand.values = 4;
        if (field == 1) demand.leaves = 4;
        if (field == 2) demand.deadline += 1;
        if (field == 3) demand.prepaid -= 1;
        if (field == 4) demand.programRoot = keccak256("another");
        _expect(IDisputes.WrongDemand.selector, abi.encode(_key, demand.part));
        this.reveal(address(operator), demand, LIE);
    }

    function test_reveal_revertsWhenTheDemandIsOfAnotherProposal() external {
        IDisputes.Subject memory other = _proposeToy(operator, _askToy(_options()), Toy.NODES);
        (bytes memory data, bytes32[] memory siblings) = Toy.open(_run(LIE), _roots());
        bytes32 key = court.keyOf(other);
        IDisputes.Demand memory demand = _first;
        _expect(IDisputes.WrongDemand.selector, abi.encode(key, _roots()));
        vm.prank(address(operator));
        court.reveal(other, demand, data, siblings);
    }

    function test_reveal_revertsWhenSizeIsAnother() external {
        (bytes memory data, bytes32[] memory siblings) = Toy.open(_run(LIE), _roots());
        bytes memory longer = abi.encodePacked(data, bytes32(0));
        _expect(Trace.WrongSize.selector, abi.encode(192, 160));
        this.revealData(_first, longer, siblings);
    }

    function testFuzz_reveal_revertsWhenOneBitIsAnother(uint256 seed) external {
        _reveal(_first);
        Part memory part = Part(3, seed % 2 == 0 ? LEAVES : 0, uint32(seed % 12), 7);
        IDisputes.Demand memory demand = _demand(challenger, part);
        (bytes memory data, bytes32[] memory siblings) = Toy.open(_run(LIE), part);
        uint256 at = (seed >> 16) % (data.length + 32 * siblings.length);
        bytes1 mask = bytes1(uint8(1 << ((seed >> 8) % 8)));
        if (at < data.length) {
            data[at] ^= mask;
        } else {
            at -= data.length;
            siblings[at / 32] ^= bytes32(mask) >> (8 * (at % 32));
        }
        vm.expectRevert();
        this.revealData(demand, data, siblings);
    }

    function reveal(address who, IDisputes.Demand calldata demand, uint256 lie) external {
        _reveal(who, demand, lie);
    }

    function revealData(
        IDisputes.Demand calldata demand,
        bytes calldata data,
        bytes32[] calldata siblings
    ) external {
        _reveal(address(operator), demand, data, siblings);
    }

    function _laterDemand() private returns (IDisputes.Demand memory) {
        _skip(10);
        return _demand(stranger, Part(0, LEAVES, 0, 1));
    }
}

contract TimeoutTest is DisputeFixture {
    IDisputes.Demand internal _open;

    function setUp() public override {
        super.setUp();
        _open = _demand();
        vm.warp(_open.deadline + 1);
    }

    function test_timeout_slashesTheOperatorForTheDemander() external {
        vm.prank(stranger);
        _timeout(_open);
        _assertAccount(address(operator), STAKE - BOND, 0, 1);
        vm.assertEq(queue.creditOf(challenger), BOND * 30 / 100);
        vm.assertEq(queue.creditOf(stranger), 0);
    }

    function test_timeout_opensTheRequestAgain() external {
        _timeout(_open);
        _assertStatus(_subject.request, Status.Requested);
        _assertDispute(1, _subject.proposal.window.settleAt(), true);
    }

    function test_timeout_emitsDemandTimedOut() external {
        vm.expectEmit(address(court));
        emit IDisputes.DemandTimedOut(_id, _key, _roots());
        _timeout(_open);
    }

    function test_timeout_revertsInTheLastSecondForAnAnswer() external {
        vm.warp(_open.deadline);
        _expect(IDisputes.RevealNotOver.selector, abi.encode(_key, _open.deadline));
        this.timeout(_open);
    }

    function test_timeout_revertsWhenRepeated() external {
        _timeout(_open);
        _expect(IDisputes.AlreadyConvicted.selector, abi.encode(_key));
        this.timeout(_open);
    }

    function test_timeout_takesTheProposalAsItWasProposed() external {
        court.timeout(_subject, _open);
        _assertStatus(_subject.request, Status.Requested);
    }

    function timeout(IDisputes.Demand calldata demand) external {
        _timeout(demand);
    }
}
