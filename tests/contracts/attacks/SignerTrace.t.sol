// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IDisputes} from "../../../contracts/interfaces/IDisputes.sol";
import {Answer, Signature} from "../../../contracts/libraries/Answer.sol";
import {Proposal} from "../../../contracts/libraries/Proposal.sol";
import {Request} from "../../../contracts/libraries/Request.sol";
import {Status} from "../../../contracts/libraries/RequestState.sol";
import {DisputeFixture} from "../DisputeFixture.sol";
import {rootOf} from "../RootOf.sol";
import {Toy} from "../toy/Toy.sol";

/// @notice Whose word the first trace root of a dispute is, where an operator has named a signer.
contract SignerTraceTest is DisputeFixture {
    address private signer;
    address private next;

    function setUp() public override {
        super.setUp();
        signer = _actor("signer");
        next = _actor("next");
        operator.setSigner(signer, STAKE);
        _take(_askToy(_options()), Toy.NODES, "signer");
    }

    function test_reveal_isTheSignersOfWhatItSigned() external {
        _reveal(signer, _demand(), Toy.NODES);
        vm.assertEq(_traceRoot(), Toy.traceRoot(_run(Toy.NODES)));
        _assertDispute(0, _subject.proposal.window.settleAt(), false);
    }

    function test_reveal_isTheOperatorsOfWhatItsSignerSigned() external {
        _reveal(address(operator), _demand(), Toy.NODES);
    }

    function test_reveal_isTheNextSignersOfWhatTheOneBeforeSigned() external {
        operator.setSigner(next, STAKE);
        IDisputes.Demand memory demand = _demand();
        _expect(IDisputes.NotOperator.selector, abi.encode(signer, address(operator)));
        this.reveal(signer, demand, Toy.NODES);
        _reveal(next, demand, Toy.NODES);
    }

    /// @dev Void or not: whoever does not answer is slashed, and the cold key may be far away.
    function test_reveal_isTheSignersAfterASlash() external {
        IDisputes.Subject memory honest = _subject;
        _lie();
        _convictBySilence();
        vm.assertEq(queue.signerOf(address(operator)).signer, address(0));

        _subject = honest;
        _id = _idOf(honest.request);
        _key = court.keyOf(honest);
        _reveal(signer, _demand(), Toy.NODES);
    }

    /// @dev Its own epoch's alone: a signer that is named later has nothing to say about it.
    function test_reveal_isNobodyElsesAfterASlash() external {
        IDisputes.Subject memory honest = _subject;
        _lie();
        _convictBySilence();
        operator.setSigner(next, STAKE);

        _subject = honest;
        _id = _idOf(honest.request);
        _key = court.keyOf(honest);
        IDisputes.Demand memory demand = _demand();
        _expect(IDisputes.NotOperator.selector, abi.encode(next, address(operator)));
        this.reveal(next, demand, Toy.NODES);
    }

    /// @dev A false trace root convicts. What the operator proposed itself may be worth more than the limit.
    function test_attack_stolenKey_spoilsNothingThatTheOperatorProposed() external {
        _answerHonestly();
        IDisputes.Demand memory demand = _demand();
        _expect(IDisputes.NotOperator.selector, abi.encode(signer, address(operator)));
        this.reveal(signer, demand, LIE);
        _reveal(address(operator), demand, Toy.NODES);
    }

    /// @dev Nor what the operator has signed with its own key.
    function test_attack_stolenKey_spoilsNothingThatTheOperatorSigned() external {
        address author = _actor("author");
        vm.deal(author, STAKE);
        vm.prank(author);
        queue.stake{value: STAKE}();
        vm.prank(author);
        queue.setSigner(signer, STAKE);
        _take(author, _askToy(_options()), Toy.NODES, "author");
        IDisputes.Demand memory demand = _demand();
        _expect(IDisputes.NotOperator.selector, abi.encode(signer, author));
        this.reveal(signer, demand, LIE);
        _reveal(author, demand, Toy.NODES);
    }

    /// @dev The bit that says whose it is stands in the proposal, to which the queue is committed.
    function test_attack_stolenKey_claimsNothing() external {
        _answerHonestly();
        _subject.proposal.origin = _subject.proposal.origin.bySigner();
        _expectWrongProposal(_subject.request);
        this.demand();
    }

    function demand() external {
        court.demand{value: _price(_roots())}(
            _subject, _roots(), _modelBytes, Toy.descriptors(VALUE_TREE)
        );
    }

    function reveal(address who, IDisputes.Demand memory demand_, uint256 lie) external {
        _reveal(who, demand_, lie);
    }

    function _take(Request memory request, uint256 lie, string memory name) private {
        _take(address(operator), request, lie, name);
        vm.assertTrue(_subject.proposal.origin.isBySigner());
    }

    /// @dev Posts an answer in the operator's name that the key of that name has signed.
    function _take(address who, Request memory request, uint256 lie, string memory name) private {
        bytes memory output = _output(lie);
        Proposal memory proposal = _proposalOf(who, request);
        if (_actor(name) != who) proposal.origin = proposal.origin.bySigner();
        vm.prank(stranger);
        queue.proposeSigned(request, who, output, _signed(name, who, request, output));
        _assertStatus(request, Status.Proposed);
        _subject = IDisputes.Subject(request, proposal, rootOf(output));
        _id = _idOf(request);
        _key = court.keyOf(_subject);
    }

    function _signed(string memory name, address who, Request memory request, bytes memory output)
        private
        view
        returns (Signature memory)
    {
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "Answer(bytes32 requestId,bytes32 outputRoot,uint32 outputLength,uint32 epoch)"
                ),
                _idOf(request),
                rootOf(output),
                output.length,
                queue.accountOf(who).epoch
            )
        );
        bytes32 digest =
            keccak256(abi.encodePacked(hex"1901", Answer.domainOf(address(queue)), content));
        (uint8 v, bytes32 r, bytes32 s) = cheats.sign(uint256(keccak256(bytes(name))), digest);
        return Signature(r, bytes32((uint256(v - 27) << 255) | uint256(s)));
    }
}
