// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "./RootOf.sol";
import {IDisputes} from "../../contracts/interfaces/IDisputes.sol";
import {IInferenceQueue, Options} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IModelRegistry, ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {Part, PartLibrary} from "../../contracts/libraries/Part.sol";
import {Proposal} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../contracts/libraries/RequestState.sol";
import {HonestOperator} from "./actors/HonestOperator.sol";
import {Fixture, Queue} from "./Fixture.sol";
import {Vm} from "./Test.sol";
import {Toy} from "./toy/Toy.sol";
import {ToyReferee} from "./toy/ToyReferee.sol";

/// @title DisputeFixture
/// @notice A queue with disputes behind it, a toy model, and one result of it: `_subject`.
abstract contract DisputeFixture is Fixture {
    uint256 internal constant REVEAL_PERIOD = 30 minutes;
    uint256 internal constant REACTION_PERIOD = 45 minutes;
    uint256 internal constant EXTENSION_LIMIT = 6 hours;
    uint256 internal constant REVEAL_TIP = 1 gwei;
    uint256 internal constant BASE_FEE = 10 gwei;
    uint64 internal constant SUSPENDED = uint64(type(int64).max);
    uint32 internal constant VALUE_TREE = PartLibrary.VALUE_TREE;
    uint8 internal constant LEAVES = PartLibrary.LEAVES;
    bytes32 internal constant SALT = keccak256("salt");
    /// @dev The node whose element 0 a liar gets wrong, and what follows from it.
    uint256 internal constant LIE = 3;

    IDisputes internal court;
    ModelId internal toyModel;
    bytes internal _modelBytes;
    IDisputes.Subject internal _subject;
    RequestId internal _id;
    bytes32 internal _key;
    /// @dev What was computed once, since it takes a million gas.
    mapping(uint256 lie => bytes[]) internal _runs;

    function setUp() public virtual override {
        super.setUp();
        cheats.fee(BASE_FEE);
        vm.roll(1000);
        IModelRegistry.Model memory toy = _model();
        toy.programRoot = Toy.programRoot();
        toyModel = publisher.publish(toy, "");
        _modelBytes = abi.encode(publisher, toy);
        _runs[LIE] = Toy.run(rootOf(INPUT), LIE);
        _runs[Toy.NODES] = Toy.run(rootOf(INPUT), Toy.NODES);
        vm.deal(challenger, 10 ether);
        vm.deal(stranger, 10 ether);
        _lie();
    }

    function _deployReferee() internal virtual returns (address) {
        return address(new ToyReferee());
    }

    function _deployQueue() internal virtual override returns (Queue made) {
        address referee = _deployReferee();
        uint256 nonce = cheats.getNonce(address(this));
        disputes = cheats.computeCreateAddress(address(this), nonce);
        address expected = cheats.computeCreateAddress(address(this), nonce + 1);
        bytes memory arguments = abi.encode(
            expected, referee, REVEAL_PERIOD, REACTION_PERIOD, EXTENSION_LIMIT, REVEAL_TIP
        );
        vm.assertEq(cheats.deployCode("Disputes.sol:Disputes", arguments), disputes);
        court = IDisputes(disputes);
        made = super._deployQueue();
        vm.assertEq(address(made), expected);
    }

    /* WHAT IS DISPUTED */

    /// @dev The operator proposes what it makes of a lie in one node; `Toy.NODES` is honest.
    function _take(uint256 lie) internal {
        _take(operator, _askToy(_options()), lie);
    }

    function _lie() internal {
        _take(LIE);
    }

    function _answerHonestly() internal {
        _take(Toy.NODES);
    }

    function _take(HonestOperator who, Request memory request, uint256 lie) internal {
        _subject = _proposeToy(who, request, lie);
        _id = _idOf(request);
        _key = court.keyOf(_subject);
    }

    function _askToy(Options memory options) internal returns (Request memory) {
        return _ask(consumer, toyModel, FEE, options);
    }

    function _proposeToy(HonestOperator who, Request memory request, uint256 lie)
        internal
        returns (IDisputes.Subject memory)
    {
        bytes memory output = _output(lie);
        Proposal memory proposal = _proposalOf(address(who), request);
        who.propose(request, output);
        return IDisputes.Subject(request, proposal, rootOf(output));
    }

    function _output(uint256 lie) internal view returns (bytes memory) {
        return Toy.output(_run(lie));
    }

    /// @return What the nodes give where `lie` is wrong.
    function _run(uint256 lie) internal view returns (bytes[] memory) {
        return _runs[lie].length == 0 ? Toy.run(rootOf(INPUT), lie) : _runs[lie];
    }

    /// @dev `_subject` with the window as it is now.
    function _refreshed() internal view returns (IDisputes.Subject memory subject) {
        subject = _subject;
        (, uint256 open, uint256 settleAt, bool isConvicted) = court.disputeOf(_key);
        if (open != 0) {
            subject.proposal.window = subject.proposal.window.movedTo(SUSPENDED);
        } else if (settleAt != 0 && !isConvicted) {
            subject.proposal.window = subject.proposal.window.movedTo(uint64(settleAt));
        }
    }

    /* STEPS */

    /// @dev The roots of all values: what a challenger asks for first.
    function _roots() internal pure returns (Part memory) {
        return Part(VALUE_TREE, 0, 0, uint32(Toy.NODES));
    }

    function _demand() internal returns (IDisputes.Demand memory) {
        return _demand(challenger, _roots());
    }

    function _demand(address who, Part memory part) internal returns (IDisputes.Demand memory) {
        return _demand(who, part, _price(part));
    }

    function _demand(address who, Part memory part, uint256 prepaid)
        internal
        returns (IDisputes.Demand memory)
    {
        bytes memory data = _demandCall(_refreshed(), part);
        vm.recordLogs();
        vm.prank(who);
        (bool isSuccess, bytes memory error) = address(court).call{value: prepaid}(data);
        if (!isSuccess) _bubble(error);
        return _demandIn(vm.getRecordedLogs());
    }

    function _demandCall(IDisputes.Subject memory subject, Part memory part)
        internal
        view
        returns (bytes memory)
    {
        // A value that does not exist has no descriptor: the header's will do to be refused.
        bool isNode = part.value < Toy.NODES;
        bytes memory descriptors = Toy.descriptors(isNode ? part.value : VALUE_TREE);
        return abi.encodeCall(IDisputes.demand, (subject, part, _modelBytes, descriptors));
    }

    function _demandIn(Vm.Log[] memory logs) internal pure returns (IDisputes.Demand memory) {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != IDisputes.PartDemanded.selector) continue;
            return abi.decode(logs[i].data, (IDisputes.Demand));
        }
        revert("no PartDemanded");
    }

    function _price(Part memory part) internal view returns (uint256) {
        return court.priceOf(part, Toy.NODES, part.value < Toy.NODES ? Toy.leaves(part.value) : 0);
    }

    function _reveal(IDisputes.Demand memory demand) internal {
        _reveal(address(operator), demand, LIE);
    }

    function _reveal(address who, IDisputes.Demand memory demand, uint256 lie) internal {
        (bytes memory data, bytes32[] memory siblings) = Toy.open(_run(lie), demand.part);
        _reveal(who, demand, data, siblings);
    }

    function _reveal(
        address who,
        IDisputes.Demand memory demand,
        bytes memory data,
        bytes32[] memory siblings
    ) internal {
        IDisputes.Subject memory subject = _refreshed();
        vm.prank(who);
        court.reveal(subject, demand, data, siblings);
    }

    function _timeout(IDisputes.Demand memory demand) internal {
        court.timeout(_refreshed(), demand);
    }

    /// @dev Demands the roots, and lets the time for the answer pass.
    function _convictBySilence() internal returns (IDisputes.Demand memory demand) {
        demand = _demand();
        vm.warp(demand.deadline + 1);
        _timeout(demand);
    }

    /* PROOFS */

    /// @dev That element 0 of `node` is not what follows from the trace of a lie.
    function _proof(uint256 node, uint256 lie) internal view returns (bytes memory) {
        bytes[] memory values = _run(lie);
        ToyReferee.Proof memory proof;
        (proof.isOutput, proof.node) = (node == Toy.LAST, node);
        proof.claimed = _opened(values, node, 0);
        if (node != 0) proof.operand = _opened(values, node - 1, Toy.operandOf(node, 0));
        return abi.encode(proof);
    }

    function _opened(bytes[] memory values, uint256 node, uint256 element)
        internal
        pure
        returns (ToyReferee.Opened memory)
    {
        (bytes memory data, bytes32[] memory siblings) = Toy.open(values, Toy.leafOf(node, element));
        return ToyReferee.Opened(data, siblings);
    }

    function _commitment(address who, bytes32 key, bytes memory proof)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(who, key, keccak256(proof), SALT));
    }

    function _commit(address who, bytes memory proof) internal {
        vm.prank(who);
        court.commitFraud(_commitment(who, _key, proof));
        vm.roll(cheats.getBlockNumber() + 1);
    }

    function _prove(address who, bytes memory proof) internal {
        _prove(who, _refreshed(), proof);
    }

    function _prove(address who, IDisputes.Subject memory subject, bytes memory proof) internal {
        vm.prank(who);
        court.proveFraud(subject, _modelBytes, proof, SALT);
    }

    /// @dev The whole way of an honest challenger, for a lie that its operator does not deny.
    function _convictByProof() internal returns (IDisputes.Demand memory demand) {
        demand = _demand();
        _reveal(demand);
        bytes memory proof = _proof(LIE, LIE);
        _commit(challenger, proof);
        _prove(challenger, proof);
    }

    /* GAS */

    event TransactionMeasured(uint256 gas_, uint256 executed, uint256 size);

    /// @return gas_ What the transaction costs, with its calldata (EIP-7623).
    function _transact(address who, uint256 value, bytes memory data)
        internal
        returns (uint256 gas_)
    {
        address to = address(court);
        // A transaction's recipient is warm, and its value costs nothing more.
        vm.assertLe(to.balance, type(uint96).max);
        vm.prank(who);
        vm.resumeGasMetering();
        uint256 before = gasleft();
        (bool isSuccess, bytes memory error) = to.call{value: value}(data);
        uint256 executed = before - gasleft() - (value == 0 ? 0 : 6_700);
        vm.pauseGasMetering();
        if (!isSuccess) _bubble(error);
        uint256 standard = executed + _calldataGas(data, 4);
        uint256 floor = _calldataGas(data, 10);
        gas_ = 21_000 + (standard > floor ? standard : floor);
        emit TransactionMeasured(gas_, executed, data.length);
    }

    function _calldataGas(bytes memory data, uint256 price) internal pure returns (uint256 gas_) {
        for (uint256 i; i < data.length; ++i) {
            gas_ += data[i] == 0 ? price : 4 * price;
        }
    }

    /* WHAT IS SEEN */

    function _assertDispute(uint256 open, uint256 settleAt, bool isConvicted) internal view {
        (, uint256 actualOpen, uint256 actualSettleAt, bool isActual) = court.disputeOf(_key);
        vm.assertEq(actualOpen, open, "open demands");
        vm.assertEq(actualSettleAt, settleAt, "settleAt");
        vm.assertEq(isActual, isConvicted);
    }

    function _traceRoot() internal view returns (bytes32 traceRoot) {
        (traceRoot,,,) = court.disputeOf(_key);
    }

    function _expect(bytes4 selector, bytes memory arguments) internal {
        vm.expectRevert(abi.encodePacked(selector, arguments));
    }

    function _bubble(bytes memory error) internal pure {
        assembly ("memory-safe") {
            revert(add(error, 32), mload(error))
        }
    }
}
