// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReferee, Verdict} from "../../contracts/interfaces/IReferee.sol";
import {Prover} from "./actors/Prover.sol";
import {Cheats} from "./Cheats.sol";
import {Test} from "./Test.sol";

/// @title RefereeFixture
/// @notice The referee with its families, and somebody who can prove anything.
abstract contract RefereeFixture is Test {
    Cheats internal constant cheats =
        Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint8 internal constant INPUT = 0;
    uint8 internal constant CONSTANT = 1;
    uint8 internal constant VALUE = 2;

    uint256 internal constant FLOAT = 1;
    uint256 internal constant UINT8 = 2;
    uint256 internal constant INT8 = 3;
    uint256 internal constant INT32 = 6;
    uint256 internal constant INT64 = 7;
    uint256 internal constant BOOL = 9;

    IReferee internal referee;
    Prover internal prover;

    function setUp() public virtual {
        bytes memory families;
        string[9] memory names = [
            "Linear",
            "Elementwise",
            "Transcendental",
            "Reduce",
            "Movement",
            "Window",
            "Trees",
            "Quantized",
            "Functions"
        ];
        for (uint256 i; i < names.length; ++i) {
            families = abi.encodePacked(families, abi.encode(_family(names[i])));
        }
        referee = IReferee(cheats.deployCode("contracts/Referee.sol:Referee", families));
        prover = new Prover();
    }

    function _judge(bytes memory proof) internal view returns (Verdict memory) {
        return referee.judge(prover.claim(), proof);
    }

    function _assertVerdict(Verdict memory verdict, uint256 claimed, uint256 expected)
        internal
        pure
    {
        vm.assertEq(verdict.claimed, claimed, "claimed");
        vm.assertEq(verdict.expected, expected, "expected");
    }

    function _type(uint256 dtype) internal pure returns (uint256) {
        return dtype << 248;
    }

    function _type(uint256 dtype, uint256 a) internal pure returns (uint256) {
        return (dtype << 248) | (1 << 240) | (a << 208);
    }

    function _type(uint256 dtype, uint256 a, uint256 b) internal pure returns (uint256) {
        return (dtype << 248) | (2 << 240) | (a << 208) | (b << 176);
    }

    function _type(uint256 dtype, uint256 a, uint256 b, uint256 c) internal pure returns (uint256) {
        return (dtype << 248) | (3 << 240) | (a << 208) | (b << 176) | (c << 144);
    }

    function _words(uint32 a, uint32 b, uint32 c, uint32 d) internal pure returns (bytes memory) {
        return abi.encodePacked(a, b, c, d);
    }

    function _operand(uint8 kind, uint32 index, uint256 type_)
        internal
        pure
        returns (Prover.Operand memory)
    {
        return Prover.Operand(kind, index, type_);
    }

    function _reads(uint256 operand, uint256 first, uint256 count)
        internal
        pure
        returns (Prover.Read[] memory list)
    {
        list = new Prover.Read[](1);
        list[0] = Prover.Read(operand, first, count);
    }

    function _and(Prover.Read[] memory list, uint256 operand, uint256 first, uint256 count)
        internal
        pure
        returns (Prover.Read[] memory longer)
    {
        longer = new Prover.Read[](list.length + 1);
        for (uint256 i; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = Prover.Read(operand, first, count);
    }

    function _addNode(uint32 op, uint256 type_, Prover.Operand memory a, bytes memory value)
        internal
        returns (uint32)
    {
        return prover.addNode(Prover.Node(op, type_, _list(a), new int256[](0), value));
    }

    function _addNode(
        uint32 op,
        uint256 type_,
        Prover.Operand memory a,
        Prover.Operand memory b,
        bytes memory value
    ) internal returns (uint32) {
        return prover.addNode(Prover.Node(op, type_, _list(a, b), new int256[](0), value));
    }

    function _list(Prover.Operand memory a) internal pure returns (Prover.Operand[] memory list) {
        list = new Prover.Operand[](1);
        list[0] = a;
    }

    function _list(Prover.Operand memory a, Prover.Operand memory b)
        internal
        pure
        returns (Prover.Operand[] memory list)
    {
        list = new Prover.Operand[](2);
        (list[0], list[1]) = (a, b);
    }

    /// @dev Zero while the family is not written.
    function _family(string memory name) private returns (address) {
        string memory path = string.concat("contracts/ops/", name, ".sol:", name);
        try cheats.deployCode(path, "") returns (address family) {
            return family;
        } catch {
            return address(0);
        }
    }
}
