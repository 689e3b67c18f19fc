// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {LiquidationConsumer} from "../../contracts/examples/LiquidationConsumer.sol";
import {SignedOptions} from "../../contracts/interfaces/IInferenceQueue.sol";
import {IModelRegistry, ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {Signature} from "../../contracts/libraries/Answer.sol";
import {Proposal} from "../../contracts/libraries/Proposal.sol";
import {Request} from "../../contracts/libraries/Request.sol";
import {Status} from "../../contracts/libraries/RequestState.sol";
import {rootOf} from "./RootOf.sol";
import {SignedFixture} from "./SignedFixture.sol";

contract LiquidationConsumerTest is SignedFixture {
    uint96 private constant COLLATERAL = 0.1 ether;
    uint96 private constant DEBT = 0.09 ether;
    bytes private constant RISKY = hex"3f400000"; // 0.75
    bytes private constant SAFE = hex"3e800000"; // 0.25

    LiquidationConsumer private _lender;
    ModelId private _riskModel;
    address private _borrower;
    address private _liquidator;

    function setUp() public override {
        super.setUp();
        IModelRegistry.Model memory risk = _model();
        risk.inputs = _tensors("loan", IModelRegistry.DType.INT64, 1, 3);
        risk.outputs = _tensors("risk", IModelRegistry.DType.FLOAT, 1, 1);
        _riskModel = publisher.publish(risk, "");
        _lender = new LiquidationConsumer{value: 1 ether}(queue, _riskModel);
        (_borrower, _liquidator) = (_actor("borrower"), _actor("liquidator"));
        vm.deal(_borrower, COLLATERAL);
        vm.deal(_liquidator, 1 ether);
        vm.prank(_borrower);
        _lender.borrow{value: COLLATERAL}(DEBT);
    }

    function test_liquidate_endsARiskyLoanAtOnce() external {
        (SignedOptions memory options, Signature memory signature) = _answer(RISKY);
        Request memory request = _riskRequest(options);
        _liquidate(_liquidator, options, RISKY, signature);
        (,, uint64 openedAt) = _lender.loans(_borrower);
        vm.assertEq(openedAt, 0);
        vm.assertEq(_liquidator.balance, 1 ether - FEE + COLLATERAL / 20);
        _assertStatus(request, Status.Proposed);
    }

    function test_liquidate_asksAboutTheLoanItself() external {
        _skip(2 hours + 5);
        bytes memory expected =
            abi.encodePacked(uint64(COLLATERAL / 1 gwei), uint64(DEBT / 1 gwei), uint64(2 hours));
        vm.assertEq(_lender.inputFor(_borrower), expected);
    }

    function test_liquidate_revertsWhenNotRisky() external {
        (SignedOptions memory options, Signature memory signature) = _answer(SAFE);
        cheats.expectPartialRevert(LiquidationConsumer.NotRisky.selector);
        this.liquidate(_liquidator, options, SAFE, signature);
    }

    /// @dev Whoever copies the transaction takes the reward, and nothing else: there is one loan to end.
    function test_attack_liquidate_isCopied() external {
        (SignedOptions memory options, Signature memory signature) = _answer(RISKY);
        vm.deal(stranger, FEE);
        _liquidate(stranger, options, RISKY, signature);
        cheats.expectPartialRevert(LiquidationConsumer.NoLoan.selector);
        this.liquidate(_liquidator, options, RISKY, signature);
    }

    function test_attack_liquidate_withTheRefundElsewhere() external {
        (SignedOptions memory options, Signature memory signature) = _answer(RISKY);
        options.refundTo = _liquidator;
        cheats.expectPartialRevert(LiquidationConsumer.RefundGoesElsewhere.selector);
        this.liquidate(_liquidator, options, RISKY, signature);
    }

    /// @dev A bond below the collateral would make the lie worth it.
    function test_attack_liquidate_withASmallBond() external {
        (SignedOptions memory options, Signature memory signature) = _answer(RISKY);
        options.bond = uint96(_lender.bondFor(_borrower) - 1);
        cheats.expectPartialRevert(LiquidationConsumer.BondTooSmallForLoan.selector);
        this.liquidate(_liquidator, options, RISKY, signature);
    }

    /// @dev The liar, who is the liquidator too, loses more than it took.
    function test_attack_liquidate_byALyingOperatorDoesNotPay() external {
        (SignedOptions memory options, Signature memory signature) = _answer(RISKY);
        Request memory request = _riskRequest(options);
        Proposal memory proposal = _proposalOf(author, request);
        _liquidate(_liquidator, options, RISKY, signature);
        vm.prank(disputes);
        queue.slash(request, proposal, rootOf(RISKY), _liquidator);
        uint256 lost = STAKE - queue.accountOf(author).staked - queue.creditOf(_liquidator);
        vm.assertGt(lost, COLLATERAL);
        vm.assertGt(queue.creditOf(address(_lender)), 0);
    }

    function test_repay_givesTheCollateralBack() external {
        vm.prank(_borrower);
        _lender.repay{value: DEBT}();
        vm.assertEq(_borrower.balance, COLLATERAL);
        cheats.expectPartialRevert(LiquidationConsumer.NoLoan.selector);
        _lender.inputFor(_borrower);
    }

    /// @dev So that a revert can be expected of the call.
    function liquidate(
        address who,
        SignedOptions memory options,
        bytes memory output,
        Signature memory signature
    ) external {
        _liquidate(who, options, output, signature);
    }

    function _liquidate(
        address who,
        SignedOptions memory options,
        bytes memory output,
        Signature memory signature
    ) private {
        vm.prank(who);
        _lender.liquidate{value: FEE}(_borrower, options, output, signature);
    }

    function _answer(bytes memory output)
        private
        view
        returns (SignedOptions memory options, Signature memory signature)
    {
        options = _signedOptions();
        options.bond = uint96(_lender.bondFor(_borrower));
        signature = _signed("author", _riskRequest(options), output);
    }

    function _riskRequest(SignedOptions memory options) private view returns (Request memory made) {
        made = _signedRequest(address(_lender), FEE, options);
        bytes memory input = _lender.inputFor(_borrower);
        made.model = _riskModel;
        made.terms = registry.termsOf(_riskModel);
        made.inputRoot = rootOf(input);
        made.refundToAndLengths =
            (uint256(uint160(address(_lender))) << 96) | (input.length << 32) | 4;
    }
}
