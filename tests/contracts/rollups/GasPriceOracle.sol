// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @dev What chains of the OP stack have at 0x420000000000000000000000000000000000000F, as far as its specification goes
/// and we ask it: with prices that a test sets, where theirs come from L1.
contract GasPriceOracle {
    enum Fork {
        Ecotone,
        Fjord,
        Isthmus,
        Jovian
    }

    uint256 private constant SIGNATURE = 68;

    Fork private _fork;
    uint256 private _price;
    uint256 private _scalar;
    uint256 private _constant;

    /// @param price_ A byte of L1, in wei / 10^6.
    function set(Fork fork_, uint256 price_, uint256 scalar_, uint256 constant_) external {
        (_fork, _price, _scalar, _constant) = (fork_, price_, scalar_, constant_);
    }

    /// @dev Of forks before Fjord, which count zeros at a quarter. Later ones count what a compression leaves.
    function getL1Fee(bytes calldata data) external view returns (uint256) {
        require(_fork < Fork.Fjord);
        uint256 quarters = SIGNATURE * 4;
        for (uint256 i; i < data.length; ++i) {
            quarters += data[i] == 0 ? 1 : 4;
        }
        return quarters * _price / 4 / 1e6;
    }

    function getL1FeeUpperBound(uint256 unsignedTxSize) external view returns (uint256) {
        require(_fork >= Fork.Fjord);
        uint256 size = unsignedTxSize + SIGNATURE;
        uint256 compressed = 836_500 * (size + size / 255 + 16);
        uint256 estimated = compressed > 142_585_600 ? compressed - 42_585_600 : 100_000_000;
        return estimated * _price / 1e12;
    }

    /// @dev Contracts of earlier forks lack it, and revert too.
    function getOperatorFee(uint256 gasUsed) external view returns (uint256) {
        require(_fork >= Fork.Isthmus);
        uint256 scaled = gasUsed * _scalar;
        return (_fork == Fork.Jovian ? scaled * 100 : scaled / 1e6) + _constant;
    }
}
