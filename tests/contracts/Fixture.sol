// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "./RootOf.sol";
import {IInferenceQueue, Options} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IModelRegistry, ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {IOperatorStaking} from "../../contracts/interfaces/IOperatorStaking.sol";
import {OriginLibrary, Proposal, WindowLibrary} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId, Status} from "../../contracts/libraries/RequestState.sol";
import {Cheats} from "./Cheats.sol";
import {RecordingConsumer, TestConsumer} from "./actors/Consumers.sol";
import {HonestOperator} from "./actors/HonestOperator.sol";
import {Publisher} from "./actors/Publisher.sol";
import {Test, Vm} from "./Test.sol";

/// @dev The two interfaces of the one account.
interface Queue is IInferenceQueue, IOperatorStaking {}

/// @title Fixture
/// @notice A registry, a queue and people around them. Contracts are deployed from their artifacts, so that a change in
/// one does not recompile every test.
abstract contract Fixture is Test {
    Cheats internal constant cheats =
        Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint96 internal constant MIN_BOND = 0.001 ether;
    uint96 internal constant BOND = 0.01 ether;
    uint96 internal constant STAKE = 1 ether;
    uint96 internal constant FEE = 0.005 ether;
    uint96 internal constant ROYALTY = 0.001 ether;
    uint32 internal constant MIN_WINDOW = 60;
    uint32 internal constant MAX_WINDOW = 7 days;
    uint32 internal constant WINDOW = 1 hours;
    uint32 internal constant TIMEOUT = 1 days;
    uint32 internal constant CALLBACK_GAS = 200_000;
    uint256 internal constant WITHDRAWAL_DELAY = 3 days;
    uint256 internal constant MAX_CALLBACK_GAS = 10_000_000;
    uint256 internal constant MAX_TIMEOUT = 365 days;
    uint256 internal constant START = 1_800_000_000;
    /// @dev The block's, which requests take for their entropy.
    uint256 internal constant PREVRANDAO = uint256(keccak256("prevrandao"));
    address internal constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;

    bytes internal constant INPUT =
        hex"3f80000040000000404000004080000040a0000040c0000040e0000041000000";
    bytes internal constant OUTPUT =
        hex"41000000410000004100000041000000410000004100000041000000deadbeef";
    bytes internal constant OTHER_OUTPUT =
        hex"000000003f8000007f800000ff8000007fc000000000000180000001ff7fffff";

    IModelRegistry internal registry;
    Queue internal queue;
    Publisher internal publisher;
    HonestOperator internal operator;
    HonestOperator internal rival;
    RecordingConsumer internal consumer;
    address internal disputes;
    address internal challenger;
    address internal stranger;

    /// @dev float32[1,8] in and out, EXACT, with a royalty.
    ModelId internal model;
    /// @dev float32[1,8] in; int64[1] and float32[1,2] out, VANILLA, without a royalty.
    ModelId internal mixedModel;

    function setUp() public virtual {
        vm.warp(START);
        cheats.prevrandao(PREVRANDAO);
        disputes = _actor("disputes");
        challenger = _actor("challenger");
        stranger = _actor("stranger");
        registry = IModelRegistry(cheats.deployCode("ModelRegistry.sol:ModelRegistry", ""));
        queue = _deployQueue();
        publisher = new Publisher(registry);
        model = publisher.publish(_model(), "ipfs://model");
        mixedModel = publisher.publish(_mixedModel(), "");
        operator = new HonestOperator(queue);
        rival = new HonestOperator(queue);
        consumer = new RecordingConsumer(queue);
        operator.stake{value: STAKE}();
        rival.stake{value: STAKE}();
    }

    function _deployQueue() internal virtual returns (Queue) {
        bytes memory arguments =
            abi.encode(registry, disputes, MIN_BOND, MIN_WINDOW, MAX_WINDOW, _withdrawalDelay());
        return Queue(cheats.deployCode("InferenceQueue.sol:InferenceQueue", arguments));
    }

    function _withdrawalDelay() internal pure virtual returns (uint256) {
        return WITHDRAWAL_DELAY;
    }

    /* WHAT IS ASKED */

    function _model() internal pure returns (IModelRegistry.Model memory) {
        return IModelRegistry.Model({
            name: "classifier",
            version: "1",
            programRoot: keccak256("program"),
            sourceHash: sha256("file"),
            generation: 0,
            inputs: _tensors("x", IModelRegistry.DType.FLOAT, 1, 8),
            outputs: _tensors("y", IModelRegistry.DType.FLOAT, 1, 8),
            assurance: IModelRegistry.Assurance.EXACT,
            royalty: ROYALTY
        });
    }

    function _mixedModel() internal pure returns (IModelRegistry.Model memory mixed) {
        mixed = _model();
        mixed.programRoot = 0;
        mixed.assurance = IModelRegistry.Assurance.VANILLA;
        mixed.royalty = 0;
        mixed.outputs = new IModelRegistry.Tensor[](2);
        mixed.outputs[0] = _tensors("label", IModelRegistry.DType.INT64, 1, 1)[0];
        mixed.outputs[1] = _tensors("probabilities", IModelRegistry.DType.FLOAT, 1, 2)[0];
    }

    function _tensors(string memory name, IModelRegistry.DType dtype, uint32 rows, uint32 columns)
        internal
        pure
        returns (IModelRegistry.Tensor[] memory tensors)
    {
        uint32[] memory shape = new uint32[](2);
        (shape[0], shape[1]) = (rows, columns);
        tensors = new IModelRegistry.Tensor[](1);
        tensors[0] = IModelRegistry.Tensor(name, dtype, shape);
    }

    /// @dev A model whose output is `columns` float32.
    function _publishWide(uint32 columns) internal returns (ModelId) {
        IModelRegistry.Model memory wide = _model();
        wide.outputs = _tensors("y", IModelRegistry.DType.FLOAT, 1, columns);
        return publisher.publish(wide, "");
    }

    function _options() internal pure returns (Options memory) {
        return Options(address(0), BOND, WINDOW, TIMEOUT, CALLBACK_GAS, address(0), 0, 0);
    }

    function _optionsFor(address chosen) internal pure returns (Options memory options) {
        options = _options();
        options.operator = chosen;
    }

    function _optionsWithGas(uint256 callbackGas) internal pure returns (Options memory options) {
        options = _options();
        options.callbackGas = uint32(callbackGas);
    }

    /* STEPS */

    function _ask() internal returns (Request memory) {
        return _ask(consumer, FEE, _options());
    }

    function _ask(TestConsumer who, uint256 fee, Options memory options)
        internal
        returns (Request memory)
    {
        return _ask(who, model, fee, options);
    }

    function _ask(TestConsumer who, ModelId what, uint256 fee, Options memory options)
        internal
        returns (Request memory)
    {
        vm.recordLogs();
        who.ask{value: fee}(what, INPUT, options);
        return _requestIn(vm.getRecordedLogs());
    }

    /// @dev The request that the last `RequestCreated` of `logs` tells of.
    function _requestIn(Vm.Log[] memory logs) internal pure returns (Request memory request) {
        for (uint256 i = logs.length; i > 0; --i) {
            if (logs[i - 1].topics[0] != IInferenceQueue.RequestCreated.selector) continue;
            (request,) = abi.decode(logs[i - 1].data, (Request, bytes));
            return request;
        }
        revert("no RequestCreated");
    }

    function _propose(Request memory request) internal returns (Proposal memory) {
        return _propose(operator, request);
    }

    function _propose(HonestOperator who, Request memory request)
        internal
        returns (Proposal memory proposal)
    {
        proposal = _proposalOf(address(who), request);
        who.propose(request, OUTPUT);
    }

    /// @dev What `propose` at this moment would make.
    function _proposalOf(address who, Request memory request)
        internal
        view
        returns (Proposal memory)
    {
        uint64 time = uint64(_time());
        return Proposal(
            OriginLibrary.pack(who, queue.accountOf(who).epoch, _outputLengthOf(request)),
            WindowLibrary.pack(time, time + uint32(request.timing >> 160))
        );
    }

    function _settle(Request memory request, Proposal memory proposal) internal {
        _warpToFinal(proposal);
        queue.settle(request, proposal, OUTPUT);
    }

    function _slash(Request memory request, Proposal memory proposal) internal {
        vm.prank(disputes);
        queue.slash(request, proposal, rootOf(OUTPUT), challenger);
    }

    function _expire(Request memory request) internal {
        vm.warp(_deadlineOf(request));
        queue.expire(request);
    }

    function _settlements(Request memory request, Proposal memory proposal)
        internal
        pure
        returns (IInferenceQueue.Settlement[] memory items)
    {
        items = new IInferenceQueue.Settlement[](1);
        items[0] = IInferenceQueue.Settlement(request, proposal, OUTPUT);
    }

    /* TIME */

    /// @dev The optimizer takes block.timestamp for a constant of the transaction; `warp` changes it.
    function _time() internal view returns (uint256) {
        return cheats.getBlockTimestamp();
    }

    function _skip(uint256 secondsOn) internal {
        vm.warp(_time() + secondsOn);
    }

    function _warpToFinal(Proposal memory proposal) internal {
        if (_time() < proposal.window.settleAt()) vm.warp(proposal.window.settleAt());
    }

    function _refundToOf(Request memory request) internal pure returns (address) {
        return address(uint160(request.refundToAndLengths >> 96));
    }

    function _outputLengthOf(Request memory request) internal pure returns (uint256) {
        return uint32(request.refundToAndLengths);
    }

    function _deadlineOf(Request memory request) internal pure returns (uint256) {
        return request.timing >> 192;
    }

    /* WHAT IS SEEN */

    function _idOf(Request memory request) internal view returns (RequestId) {
        return queue.idOf(request);
    }

    function _assertStatus(Request memory request, Status status) internal view {
        _assertStatus(request, status, false);
    }

    function _assertStatus(Request memory request, Status status, bool isCallbackOwed)
        internal
        view
    {
        (Status actual, bool isOwed) = queue.statusOf(queue.idOf(request));
        vm.assertEq(uint256(actual), uint256(status));
        vm.assertEq(isOwed, isCallbackOwed);
    }

    function _assertAccount(address who, uint256 staked, uint256 locked, uint256 epoch)
        internal
        view
    {
        IOperatorStaking.Account memory account = queue.accountOf(who);
        vm.assertEq(account.staked, staked, "staked");
        vm.assertEq(account.locked, locked, "locked");
        vm.assertEq(account.epoch, epoch, "epoch");
    }

    function _expectWrongStatus(Request memory request, Status actual, Status needed) internal {
        vm.expectRevert(_wrongStatus(request, actual, needed));
    }

    function _wrongStatus(Request memory request, Status actual, Status needed)
        internal
        view
        returns (bytes memory)
    {
        return abi.encodeWithSelector(
            IInferenceQueue.WrongStatus.selector, _idOf(request), actual, needed
        );
    }

    function _expectWrongProposal(Request memory request) internal {
        vm.expectRevert(
            abi.encodeWithSelector(IInferenceQueue.WrongProposal.selector, _idOf(request))
        );
    }
}
