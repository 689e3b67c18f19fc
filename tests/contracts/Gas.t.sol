// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IModelRegistry, ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {Part} from "../../contracts/libraries/Part.sol";
import {Proposal} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {MinimalConsumer} from "../../contracts/examples/MinimalConsumer.sol";
import {DisputeFixture} from "./DisputeFixture.sol";
import {Fixture} from "./Fixture.sol";
import {Trees} from "./toy/Trees.sol";

/// @notice What each step costs actors who have done it before, without the transaction's own 21,000 and calldata.
/// @dev `forge snapshot --match-contract GasTest --snap .gas-snapshot` writes it. What stands before a step is not
/// metered.
contract GasTest is Fixture {
    MinimalConsumer internal minimal;
    Request[] internal _open;
    bytes[] internal _outputs;
    Request[] internal _answered;
    Proposal internal _proposal;

    function setUp() public override {
        super.setUp();
        minimal = new MinimalConsumer(queue, model, WINDOW);
        Request memory first = _askMinimal();
        _settle(first, _propose(first));
        for (uint256 i; i < 10; ++i) {
            _open.push(_askMinimal());
            _outputs.push(OUTPUT);
            _answered.push(_askMinimal());
            _proposal = _propose(_answered[i]);
        }
    }

    function test_gas_request() external {
        minimal.ask{value: FEE}(INPUT);
    }

    function test_gas_propose() external {
        vm.pauseGasMetering();
        Request memory request = _open[0];
        vm.resumeGasMetering();
        operator.propose(request, OUTPUT);
    }

    function test_gas_settle() external {
        vm.pauseGasMetering();
        Request memory request = _answered[0];
        Proposal memory proposal = _proposal;
        vm.warp(proposal.window.settleAt());
        vm.resumeGasMetering();
        queue.settle(request, proposal, OUTPUT);
    }

    function test_gas_expire() external {
        vm.pauseGasMetering();
        Request memory request = _open[0];
        vm.warp(_deadlineOf(request));
        vm.resumeGasMetering();
        queue.expire(request);
    }

    function test_gas_proposeBatchOf10() external {
        vm.pauseGasMetering();
        Request[] memory requests = _open;
        bytes[] memory outputs = _outputs;
        vm.resumeGasMetering();
        operator.proposeBatch(requests, outputs);
    }

    function test_gas_settleBatchOf10() external {
        vm.pauseGasMetering();
        IInferenceQueue.Settlement[] memory items = new IInferenceQueue.Settlement[](10);
        for (uint256 i; i < 10; ++i) {
            items[i] = _settlements(_answered[i], _proposal)[0];
        }
        vm.warp(_proposal.window.settleAt());
        vm.resumeGasMetering();
        queue.settleBatch(items);
    }

    function _askMinimal() private returns (Request memory) {
        vm.recordLogs();
        minimal.ask{value: FEE}(INPUT);
        return _requestIn(vm.getRecordedLogs());
    }
}

/// @notice The steps of a dispute about a program of 1,000 nodes, whose first value has 1,000,000 elements. Each test is a
/// transaction of its own: nothing that it touches is warm.
contract DisputeGasTest is DisputeFixture {
    uint256 private constant VALUES = 1000;
    uint256 private constant ELEMENTS = 1_000_000;
    uint256 private constant COLLECT_GAS = 50_000;

    bytes private _demandRoots;
    bytes private _demandNodes;
    bytes private _revealNodes;
    bytes private _revealLeaves;
    bytes private _revealOneLeaf;
    bytes private _revealMost;
    bytes private _timeoutData;
    bytes private _collectData;
    uint256 private _prepaid;
    uint256[4] private _prices;
    uint256 private _priceOfRoots;
    uint256 private _deadline;
    bytes32[] private _path;

    function setUp() public override {
        super.setUp();
        _publish();
        // Where ether has been burned before.
        vm.deal(BURN_ADDRESS, 1);
        Part memory nodes = Part(0, 8, 0, 64);
        IDisputes.Demand memory demand = _askOfNew(nodes);
        _deadline = demand.deadline;
        _timeoutData = abi.encodeCall(IDisputes.timeout, (_refreshed(), demand));
        _collectData = abi.encodeCall(IDisputes.collect, (demand));
        _revealNodes = _revealCall(demand);
        _revealLeaves = _revealCall(_askOfNew(Part(0, LEAVES, 0, 8)));
        _revealOneLeaf = _revealCall(_askOfNew(Part(0, LEAVES, 0, 1)));
        _revealMost = _revealCall(_askOfNew(Part(0, LEAVES, 0, 64)));
        _prepaid = court.priceOf(nodes, VALUES, _leaves());
        _prices[0] = _prepaid;
        _prices[1] = court.priceOf(Part(0, LEAVES, 0, 8), VALUES, _leaves());
        _prices[2] = court.priceOf(Part(0, LEAVES, 0, 1), VALUES, _leaves());
        _prices[3] = court.priceOf(Part(0, LEAVES, 0, 64), VALUES, _leaves());
        _takeNew();
        _demandNodes = _demandCall(nodes);
        _demandRoots = _demandCall(Part(VALUE_TREE, 3, 0, 125));
        _priceOfRoots = court.priceOf(Part(VALUE_TREE, 3, 0, 125), VALUES, 0);
    }

    /// @dev What a challenger asks first: of 1,000 values the 125 roots of eight each.
    function test_gas_demandOfRoots() external {
        vm.pauseGasMetering();
        bytes memory data = _demandRoots;
        vm.assertLe(_transact(challenger, _priceOfRoots, data), 130_000);
    }

    function test_gas_demandOfNodes() external {
        vm.pauseGasMetering();
        bytes memory data = _demandNodes;
        vm.assertLe(_transact(challenger, _prepaid, data), 140_000);
    }

    function test_gas_revealOf64Nodes() external {
        vm.pauseGasMetering();
        _assertPaid(_revealNodes, _prices[0]);
    }

    function test_gas_revealOf8Leaves() external {
        vm.pauseGasMetering();
        _assertPaid(_revealLeaves, _prices[1]);
    }

    function test_gas_revealOf1Leaf() external {
        vm.pauseGasMetering();
        _assertPaid(_revealOneLeaf, _prices[2]);
    }

    function test_gas_revealOf64Leaves() external {
        vm.pauseGasMetering();
        _assertPaid(_revealMost, _prices[3]);
    }

    function test_gas_timeout() external {
        vm.pauseGasMetering();
        bytes memory data = _timeoutData;
        vm.warp(_deadline + 1);
        vm.assertLe(_transact(challenger, 0, data), 145_000);
    }

    function test_gas_commitFraud() external {
        vm.pauseGasMetering();
        bytes memory data = abi.encodeCall(IDisputes.commitFraud, (keccak256("commitment")));
        vm.assertLe(_transact(challenger, 0, data), 46_500);
    }

    /// @dev What it takes to slash an operator that says nothing: two transactions.
    function test_gas_silentOperator_costsItsChallengerLessThan300k() external {
        vm.pauseGasMetering();
        (bytes memory data, bytes memory timeout) = (_demandRoots, _timeoutData);
        uint256 demand = _transact(challenger, _priceOfRoots, data);
        vm.warp(_deadline + 1);
        vm.assertLe(demand + _transact(challenger, 0, timeout), 300_000);
    }

    function test_gas_collect() external {
        vm.pauseGasMetering();
        bytes memory data = _collectData;
        vm.warp(_deadline + 1);
        (bool isSuccess,) = address(court).call(_timeoutData);
        vm.assertTrue(isSuccess);
        // Two slots of the dispute, the demand's, and the account that is paid would be cold.
        vm.assertLe(_transact(challenger, 0, data) + 3 * 2_100 + 2_600, COLLECT_GAS);
    }

    /// @dev At the base fee of the demand.
    function _assertPaid(bytes memory data, uint256 price) private {
        uint256 spent = _transact(address(operator), 0, data);
        spent += COLLECT_GAS;
        vm.assertLe(spent * BASE_FEE, price, "out of pocket");
        vm.assertLe(price, spent * (2 * BASE_FEE + REVEAL_TIP) * 14 / 10, "too dear");
    }

    /* A PROGRAM OF WHICH THERE IS ONLY ONE PATH */

    function _publish() private {
        for (uint256 i; i < 9; ++i) {
            _path.push(keccak256(abi.encode("path", i)));
        }
        bytes32 root = Trees.parent(keccak256(_header()), keccak256(_node()));
        for (uint256 i; i < 9; ++i) {
            root = Trees.parent(root, _path[i]);
        }
        IModelRegistry.Model memory large = _model();
        large.programRoot = root;
        toyModel = publisher.publish(large, "");
        _modelBytes = abi.encode(publisher, large);
    }

    function _header() private pure returns (bytes memory) {
        return abi.encodePacked(
            keccak256("exactum.program"),
            abi.encodePacked(uint64(1), uint64(VALUES), uint64(1), uint64(1)),
            _type(8),
            VALUES - 1,
            _type(8)
        );
    }

    function _node() private pure returns (bytes memory) {
        bytes32 tag = keccak256("exactum.node");
        bytes memory operand = abi.encodePacked(bytes32(0), _type(8), bytes32(0));
        return abi.encodePacked(
            tag,
            uint32(0x0200),
            uint64(0),
            uint32(2),
            uint32(0),
            bytes12(0),
            _type(ELEMENTS),
            operand,
            operand
        );
    }

    function _demandCall(Part memory part) private view returns (bytes memory) {
        bytes memory descriptors = abi.encodePacked(_header(), keccak256(_node()), _path);
        if (part.value != VALUE_TREE) {
            descriptors = abi.encodePacked(descriptors, _node(), keccak256(_header()), _path);
        }
        return abi.encodeCall(IDisputes.demand, (_refreshed(), part, _modelBytes, descriptors));
    }

    function _takeNew() private {
        _subject = _proposeToy(operator, _askToy(_options()), LIE);
        _id = _idOf(_subject.request);
        _key = court.keyOf(_subject);
    }

    /// @dev The only demand of a result of its own.
    function _askOfNew(Part memory part) private returns (IDisputes.Demand memory) {
        _takeNew();
        bytes memory data = _demandCall(part);
        uint256 price = court.priceOf(part, VALUES, _leaves());
        vm.recordLogs();
        vm.prank(challenger);
        (bool isSuccess, bytes memory error) = address(court).call{value: price}(data);
        if (!isSuccess) _bubble(error);
        return _demandIn(vm.getRecordedLogs());
    }

    /// @dev The first answer is the operator's word: any bytes will do.
    function _revealCall(IDisputes.Demand memory demand) private view returns (bytes memory) {
        bool isLeaves = demand.part.height == LEAVES;
        bytes memory data = new bytes(demand.part.count * (isLeaves ? 128 : 32));
        for (uint256 i; i < data.length; ++i) {
            data[i] = bytes1(uint8(1 + i % 255));
        }
        uint256 levels = isLeaves ? 15 : 7;
        for (uint256 count = demand.part.count; count > 1; count /= 2) {
            --levels;
        }
        bytes32[] memory siblings = new bytes32[](levels + 10);
        for (uint256 i; i < siblings.length; ++i) {
            siblings[i] = keccak256(abi.encode(i));
        }
        return abi.encodeCall(IDisputes.reveal, (_refreshed(), demand, data, siblings));
    }

    function _leaves() private pure returns (uint256) {
        return (ELEMENTS * 4 + 127) / 128;
    }

    function _type(uint256 count) private pure returns (bytes32) {
        return bytes32((uint256(1) << 248) | (uint256(1) << 240) | (count << 208));
    }
}
