// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IReferee} from "../../contracts/interfaces/IReferee.sol";
import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IModelRegistry} from "../../contracts/interfaces/IModelRegistry.sol";
import {Part} from "../../contracts/libraries/Part.sol";
import {OriginLibrary, Proposal} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../contracts/libraries/RequestState.sol";
import {DisputeFixture} from "./DisputeFixture.sol";
import {Toy} from "./toy/Toy.sol";
import {Trees} from "./toy/Trees.sol";

contract DemandTest is DisputeFixture {
    function test_demand_suspendsTheWindow() external {
        _demand();
        vm.warp(_subject.proposal.window.settleAt());
        Proposal memory proposal = _refreshed().proposal;
        _expect(IInferenceQueue.WindowNotOver.selector, abi.encode(_id, SUSPENDED));
        queue.settle(_subject.request, proposal, _output(LIE));
    }

    function test_demand_keepsTheEndOfTheWindow() external {
        _demand();
        _assertDispute(1, _subject.proposal.window.settleAt(), false);
    }

    function test_demand_emitsPartDemanded() external {
        IDisputes.Demand memory expected = IDisputes.Demand({
            dispute: _key,
            part: Part(3, 2, 1, 3),
            programRoot: Toy.programRoot(),
            values: 5,
            leaves: 19,
            padding: 32,
            demander: challenger,
            prepaid: uint96(_price(Part(3, 2, 1, 3))),
            deadline: uint64(_time() + REVEAL_PERIOD)
        });
        bytes memory data = _demandCall(_subject, expected.part);
        vm.expectEmit(address(court));
        emit IDisputes.PartDemanded(_id, _key, address(operator), expected);
        vm.prank(challenger);
        (bool isSuccess,) = address(court).call{value: expected.prepaid}(data);
        vm.assertTrue(isSuccess);
    }

    function test_demand_emitsWindowMoved() external {
        IDisputes.Subject memory moved = _subject;
        moved.proposal.window = moved.proposal.window.movedTo(SUSPENDED);
        bytes memory data = _demandCall(_subject, _roots());
        uint256 price = _price(_roots());
        vm.expectEmit(address(queue));
        emit IInferenceQueue.WindowMoved(_id, address(operator), moved.proposal);
        (bool isSuccess,) = address(court).call{value: price}(data);
        vm.assertTrue(isSuccess);
    }

    function test_demand_takesManyAtOnce() external {
        _demand();
        _demand(stranger, Part(0, LEAVES, 0, 10));
        _demand(challenger, Part(0, 0, 0, 10));
        _assertDispute(3, _subject.proposal.window.settleAt(), false);
    }

    function test_demand_takesTheLastSecondOfTheWindow() external {
        vm.warp(_subject.proposal.window.settleAt() - 1);
        _demand();
        _assertDispute(1, _subject.proposal.window.settleAt(), false);
    }

    function test_demand_takesTheLastSecondBeforeTheHardEnd() external {
        _keepOpenUntil(_lastMoment());
        _demand(stranger, Part(1, 0, 0, 1));
    }

    function test_demand_revertsAfterTheLastMomentBeforeTheHardEnd() external {
        _keepOpenUntil(_lastMoment() + 1);
        uint256 hardEnd = _subject.proposal.window.proposedAt() + WINDOW + EXTENSION_LIMIT;
        uint256 price = _price(Part(1, 0, 0, 1));
        _expect(IDisputes.TooLateToDemand.selector, abi.encode(_id, hardEnd));
        this.demandPart(Part(1, 0, 0, 1), price);
    }

    function test_demand_revertsWhenFinal() external {
        vm.warp(_subject.proposal.window.settleAt());
        uint256 price = _price(_roots());
        _expect(IInferenceQueue.WindowOver.selector, abi.encode(_id, _time()));
        this.demandPart(_roots(), price);
    }

    function test_demand_revertsWhenSettled() external {
        vm.warp(_subject.proposal.window.settleAt());
        queue.settle(_subject.request, _subject.proposal, _output(LIE));
        uint256 price = _price(_roots());
        _expectWrongStatus(_subject.request, Status.Settled, Status.Proposed);
        this.demandPart(_roots(), price);
    }

    function test_demand_revertsWhenNothingIsProposed() external {
        _subject.request = _askToy(_options());
        uint256 price = _price(_roots());
        _expectWrongStatus(_subject.request, Status.Requested, Status.Proposed);
        this.demandPart(_roots(), price);
    }

    function test_demand_revertsWhenProposalIsAnother() external {
        _subject.proposal.origin =
            OriginLibrary.pack(address(rival), _subject.proposal.origin.epoch(), OUTPUT.length);
        uint256 price = _price(_roots());
        _expectWrongProposal(_subject.request);
        this.demandPart(_roots(), price);
    }

    function test_demand_revertsWhenSettleAtIsAnother() external {
        _subject.proposal.window =
            _subject.proposal.window.movedTo(_subject.proposal.window.settleAt() + 1);
        uint256 price = _price(_roots());
        _expectWrongProposal(_subject.request);
        this.demandPart(_roots(), price);
    }

    function test_demand_revertsWhenRepeated() external {
        _demand();
        uint256 price = _price(_roots());
        _expect(IDisputes.AlreadyDemanded.selector, abi.encode(_key, _roots()));
        this.demandPart(_roots(), price);
    }

    function test_demand_revertsWhenAnsweredBefore() external {
        _reveal(_demand());
        uint256 price = _price(_roots());
        _expect(IDisputes.AlreadyDemanded.selector, abi.encode(_key, _roots()));
        this.demandPart(_roots(), price);
    }

    function test_demand_revertsWhenConvicted() external {
        _convictBySilence();
        uint256 price = _price(Part(1, 0, 0, 1));
        _expect(IDisputes.AlreadyConvicted.selector, abi.encode(_key));
        this.demandPart(Part(1, 0, 0, 1), price);
    }

    function test_demand_revertsWhenPrepaidTooLittle() external {
        uint256 price = _price(_roots());
        _expect(IDisputes.PrepaidTooLittle.selector, abi.encode(price - 1, price));
        this.demandPart(_roots(), price - 1);
    }

    function test_demand_revertsWhenPrepaidTooMuch() external {
        uint256 prepaid = uint256(type(uint96).max) + 1;
        vm.deal(challenger, prepaid);
        _expect(IDisputes.PrepaidTooMuch.selector, abi.encode(prepaid, type(uint96).max));
        this.demandPart(_roots(), prepaid);
    }

    function test_demand_revertsWhenModelIsAnother() external {
        _modelBytes[200] ^= 0x01;
        _expect(IDisputes.WrongModel.selector, abi.encode(_id));
        this.demandPart(_roots(), 1 ether);
    }

    function testFuzz_demand_revertsWhenDescriptorsAreOthers(uint256 at, uint8 mask) external {
        vm.assume(mask != 0);
        bytes memory descriptors = Toy.descriptors(3);
        descriptors[at % descriptors.length] ^= bytes1(mask);
        IDisputes.Subject memory subject = _subject;
        vm.expectRevert();
        court.demand{value: 1 ether}(subject, Part(3, 0, 0, 1), _modelBytes, descriptors);
    }

    function testFuzz_demand_revertsWhenDescriptorsAreCutShort(uint256 length) external {
        bytes memory descriptors = Toy.descriptors(3);
        length = _bound(length, 0, descriptors.length - 1);
        assembly ("memory-safe") {
            mstore(descriptors, length)
        }
        IDisputes.Subject memory subject = _subject;
        vm.expectRevert();
        court.demand{value: 1 ether}(subject, Part(3, 0, 0, 1), _modelBytes, descriptors);
    }

    function test_demand_revertsWhenDescriptorsGoOn() external {
        bytes memory descriptors = abi.encodePacked(Toy.descriptors(3), bytes1(0));
        IDisputes.Subject memory subject = _subject;
        _expect(IReferee.WrongProof.selector, abi.encode("end", Toy.descriptors(3).length));
        court.demand{value: 1 ether}(subject, Part(3, 0, 0, 1), _modelBytes, descriptors);
    }

    function test_demand_revertsWhenDescriptorIsOfAnotherNode() external {
        IDisputes.Subject memory subject = _subject;
        bytes memory descriptors = Toy.descriptors(1);
        cheats.expectPartialRevert(IReferee.WrongProof.selector);
        court.demand{value: 1 ether}(subject, Part(0, 0, 0, 1), _modelBytes, descriptors);
    }

    function testFuzz_keyOf_dependsOnNothingThatMoves(uint64 settleAt) external {
        _subject.proposal.window = _subject.proposal.window.movedTo(settleAt);
        vm.assertEq(court.keyOf(_subject), _key);
    }

    function test_keyOf_isTheHashOfTheProposal() external view {
        bytes32 expected = keccak256(
            abi.encode(
                _id,
                _subject.proposal.origin,
                _subject.proposal.window.proposedAt(),
                _subject.outputRoot
            )
        );
        vm.assertEq(court.keyOf(_subject), expected);
    }

    function test_priceOf_isZeroWhereThereIsNothing() external view {
        vm.assertEq(court.priceOf(Part(5, 0, 0, 1), 5, 1), 0);
    }

    /// @dev Worked out by hand: gas for the transaction and its terms, for each word of the part and of its siblings, and
    /// for collecting. One leaf of 19 has four words, five siblings, and three on the way up the value tree; five roots
    /// are five words, with two empty siblings.
    function test_priceOf_isWhatTheWordsCost() external view {
        uint256 price = 2 * BASE_FEE + REVEAL_TIP;
        vm.assertEq(_price(Part(3, LEAVES, 0, 1)), (110_000 + 1_000 * 12 + 50_000) * price);
        vm.assertEq(_price(_roots()), (110_000 + 1_000 * 7 + 50_000) * price);
    }

    /// @dev Where calldata is most of it, EIP-7623 asks for more than the execution.
    function test_priceOf_isTheFloorOfManyWords() external view {
        uint256 words = 64 * 4 + 3 + 3;
        uint256 price = court.priceOf(Part(3, LEAVES, 0, 64), 5, 512);
        vm.assertEq(price, (58_000 + 1_280 * words + 50_000) * (2 * BASE_FEE + REVEAL_TIP));
    }

    function test_priceOf_growsWithTheBaseFee() external {
        uint256 price = _price(_roots());
        cheats.fee(2 * BASE_FEE);
        vm.assertEq(_price(_roots()) * 21, price * 41);
    }

    function demandPart(Part calldata part, uint256 prepaid) external {
        _demand(challenger, part, prepaid);
    }

    function _lastMoment() private view returns (uint256) {
        return _subject.proposal.window.proposedAt() + WINDOW + EXTENSION_LIMIT - REVEAL_PERIOD
            - REACTION_PERIOD;
    }

    /// @dev With demands that are answered in the last second, so that the window goes on.
    function _keepOpenUntil(uint256 time) private {
        for (uint32 i; _time() < time; ++i) {
            uint256 last = _refreshed().proposal.window.settleAt() - 1;
            if (last >= time) return vm.warp(time);
            vm.warp(last);
            IDisputes.Demand memory open = _demand(stranger, Part(0, LEAVES, i, 1));
            if (open.deadline >= time) return vm.warp(time);
            vm.warp(open.deadline);
            _reveal(open);
        }
    }
}

/// @dev Parts that exist, and parts that do not.
contract DemandPartTest is DisputeFixture {
    function test_demand_takesEveryHeightOfTheValueTree() external {
        _demand(challenger, Part(VALUE_TREE, 0, 4, 1));
        _demand(challenger, Part(VALUE_TREE, 1, 2, 1));
        _demand(challenger, Part(VALUE_TREE, 2, 1, 1));
        _demand(challenger, Part(VALUE_TREE, 3, 0, 1));
    }

    function test_demand_takesTheOnlyLeafOfAScalar() external {
        _demand(challenger, Part(2, LEAVES, 0, 1));
        _demand(challenger, Part(2, 0, 0, 1));
    }

    function test_demand_revertsAboveTheValueTree() external {
        _refuse(Part(VALUE_TREE, 4, 0, 1), 0);
    }

    function test_demand_revertsBeyondTheValueTree() external {
        _refuse(Part(VALUE_TREE, 0, 5, 1), 5);
        _refuse(Part(VALUE_TREE, 0, 4, 2), 5);
        _refuse(Part(VALUE_TREE, 1, 3, 1), 3);
        _refuse(Part(VALUE_TREE, 2, 1, 2), 2);
    }

    function test_demand_revertsForLeavesOfTheValueTree() external {
        _refuse(Part(VALUE_TREE, LEAVES, 0, 1), 0);
    }

    function test_demand_revertsBeyondTheProgram() external {
        _refuse(Part(5, 0, 0, 1), 0);
        _refuse(Part(VALUE_TREE - 1, LEAVES, 0, 1), 0);
    }

    function test_demand_revertsBeyondTheLeaves() external {
        _refuse(Part(3, LEAVES, 19, 1), 19);
        _refuse(Part(3, LEAVES, 0, 20), 19);
        _refuse(Part(3, 0, 18, 2), 19);
        _refuse(Part(3, 4, 2, 1), 2);
        _refuse(Part(2, LEAVES, 1, 1), 1);
    }

    function test_demand_revertsAboveAValue() external {
        _refuse(Part(3, 6, 0, 1), 0);
        _refuse(Part(2, 1, 0, 1), 0);
        _refuse(Part(3, 254, 0, 1), 0);
    }

    function test_demand_revertsForNothing() external {
        _refuse(_partOf(0), 5);
    }

    function test_demand_revertsForNumbersThatWouldOverflow() external {
        _refuse(Part(3, LEAVES, type(uint32).max, 1), 19);
        _refuse(Part(3, 0, 1, type(uint32).max), 19);
    }

    function testFuzz_demand_takesExactlyWhatCanBeAnswered(Part memory part) external {
        part.value = part.value % 4 == 0 ? VALUE_TREE : part.value % 7;
        part.height = part.height % 3 == 0 ? LEAVES : part.height % 8;
        part.first %= 22;
        part.count %= 22;
        if (_price(part) == 0) {
            vm.expectRevert();
            this.demandPart(part, 1 ether);
        } else {
            _reveal(_demand(challenger, part));
        }
    }

    function demandPart(Part calldata part, uint256 prepaid) external {
        _demand(challenger, part, prepaid);
    }

    function _partOf(uint32 count) private pure returns (Part memory) {
        return Part(VALUE_TREE, 0, 0, count);
    }

    function _refuse(Part memory part, uint256 nodes) private {
        vm.assertEq(_price(part), 0);
        _expect(IDisputes.WrongPart.selector, abi.encode(part, nodes));
        this.demandPart(part, 1 ether);
    }
}

/// @dev Programs of which there is only one path, and whose parts have numbers of more than 32 bits.
contract DemandSizeTest is DisputeFixture {
    uint64 private constant MAX_VALUES = type(uint32).max - 1;

    bytes32[] private _path;
    bytes private _header;
    bytes private _node;

    function test_demand_takesTheMostValuesThatCanBeNamed() external {
        _publish(MAX_VALUES, 1, 1);
        this.demandPart(Part(VALUE_TREE, 25, 0, 128));
        _assertDispute(1, _subject.proposal.window.settleAt(), false);
    }

    function test_demand_revertsWhenAValueCannotBeNamed() external {
        _publish(MAX_VALUES + 1, 1, 1);
        _expect(IDisputes.TooLargeToDemand.selector, abi.encode(_id, MAX_VALUES + 1, 0));
        this.demandPart(Part(VALUE_TREE, 25, 0, 128));
    }

    function test_demand_takesTheMostLeavesThatCanBeNamed() external {
        // 65,535 times 65,537 is 2^32 - 1.
        _publish(1, 65_535 * 32, 65_537);
        this.demandPart(Part(0, LEAVES, type(uint32).max - 1, 1));
        _assertDispute(1, _subject.proposal.window.settleAt(), false);
    }

    function test_demand_revertsWhenALeafCannotBeNamed() external {
        _publish(1, 1 << 20, 1 << 17);
        _expect(IDisputes.TooLargeToDemand.selector, abi.encode(_id, 1, uint256(1) << 32));
        this.demandPart(Part(0, LEAVES, 0, 1));
    }

    function demandPart(Part calldata part) external {
        bytes memory descriptors = abi.encodePacked(_header, keccak256(_node), _path);
        if (part.value != VALUE_TREE) {
            descriptors = abi.encodePacked(descriptors, _node, keccak256(_header), _path);
        }
        court.demand{value: 1 ether}(_subject, part, _modelBytes, descriptors);
    }

    /// @dev One proposal of a model whose program has `nodes` nodes, the first of which gives float32[rows, columns].
    function _publish(uint64 nodes, uint256 rows, uint256 columns) private {
        bytes32 type_ = bytes32((uint256(1) << 248) | (2 << 240) | (rows << 208) | (columns << 176));
        _header = abi.encodePacked(
            keccak256("exactum.program"),
            abi.encodePacked(uint64(1), nodes, uint64(1), uint64(1)),
            abi.encodePacked(type_, uint256(nodes - 1), type_)
        );
        bytes memory operand = abi.encodePacked(bytes32(0), type_, bytes32(0));
        _node = abi.encodePacked(
            keccak256("exactum.node"),
            abi.encodePacked(uint32(0x0200), uint64(0), uint32(2), uint32(0), bytes12(0)),
            abi.encodePacked(type_, operand, operand)
        );
        bytes32 root = Trees.parent(keccak256(_header), keccak256(_node));
        for (uint256 lowest = nodes / 2; lowest != 0; lowest >>= 1) {
            _path.push(keccak256(abi.encode("path", lowest)));
            root = Trees.parent(root, _path[_path.length - 1]);
        }
        IModelRegistry.Model memory large = _model();
        large.programRoot = root;
        toyModel = publisher.publish(large, "");
        _modelBytes = abi.encode(publisher, large);
        _lie();
    }
}
