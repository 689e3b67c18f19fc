// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {InferenceConsumer} from "../InferenceConsumer.sol";
import {IInferenceQueue, SignedOptions} from "../interfaces/IInferenceQueue.sol";
import {ModelId} from "../interfaces/IModelRegistry.sol";
import {Signature} from "../libraries/Answer.sol";
import {Float32} from "../libraries/Float32.sol";
import {Payload} from "../libraries/Payload.sol";
import {RequestId} from "../libraries/RequestState.sol";

/// @title LiquidationConsumer
/// @notice Lends ether against ether, and lets anybody liquidate a loan that a model finds too risky, in the transaction
/// that brings the model's signed answer. The model reads int64[3], the collateral and the debt in gwei and the loan's
/// age in seconds, and gives float32[1], the risk.
///
/// @dev What makes an answer that is not final safe to act on:
///
/// The input is this contract's own state, so nobody chooses it. A loan is liquidated once, so a copied transaction
/// gains its sender no more than the first would have gained. And the bond behind the answer is worth more than what a
/// wrong one could take: an operator who lies loses 70 % of it at least, since `refundTo` is this contract, which the
/// liar does not share.
contract LiquidationConsumer is InferenceConsumer {
    struct Loan {
        uint96 collateral;
        uint96 debt;
        uint64 openedAt;
    }

    /// @dev Of the collateral, in hundredths, to whoever liquidates.
    uint256 private constant REWARD_PERCENT = 5;
    /// @dev In units of 1e-18: a risk above it ends a loan.
    int256 private constant MAX_RISK = 0.5e18;

    mapping(address borrower => Loan) public loans;

    event Borrowed(address indexed borrower, uint256 collateral, uint256 debt);
    event Repaid(address indexed borrower);
    event Liquidated(address indexed borrower, address indexed liquidator, RequestId id);

    error LoanExists(address borrower);
    error NoLoan(address borrower);
    error TooLittleCollateral(uint256 collateral, uint256 debt);
    error WrongAmount(uint256 amount, uint256 needed);
    error RefundGoesElsewhere(address refundTo);
    error BondTooSmallForLoan(uint256 bond, uint256 needed);
    error NotRisky(int256 risk, int256 maximum);
    error PaymentFailed(address account, uint256 amount);

    /// @dev The value sent is what is lent.
    constructor(IInferenceQueue queue, ModelId model) payable InferenceConsumer(queue, model) {}

    /// @notice Lends `debt` wei to the caller, against the value sent.
    function borrow(uint96 debt) external payable {
        require(loans[msg.sender].openedAt == 0, LoanExists(msg.sender));
        require(msg.value > debt, TooLittleCollateral(msg.value, debt));

        loans[msg.sender] = Loan(uint96(msg.value), debt, uint64(block.timestamp));

        emit Borrowed(msg.sender, msg.value, debt);

        _pay(msg.sender, debt);
    }

    /// @notice Takes the debt back and gives the collateral.
    function repay() external payable {
        Loan memory loan = _loanOf(msg.sender);
        require(msg.value == loan.debt, WrongAmount(msg.value, loan.debt));

        delete loans[msg.sender];

        emit Repaid(msg.sender);

        _pay(msg.sender, loan.collateral);
    }

    /// @notice Ends a loan that the model finds too risky. The caller pays the answer's fee with the value sent.
    /// @param options `refundTo` must be this contract, the bond what `bondFor` says at least.
    function liquidate(
        address borrower,
        SignedOptions calldata options,
        bytes calldata output,
        Signature calldata signature
    ) external payable returns (RequestId id) {
        Loan memory loan = _loanOf(borrower);
        bool isOurs = options.refundTo == address(0) || options.refundTo == address(this);
        require(isOurs, RefundGoesElsewhere(options.refundTo));
        uint256 needed = bondFor(borrower);
        require(options.bond >= needed, BondTooSmallForLoan(options.bond, needed));

        id = _useSigned(inputFor(borrower), msg.value, options, output, signature);
        int256 risk = Float32.toWad(Payload.float32At(output, 0));
        require(risk > MAX_RISK, NotRisky(risk, MAX_RISK));
        delete loans[borrower];

        emit Liquidated(borrower, msg.sender, id);

        _pay(msg.sender, loan.collateral * REWARD_PERCENT / 100);
    }

    /// @notice The least bond behind an answer about that loan: a lie, which can take the collateral, costs 70 % of it.
    function bondFor(address borrower) public view returns (uint256) {
        return uint256(loans[borrower].collateral) * 100 / 70 + 1;
    }

    /// @notice The payload that is asked about. The age is in whole hours, so that an answer can be used for a while.
    function inputFor(address borrower) public view returns (bytes memory) {
        Loan memory loan = _loanOf(borrower);
        uint64 age = uint64(block.timestamp - loan.openedAt) / 1 hours;
        return abi.encodePacked(
            uint64(loan.collateral / 1 gwei), uint64(loan.debt / 1 gwei), age * 1 hours
        );
    }

    function _loanOf(address borrower) private view returns (Loan memory loan) {
        loan = loans[borrower];
        require(loan.openedAt != 0, NoLoan(borrower));
    }

    function _pay(address account, uint256 amount) private {
        (bool sent,) = account.call{value: amount}("");
        require(sent, PaymentFailed(account, amount));
    }

    /// @dev Nothing is asked for that would be called back.
    function _onInference(RequestId, bytes calldata) internal override {}
}
