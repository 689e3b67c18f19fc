// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Claim, IReferee, Verdict} from "./interfaces/IReferee.sol";
import {DescriptorLibrary, Header, NodeRecord} from "./libraries/Descriptor.sol";
import {Merkle} from "./libraries/Merkle.sol";
import {Reader, ReaderLibrary} from "./libraries/Reader.sol";
import {TensorType} from "./libraries/TensorType.sol";

/// @title The referee
/// @notice Hands each proof to the contract of its op's family, which judges it: together they would not fit into one.
contract Referee is IReferee {
    /// @dev In the order of their numbers, the high byte of an op.
    struct Families {
        IReferee linear;
        IReferee elementwise;
        IReferee transcendental;
        IReferee reduce;
        IReferee movement;
        IReferee window;
        IReferee trees;
        IReferee quantized;
        IReferee functions;
    }

    IReferee public immutable LINEAR;
    IReferee public immutable ELEMENTWISE;
    IReferee public immutable TRANSCENDENTAL;
    IReferee public immutable REDUCE;
    IReferee public immutable MOVEMENT;
    IReferee public immutable WINDOW;
    IReferee public immutable TREES;
    IReferee public immutable QUANTIZED;
    IReferee public immutable FUNCTIONS;

    constructor(Families memory families) {
        LINEAR = families.linear;
        ELEMENTWISE = families.elementwise;
        TRANSCENDENTAL = families.transcendental;
        REDUCE = families.reduce;
        MOVEMENT = families.movement;
        WINDOW = families.window;
        TREES = families.trees;
        QUANTIZED = families.quantized;
        FUNCTIONS = families.functions;
    }

    /// @inheritdoc IReferee
    /// @dev The family finds out what of the proof is true. Here a lie only chooses a family that will refuse it.
    function judge(Claim calldata, bytes calldata proof) external view returns (Verdict memory) {
        _pass(_opOf(proof));
    }

    /// @inheritdoc IReferee
    function typeOf(bytes calldata record) external view returns (TensorType) {
        _pass(DescriptorLibrary.takeNode(ReaderLibrary.readerOf(record)).op);
    }

    /// @dev The call as it came: decoding and encoding again would copy a large proof for nothing.
    function _pass(uint256 op) private view {
        address family = address(_familyOf(op));
        assembly {
            calldatacopy(0, 0, calldatasize())
            let done := staticcall(gas(), family, 0, calldatasize(), 0, 0)
            returndatacopy(0, 0, returndatasize())
            if iszero(done) { revert(0, returndatasize()) }
            return(0, returndatasize())
        }
    }

    function _opOf(bytes calldata proof) private pure returns (uint256) {
        Reader memory reader = ReaderLibrary.readerOf(proof);
        reader.take(1, "claim");
        Header memory header = DescriptorLibrary.takeHeader(reader);
        reader.take(Merkle.depthOf(header.nodes + 1), "header");
        NodeRecord memory record = DescriptorLibrary.takeNode(reader);
        return record.op;
    }

    function _familyOf(uint256 op) private view returns (IReferee) {
        uint256 family = op >> 8;
        if (family == 0x01) return LINEAR;
        if (family == 0x02) return ELEMENTWISE;
        if (family == 0x03) return TRANSCENDENTAL;
        if (family == 0x04) return REDUCE;
        if (family == 0x05) return MOVEMENT;
        if (family == 0x06) return WINDOW;
        if (family == 0x07) return TREES;
        if (family == 0x08) return QUANTIZED;
        if (family == 0x09) return FUNCTIONS;
        revert UnknownOp(op);
    }
}
