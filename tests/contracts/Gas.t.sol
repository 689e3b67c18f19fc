// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IModelRegistry, ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {Part} from "../../contracts/libraries/Part.sol";
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
    IInferenceQueue.Proposal internal _proposal;

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
        IInferenceQueue.Proposal memory proposal = _proposal;
        vm.warp(proposal.settleAt);
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
        vm.warp(_proposal.settleAt);
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

    uint256 private constant BASE = 21_000;

    bytes private _demandData;
    bytes private _revealNodes;
    bytes private _revealLeaves;
    bytes private _revealOneLeaf;
    bytes private _revealMost;
    bytes private _timeoutData;
    bytes private _collectData;
    uint256 private _prepaid;
    uint256[4] private _prices;
    uint256 private _deadline;
    bytes32[] private _path;

    function setUp() public override {
        super.setUp();
        _publish();
        // Where ether has been burned before.
        vm.deal(BURN_ADDRESS, 1);
        _subject = _proposeToy(operator, _askToy(_options()), LIE);
        _id = _idOf(_subject.request);
        _key = court.keyOf(_subject);

        Part memory first = Part(0, 8, 0, 64);
        _demandData = _demandCall(first);
        _prepaid = court.priceOf(first, VALUES, _leaves());
        IDisputes.Demand memory demand = _ask(first);
        _deadline = demand.deadline;
        _timeoutData = abi.encodeCall(IDisputes.timeout, (_refreshed(), demand));
        _collectData = abi.encodeCall(IDisputes.collect, (demand));
        _revealNodes = _revealCall(demand);
        _revealLeaves = _revealCall(_ask(Part(0, LEAVES, 0, 8)));
        _revealOneLeaf = _revealCall(_ask(Part(0, LEAVES, 0, 1)));
        _revealMost = _revealCall(_ask(Part(0, LEAVES, 0, 64)));
        _prices[0] = _prepaid;
        _prices[1] = court.priceOf(Part(0, LEAVES, 0, 8), VALUES, _leaves());
        _prices[2] = court.priceOf(Part(0, LEAVES, 0, 1), VALUES, _leaves());
        _prices[3] = court.priceOf(Part(0, LEAVES, 0, 64), VALUES, _leaves());
        // Another of the operator's results, of which nothing is demanded yet.
        _subject = _proposeToy(operator, _askToy(_options()), LIE);
        _key = court.keyOf(_subject);
        _demandData = _demandCall(first);
    }

    function test_gas_demand() external {
        bytes memory data = _demandData;
        uint256 price = _prepaid;
        vm.assertLe(_transact(challenger, price, data), 130_000);
    }

    function test_gas_revealOf64Nodes() external {
        _assertPaid(_revealNodes, _prices[0]);
    }

    function test_gas_revealOf8Leaves() external {
        _assertPaid(_revealLeaves, _prices[1]);
    }

    function test_gas_revealOf1Leaf() external {
        _assertPaid(_revealOneLeaf, _prices[2]);
    }

    function test_gas_revealOf64Leaves() external {
        _assertPaid(_revealMost, _prices[3]);
    }

    function test_gas_timeout() external {
        bytes memory data = _timeoutData;
        vm.warp(_deadline + 1);
        vm.assertLe(_transact(challenger, 0, data), 145_000);
    }

    function test_gas_commitFraud() external {
        bytes memory data = abi.encodeCall(IDisputes.commitFraud, (keccak256("commitment")));
        vm.assertLe(_transact(challenger, 0, data), 46_500);
    }

    /// @dev What it takes to slash an operator that says nothing: two transactions.
    function test_gas_silentOperator_costsItsChallengerLessThan300k() external {
        (bytes memory data, bytes memory timeout) = (_demandData, _timeoutData);
        uint256 demand = _transact(challenger, _prepaid, data);
        vm.warp(_deadline + 1);
        vm.assertLe(demand + _transact(challenger, 0, timeout), 300_000);
    }

    /// @dev At the base fee of the demand, even if the last answer came from elsewhere.
    function _assertPaid(bytes memory data, uint256 price) private {
        uint256 spent = _transact(address(operator), 0, data);
        bytes memory collect = _collectData;
        spent += BASE + _calldataGas(collect, 4) + 40_000;
        vm.assertLe(spent * BASE_FEE, price, "out of pocket");
        vm.assertLe(price, spent * (2 * BASE_FEE + REVEAL_TIP) * 14 / 10, "too dear");
    }

    /// @return What the transaction costs, with its calldata (EIP-7623).
    function _transact(address who, uint256 value, bytes memory data) private returns (uint256) {
        address to = address(court);
        // A transaction's recipient is warm.
        to.balance;
        vm.prank(who);
        uint256 before = gasleft();
        (bool isSuccess, bytes memory error) = to.call{value: value}(data);
        uint256 executed = before - gasleft();
        if (!isSuccess) _bubble(error);
        uint256 standard = executed + _calldataGas(data, 4);
        uint256 floor = _calldataGas(data, 10);
        uint256 gas_ = BASE + (standard > floor ? standard : floor);
        emit Gas(gas_, executed, data.length);
        return gas_;
    }

    event Gas(uint256 transaction, uint256 executed, uint256 bytes_);

    function _calldataGas(bytes memory data, uint256 price) private pure returns (uint256 gas_) {
        for (uint256 i; i < data.length; ++i) {
            gas_ += data[i] == 0 ? price : 4 * price;
        }
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
        bytes memory descriptors = abi.encodePacked(
            abi.encodePacked(_header(), keccak256(_node()), _path),
            abi.encodePacked(_node(), keccak256(_header()), _path)
        );
        return abi.encodeCall(IDisputes.demand, (_refreshed(), part, _modelBytes, descriptors));
    }

    function _ask(Part memory part) private returns (IDisputes.Demand memory) {
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
