// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title What operators put behind their results, and what everybody is owed
/// @notice An operator's stake is one balance. Each proposal locks a bond out of it until its request is settled or its
/// window has passed; fees are added to it. A slash takes the bond of one proven lie and voids every other result of
/// that operator that was not final yet, each of which can still be proven wrong on its own. Payments are pulled: what somebody is owed is a credit that waits for `withdraw`.
interface IOperatorStaking {
    /// @param staked Wei that belong to the operator and may stand behind results, bonds included.
    /// @param locked The sum of the bonds of the operator's open proposals.
    /// @param epoch How often a slash voided the operator's results. A proposal of an earlier epoch is void unless it was final.
    struct Account {
        uint96 staked;
        uint96 locked;
        uint32 epoch;
    }

    /// @param amount Wei that left the stake and are no longer at risk.
    /// @param availableAt Seconds: when `withdraw` pays them.
    struct Unstaking {
        uint96 amount;
        uint64 availableAt;
    }

    /// @notice Who may sign answers in an operator's name, while an epoch lasts.
    /// @param maxLocked Wei: the most that may be locked once an answer of the signer's is posted.
    struct Signer {
        address signer;
        uint96 maxLocked;
    }

    event SignerSet(
        address indexed operator, uint32 indexed epoch, address indexed signer, uint96 maxLocked
    );
    event StakeAdded(address indexed operator, uint256 amount, uint256 staked);
    event UnstakeStarted(address indexed operator, uint256 amount, uint256 availableAt);
    event Withdrawn(address indexed account, uint256 amount);
    /// @param epoch The operator's epoch after the slash.
    event OperatorSlashed(
        address indexed operator,
        address indexed challenger,
        uint256 bond,
        uint256 reward,
        uint256 burned,
        uint32 epoch
    );

    error ZeroAmount();
    error StakeTooLarge(uint256 staked, uint256 maximum);
    error InsufficientStake(address operator, uint256 free, uint256 needed);
    /// @param signer Whose the signature is, or of other words.
    error WrongSigner(address operator, address signer);
    error SignerLimitReached(address operator, uint256 locked, uint256 maxLocked);
    error NothingToWithdraw(address account);
    error WithdrawalFailed(address account, uint256 amount);

    /// @notice Adds the value sent to the caller's stake.
    function stake() external payable;

    /// @notice Takes `amount` out of the caller's free stake. It stands behind nothing from now on, and `withdraw` pays
    /// it after `WITHDRAWAL_DELAY`. A second call before then adds to the first and starts the delay anew for both.
    function unstake(uint256 amount) external;

    /// @notice Pays `account` all that is due to it: credits, and unstaked wei whose delay is over. Anyone may call,
    /// so that a contract that cannot ask for its money still gets it; the money goes nowhere else.
    /// @dev Reverts where `account` refuses ether; its credit stays.
    function withdraw(address account) external returns (uint256 amount);

    /// @notice Lets `signer` sign answers in the caller's name, in place of who did, until the caller is slashed. What the
    /// one before signed and nobody has used is worth nothing from now on.
    /// @param signer Zero for nobody but the operator itself.
    /// The signer may also show the traces of what a signer of that epoch has signed.
    /// @param maxLocked Wei: an answer of the signer's is refused where more would then be locked. A stolen key costs no
    /// more than that: it can lie only about what was posted within its limit, or within that of a signer before it.
    function setSigner(address signer, uint96 maxLocked) external;

    /// @notice The operator's signer in its present epoch.
    function signerOf(address operator) external view returns (Signer memory);

    /// @notice The operator's signer in any epoch of its; in one that is over, the last that it had then.
    function signerIn(address operator, uint32 epoch) external view returns (Signer memory);

    function accountOf(address operator) external view returns (Account memory);

    /// @notice Wei that may still be locked or unstaked.
    function freeStakeOf(address operator) external view returns (uint256);

    function unstakingOf(address operator) external view returns (Unstaking memory);

    /// @notice Wei owed to `account` and due now, unstaked wei not included: royalties, refunds, rewards.
    function creditOf(address account) external view returns (uint256);

    /// @notice When the operator's `epoch` ended by a slash, in seconds; zero while it lasts.
    function slashedAt(address operator, uint32 epoch) external view returns (uint256);

    /// @notice Seconds between `unstake` and the pay-out.
    function WITHDRAWAL_DELAY() external view returns (uint256);
}
