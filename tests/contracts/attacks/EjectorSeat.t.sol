// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {rootOf} from "../RootOf.sol";
import {IInferenceQueue, Options} from "../../../contracts/interfaces/IInferenceQueue.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {Fixture} from "../Fixture.sol";

/// @dev If a slash freed all other bonds, a liar about to be convicted would convict itself first of a
/// lie about its own request with the least bond, and keep 99.6 % of what stood behind the big lie.
contract EjectorSeatTest is Fixture {
    function test_attack_selfSlashOfASmallBond_doesNotSaveTheLargeOne() external {
        Options memory options = _options();
        options.bond = 0.9 ether;
        Request memory big = _ask(consumer, FEE, options);
        Proposal memory lie = _propose(big);
        options.bond = MIN_BOND;
        options.refundTo = address(operator);
        Request memory own = _ask(consumer, ROYALTY, options);
        Proposal memory seat = _propose(own);

        // The challenger's proof of the big lie is in the mempool; the operator's own comes first.
        vm.prank(disputes);
        queue.slash(own, seat, rootOf(OUTPUT), address(operator));
        vm.prank(disputes);
        try queue.slash(big, lie, rootOf(OUTPUT), challenger) {} catch {}

        uint256 lost =
            STAKE - queue.accountOf(address(operator)).staked - queue.creditOf(address(operator));
        vm.assertGe(lost, uint256(0.9 ether) * 40 / 100);
    }
}
