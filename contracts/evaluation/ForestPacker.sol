// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev The table of a TREE_WALK in the shape in which `Forest` walks it: whole trees, ten bytes a node.
///
///     node        32 times the feature (16 bits), plus one where NaN goes above ‖ the key of the threshold (32) ‖ where
///                 x ≤ threshold leads (16) ‖ where x > threshold leads (16): places in bytes of the piece
///     leaf        0xffff (16) ‖ what it gives (32), and zeros
///
/// Keys are in the order of the numbers, and that of a NaN is above all of them. A node leads to nodes behind it in the
/// same piece, so that each walk ends.
library ForestPacker {
    uint256 internal constant SIZE = 10;
    uint256 internal constant LEAF = 65_535;
    /// @dev Nodes of a piece.
    uint256 internal constant MOST_NODES = 2457;
    uint256 internal constant MOST_FEATURES = 2046;

    /// @param node Of the table: it leads before itself, out of its piece, by a third way where x is NaN, or by a
    /// feature beyond `MOST_FEATURES`.
    error NotPacked(uint256 node);

    /// @param raw Offset in memory of node `first` of the table, eight int32 a node.
    /// @param count Nodes, `MOST_NODES` at most.
    /// @return stream Offset of the packed nodes, in memory that is allocated for them.
    /// @return steps The most comparisons of a walk from any of them.
    /// @return features One more than the greatest feature that they compare.
    function pack(uint256 raw, uint256 first, uint256 count)
        internal
        pure
        returns (uint256 stream, uint256 steps, uint256 features)
    {
        uint256 wrong;
        assembly ("memory-safe") {
            stream := add(mload(0x40), 32)
            // A word a node behind the stream: the most comparisons from there on.
            let depths := add(stream, add(mul(count, SIZE), 32))
            mstore(0x40, depths)
            for { let i := count } i {} {
                i := sub(i, 1)
                let node := mload(add(raw, shl(5, i)))
                let below := sub(and(shr(160, node), 0xffffffff), first)
                let above := sub(and(shr(128, node), 0xffffffff), first)
                let missing := sub(and(shr(96, node), 0xffffffff), first)
                let packed
                let depth := 0
                switch eq(below, i)
                case 1 { packed := or(shl(240, LEAF), shl(208, and(shr(64, node), 0xffffffff))) }
                default {
                    let feature := shr(224, node)
                    // Both lead on, by `i < place < count`, and where NaN leads is one of them.
                    let isWrong :=
                        iszero(
                            and(
                                and(
                                    and(gt(below, i), lt(below, count)),
                                    and(gt(above, i), lt(above, count))
                                ),
                                and(
                                    or(eq(missing, below), eq(missing, above)),
                                    lt(feature, MOST_FEATURES)
                                )
                            )
                        )
                    if isWrong {
                        wrong := add(add(first, i), 1)
                        break
                    }
                    let key := and(shr(192, node), 0xffffffff)
                    let size := and(key, 0x7fffffff)
                    // What is negative is turned round; -0 is 0.
                    key := xor(key, or(0x80000000, mul(0xffffffff, and(shr(31, key), gt(size, 0)))))
                    if iszero(size) { key := 0x80000000 }
                    if gt(size, 0x7f800000) { key := 0xffffffff }
                    packed := or(
                        or(shl(240, or(shl(5, feature), eq(missing, above))), shl(208, key)),
                        or(shl(192, mul(SIZE, below)), shl(176, mul(SIZE, above)))
                    )
                    if iszero(lt(feature, features)) { features := add(feature, 1) }
                    depth := mload(add(depths, shl(5, below)))
                    let other := mload(add(depths, shl(5, above)))
                    if gt(other, depth) { depth := other }
                    depth := add(depth, 1)
                    if gt(depth, steps) { steps := depth }
                }
                mstore(add(depths, shl(5, i)), depth)
                // From the last to the first, so what is written beyond a node is written again.
                let to := add(stream, mul(SIZE, i))
                mstore(to, or(packed, shr(80, shl(80, mload(to)))))
            }
        }
        if (wrong != 0) revert NotPacked(wrong - 1);
    }
}
