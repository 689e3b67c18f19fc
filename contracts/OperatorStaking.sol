// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IOperatorStaking} from "./interfaces/IOperatorStaking.sol";

/// @title OperatorStaking
/// @dev The money half of the queue, in the same account: a call between two contracts and a second ledger for fees
/// would cost 12,000 gas an inference (docs/decisions.md). Everything that touches a balance is in this file.
abstract contract OperatorStaking is IOperatorStaking {
    /// @dev Parts of a slashed bond in hundredths. At least 40 burn, so that challenging oneself loses money; the rest
    /// after reward and burn is the requester's.
    uint256 private constant REWARD_PERCENT = 30;
    uint256 private constant BURN_PERCENT = 40;
    address private constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;

    uint256 public immutable WITHDRAWAL_DELAY;

    mapping(address operator => Account) private _accounts;
    mapping(address operator => mapping(uint32 epoch => Signer)) private _signers;
    mapping(address operator => Unstaking) private _unstakings;
    mapping(address account => uint256) private _credits;
    mapping(address operator => mapping(uint32 epoch => uint256)) private _slashedAt;

    constructor(uint256 withdrawalDelay) {
        WITHDRAWAL_DELAY = withdrawalDelay;
    }

    /// @inheritdoc IOperatorStaking
    function stake() external payable {
        Account storage account = _accounts[msg.sender];
        uint256 staked = account.staked + msg.value;

        require(msg.value != 0, ZeroAmount());
        require(staked <= type(uint96).max, StakeTooLarge(staked, type(uint96).max));

        account.staked = uint96(staked);

        emit StakeAdded(msg.sender, msg.value, staked);
    }

    /// @inheritdoc IOperatorStaking
    function unstake(uint256 amount) external {
        Account storage account = _accounts[msg.sender];
        uint256 free = account.staked - account.locked;

        require(amount != 0, ZeroAmount());
        require(amount <= free, InsufficientStake(msg.sender, free, amount));

        Unstaking storage unstaking = _unstakings[msg.sender];
        uint256 availableAt = block.timestamp + WITHDRAWAL_DELAY;
        account.staked -= uint96(amount);
        // Wei on their way out were a stake once, but stake and exit may follow each other: checked arithmetic.
        unstaking.amount += uint96(amount);
        unstaking.availableAt = uint64(availableAt);

        emit UnstakeStarted(msg.sender, amount, availableAt);
    }

    /// @inheritdoc IOperatorStaking
    function withdraw(address account) external returns (uint256 amount) {
        Unstaking storage unstaking = _unstakings[account];
        amount = _credits[account];
        if (unstaking.amount != 0 && block.timestamp >= unstaking.availableAt) {
            amount += unstaking.amount;
            delete _unstakings[account];
        }

        require(amount != 0, NothingToWithdraw(account));

        _credits[account] = 0;

        emit Withdrawn(account, amount);

        _send(account, amount);
    }

    /// @inheritdoc IOperatorStaking
    function setSigner(address signer, uint96 maxLocked) external {
        uint32 epoch = _accounts[msg.sender].epoch;

        _signers[msg.sender][epoch] = Signer(signer, maxLocked);

        emit SignerSet(msg.sender, epoch, signer, maxLocked);
    }

    /// @inheritdoc IOperatorStaking
    function signerOf(address operator) external view returns (Signer memory) {
        return _signers[operator][_accounts[operator].epoch];
    }

    /// @inheritdoc IOperatorStaking
    function signerIn(address operator, uint32 epoch) external view returns (Signer memory) {
        return _signers[operator][epoch];
    }

    /// @inheritdoc IOperatorStaking
    function accountOf(address operator) external view returns (Account memory) {
        return _accounts[operator];
    }

    /// @inheritdoc IOperatorStaking
    function freeStakeOf(address operator) external view returns (uint256) {
        return _accounts[operator].staked - _accounts[operator].locked;
    }

    /// @inheritdoc IOperatorStaking
    function unstakingOf(address operator) external view returns (Unstaking memory) {
        return _unstakings[operator];
    }

    /// @inheritdoc IOperatorStaking
    function creditOf(address account) external view returns (uint256) {
        return _credits[account];
    }

    /// @inheritdoc IOperatorStaking
    function slashedAt(address operator, uint32 epoch) public view returns (uint256) {
        return _slashedAt[operator][epoch];
    }

    /// @return epoch The epoch that the bond was locked in.
    function _lock(address operator, uint96 bond) internal returns (uint32 epoch) {
        Account memory account = _accounts[operator];
        uint256 free = account.staked - account.locked;

        // INVARIANT: lockedBondsNeverExceedStake
        require(bond <= free, InsufficientStake(operator, free, bond));

        account.locked += bond;
        _accounts[operator] = account;
        return account.epoch;
    }

    /// @dev Frees the bond of a result that is final or void, and adds what it earned to the stake.
    function _release(address operator, uint96 bond, uint256 earned) internal {
        Account memory account = _accounts[operator];

        account.locked -= bond;
        uint256 staked = account.staked + earned;
        if (staked <= type(uint96).max) account.staked = uint96(staked);
        else _credits[operator] += earned;
        _accounts[operator] = account;
    }

    /// @dev Takes the bond of a proven lie and voids what else the operator proposed in that epoch and is not final.
    /// The bonds of the rest stay locked until their windows are over: a liar could else save a large bond by convicting
    /// itself of a small lie.
    function _slash(
        address operator,
        uint32 epoch,
        uint96 bond,
        address challenger,
        address requester
    ) internal {
        Account memory account = _accounts[operator];
        uint256 reward = uint256(bond) * REWARD_PERCENT / 100;
        // Rounded up: whoever is paid, at least 40 % are gone.
        uint256 burned = (uint256(bond) * BURN_PERCENT + 99) / 100;

        account.staked -= bond;
        account.locked -= bond;
        if (epoch == account.epoch) _slashedAt[operator][account.epoch++] = block.timestamp;
        _accounts[operator] = account;
        _credits[challenger] += reward;
        _credits[requester] += bond - reward - burned;

        emit OperatorSlashed(operator, challenger, bond, reward, burned, account.epoch);

        _send(BURN_ADDRESS, burned);
    }

    function _credit(address account, uint256 amount) internal {
        if (amount != 0) _credits[account] += amount;
    }

    /// @dev After the bond was locked.
    function _requireMaySign(address signer, address operator, uint32 epoch) internal view {
        Signer memory allowed = _signers[operator][epoch];
        require(signer == allowed.signer, WrongSigner(operator, signer));
        uint256 locked = _accounts[operator].locked;
        // INVARIANT: aSignerNeverHasMoreThanItsLimitAtStake
        require(
            locked <= allowed.maxLocked, SignerLimitReached(operator, locked, allowed.maxLocked)
        );
    }

    function _epochOf(address operator) internal view returns (uint32) {
        return _accounts[operator].epoch;
    }

    function _send(address account, uint256 amount) private {
        // Returned data is not copied: a large answer would cost the caller, not the account.
        bool sent;
        assembly ("memory-safe") {
            sent := call(gas(), account, amount, 0, 0, 0, 0)
        }
        require(sent, WithdrawalFailed(account, amount));
    }
}
