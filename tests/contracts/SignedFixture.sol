// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {SignedOptions} from "../../contracts/interfaces/IInferenceQueue.sol";
import {ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {Signature} from "../../contracts/libraries/Answer.sol";
import {Proposal} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {RequestId} from "../../contracts/libraries/RequestState.sol";
import {TestConsumer} from "./actors/Consumers.sol";
import {Fixture, Queue} from "./Fixture.sol";
import {rootOf} from "./RootOf.sol";

/// @title SignedFixture
/// @notice An operator that signs with a key of its own, and one, a contract, that has named a signer.
abstract contract SignedFixture is Fixture {
    uint256 internal constant ORDER =
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    uint64 internal constant CALLERS = 1 << 63;

    address internal author;
    address internal signer;

    function setUp() public virtual override {
        super.setUp();
        author = _actor("author");
        signer = _actor("signer");
        vm.deal(author, STAKE);
        vm.prank(author);
        queue.stake{value: STAKE}();
        operator.setSigner(signer, STAKE);
    }

    function _signedOptions() internal view returns (SignedOptions memory) {
        return _signedOptionsFor(author);
    }

    function _signedOptionsFor(address who) internal view returns (SignedOptions memory) {
        uint64 deadline = uint64(_time() + 10 minutes);
        return SignedOptions(who, BOND, WINDOW, deadline, 0, address(0), 0, 1);
    }

    /// @dev What `infer` makes of that.
    function _signedRequest(address who, uint256 fee, SignedOptions memory options)
        internal
        view
        returns (Request memory)
    {
        address refundTo = options.refundTo == address(0) ? who : options.refundTo;
        return Request({
            model: model,
            terms: registry.termsOf(model),
            inputRoot: rootOf(INPUT),
            consumerAndFee: (uint256(uint160(who)) << 96) | fee,
            operatorAndBond: (uint256(uint160(options.operator)) << 96) | options.bond,
            refundToAndLengths: (uint256(uint160(refundTo)) << 96) | (INPUT.length << 32)
                | OUTPUT.length,
            timing: (uint256(options.deadline) << 192) | (uint256(options.window) << 160)
                | (uint256(options.callbackGas) << 128) | (uint256(options.nonce | CALLERS) << 64)
        });
    }

    /// @dev The digest of EIP-712, as its own text has it.
    function _digest(Queue where, RequestId id, bytes memory output, uint32 epoch)
        internal
        view
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Exactum"),
                keccak256("1"),
                block.chainid,
                where
            )
        );
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "Answer(bytes32 requestId,bytes32 outputRoot,uint32 outputLength,uint32 epoch)"
                ),
                id,
                rootOf(output),
                output.length,
                epoch
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }

    function _sign(string memory name, bytes32 digest) internal pure returns (Signature memory) {
        (uint8 v, bytes32 r, bytes32 s) = cheats.sign(uint256(keccak256(bytes(name))), digest);
        return Signature(r, bytes32((uint256(v - 27) << 255) | uint256(s)));
    }

    function _signed(string memory name, Request memory request, bytes memory output)
        internal
        view
        returns (Signature memory)
    {
        address who = address(uint160(request.operatorAndBond >> 96));
        uint32 epoch = queue.accountOf(who).epoch;
        return _sign(name, _digest(queue, _idOf(request), output, epoch));
    }

    function _signed(SignedOptions memory options) internal view returns (Signature memory) {
        return _signed("author", _signedRequest(address(consumer), FEE, options), OUTPUT);
    }

    /// @dev The consumer uses what the author signed for it.
    function _infer(SignedOptions memory options)
        internal
        returns (Request memory request, Proposal memory proposal)
    {
        request = _signedRequest(address(consumer), FEE, options);
        proposal = _proposalOf(options.operator, request);
        _infer(consumer, options, OUTPUT, _signed(options));
    }

    function _infer(
        TestConsumer who,
        SignedOptions memory options,
        bytes memory output,
        Signature memory signature
    ) internal returns (RequestId) {
        return who.useSigned{value: FEE}(model, INPUT, options, output, signature);
    }

    /// @dev So that a revert can be expected of the call, and not of what leads to it.
    function infer(
        TestConsumer who,
        ModelId what,
        SignedOptions memory options,
        bytes memory output,
        Signature memory signature
    ) external payable returns (RequestId) {
        return who.useSigned{value: msg.value}(what, INPUT, options, output, signature);
    }
}
