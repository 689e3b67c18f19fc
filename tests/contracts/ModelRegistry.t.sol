// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IModelRegistry, ModelId} from "../../contracts/interfaces/IModelRegistry.sol";
import {ModelTerms, ModelTermsLibrary} from "../../contracts/libraries/ModelTerms.sol";
import {Fixture} from "./Fixture.sol";

abstract contract RegistryFixture is Fixture {
    function _draft() internal pure returns (IModelRegistry.Model memory draft) {
        draft = _model();
        draft.name = "draft";
    }

    function _sameId(ModelId left, ModelId right) internal pure {
        vm.assertEq(ModelId.unwrap(left), ModelId.unwrap(right));
    }

    function _expectNotPublisher() internal {
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.NotPublisher.selector, model, stranger, address(publisher)
            )
        );
        vm.prank(stranger);
    }

    function _expectUnknown(ModelId id) internal {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.UnknownModel.selector, id));
    }
}

contract PublishTest is RegistryFixture {
    function test_publish_storesTerms() external view {
        ModelTerms terms = registry.termsOf(model);
        vm.assertTrue(terms.exists());
        vm.assertEq(terms.publisher(), address(publisher));
        vm.assertEq(terms.royalty(), ROYALTY);
        vm.assertEq(terms.inputLength(), 32);
        vm.assertEq(terms.outputLength(), 32);
        vm.assertTrue(terms.isExact());
        vm.assertTrue(terms.hasFloat32Output());
    }

    function test_publish_storesTermsOfAMixedModel() external view {
        ModelTerms terms = registry.termsOf(mixedModel);
        vm.assertEq(terms.royalty(), 0);
        vm.assertEq(terms.outputLength(), 16);
        vm.assertFalse(terms.isExact());
        vm.assertFalse(terms.hasFloat32Output());
    }

    function test_publish_returnsIdOf() external {
        IModelRegistry.Model memory draft = _draft();
        ModelId expected = registry.idOf(stranger, draft);
        vm.prank(stranger);
        _sameId(registry.publish(draft, ""), expected);
    }

    function test_publish_emitsModelPublished() external {
        IModelRegistry.Model memory draft = _draft();
        ModelId id = registry.idOf(stranger, draft);
        vm.expectEmit(address(registry));
        emit IModelRegistry.ModelPublished(id, stranger, draft, "ipfs://x");
        vm.prank(stranger);
        registry.publish(draft, "ipfs://x");
    }

    function test_publish_givesOthersAnotherId() external {
        vm.prank(stranger);
        ModelId copy = registry.publish(_model(), "");
        vm.assertNotEq(ModelId.unwrap(copy), ModelId.unwrap(model));
    }

    /// @dev Each code's size by ONNX; zero where it may not stand in a signature.
    function test_publish_knowsTheSizeOfEveryDType() external {
        IModelRegistry.Model memory draft = _draft();
        uint8[17] memory sizes = [0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 0, 0, 2];
        for (uint8 code; code < 17; ++code) {
            IModelRegistry.DType dtype = IModelRegistry.DType(code);
            draft.inputs[0].dtype = dtype;
            if (sizes[code] == 0) {
                vm.expectRevert(
                    abi.encodeWithSelector(IModelRegistry.UnsupportedDType.selector, "x", dtype)
                );
                registry.publish(draft, "");
            } else {
                ModelId id = registry.publish(draft, "");
                vm.assertEq(registry.termsOf(id).inputLength(), 8 * sizes[code]);
            }
        }
    }

    function test_publish_takesAScalar() external {
        IModelRegistry.Model memory draft = _draft();
        draft.outputs[0].shape = new uint32[](0);
        vm.assertEq(registry.termsOf(registry.publish(draft, "")).outputLength(), 4);
    }

    function test_publish_takesTheLargestPayload() external {
        IModelRegistry.Model memory draft = _draft();
        _shape(draft, 1, 0xffffff);
        draft.inputs[0].dtype = IModelRegistry.DType.UINT8;
        ModelId id = registry.publish(draft, "");
        vm.assertEq(registry.termsOf(id).inputLength(), 0xffffff);
    }

    function test_publish_takesTheLargestRoyalty() external {
        IModelRegistry.Model memory draft = _draft();
        draft.royalty = ModelTermsLibrary.MAX_ROYALTY;
        ModelId id = registry.publish(draft, "");
        vm.assertEq(registry.termsOf(id).royalty(), ModelTermsLibrary.MAX_ROYALTY);
    }

    function test_publish_addsUpTheTensors() external {
        IModelRegistry.Model memory draft = _draft();
        draft.inputs = _two(draft.inputs[0], _tensors("z", IModelRegistry.DType.INT64, 3, 5)[0]);
        vm.assertEq(registry.termsOf(registry.publish(draft, "")).inputLength(), 32 + 120);
    }

    function test_publish_revertsWhenModelExists() external {
        IModelRegistry.Model memory again = _model();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelExists.selector, model));
        publisher.publish(again, "elsewhere");
    }

    function test_publish_revertsWhenNameIsEmpty() external {
        IModelRegistry.Model memory draft = _draft();
        draft.name = "";
        _expectEmpty(draft, "name");
    }

    function test_publish_revertsWhenVersionIsEmpty() external {
        IModelRegistry.Model memory draft = _draft();
        draft.version = "";
        _expectEmpty(draft, "version");
    }

    function test_publish_revertsWhenFileHashIsEmpty() external {
        IModelRegistry.Model memory draft = _draft();
        draft.sourceHash = 0;
        _expectEmpty(draft, "sourceHash");
    }

    function test_publish_revertsWhenInputsAreEmpty() external {
        IModelRegistry.Model memory draft = _draft();
        draft.inputs = new IModelRegistry.Tensor[](0);
        _expectEmpty(draft, "inputs");
    }

    function test_publish_revertsWhenOutputsAreEmpty() external {
        IModelRegistry.Model memory draft = _draft();
        draft.outputs = new IModelRegistry.Tensor[](0);
        _expectEmpty(draft, "outputs");
    }

    function test_publish_revertsWhenExactWithoutProgramRoot() external {
        IModelRegistry.Model memory draft = _draft();
        draft.programRoot = 0;
        _expectWrongProgramRoot(draft);
    }

    function test_publish_revertsWhenVanillaWithProgramRoot() external {
        IModelRegistry.Model memory draft = _draft();
        draft.assurance = IModelRegistry.Assurance.VANILLA;
        _expectWrongProgramRoot(draft);
    }

    function testFuzz_publish_revertsWhenRoyaltyIsNotWholeGwei(uint256 royalty) external {
        IModelRegistry.Model memory draft = _draft();
        if (royalty % 1 gwei == 0) royalty |= 1;
        draft.royalty = royalty;
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.RoyaltyNotWholeGwei.selector, royalty)
        );
        registry.publish(draft, "");
    }

    function test_publish_revertsWhenRoyaltyIsTooLarge() external {
        IModelRegistry.Model memory draft = _draft();
        uint256 maximum = ModelTermsLibrary.MAX_ROYALTY;
        draft.royalty = maximum + 1 gwei;
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.RoyaltyTooLarge.selector, maximum + 1 gwei, maximum
            )
        );
        registry.publish(draft, "");
    }

    function test_publish_revertsWhenAnAxisIsZero() external {
        IModelRegistry.Model memory draft = _draft();
        _shape(draft, 0, 8);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.EmptyTensor.selector, "x"));
        registry.publish(draft, "");
    }

    function test_publish_revertsWhenATensorIsTooLarge() external {
        IModelRegistry.Model memory draft = _draft();
        _shape(draft, 1 << 11, 1 << 11);
        _expectTooLarge(draft, "x", 1 << 24);
    }

    function test_publish_revertsWhenGiganticDims() external {
        IModelRegistry.Model memory draft = _draft();
        _shape(draft, type(uint32).max, type(uint32).max);
        _expectTooLarge(draft, "x", 4 * uint256(type(uint32).max));
    }

    function test_publish_revertsWhenTensorsTogetherAreTooLarge() external {
        IModelRegistry.Model memory draft = _draft();
        _shape(draft, 1 << 11, 1 << 10);
        draft.inputs =
            _two(draft.inputs[0], _tensors("z", IModelRegistry.DType.FLOAT, 1 << 11, 1 << 10)[0]);
        _expectTooLarge(draft, "z", 1 << 24);
    }

    /// @dev Disputes pass a model as its id hashes it: in one too long to be passed, lies would be safe.
    function test_publish_revertsWhenNamesAreTooLongForADispute() external {
        IModelRegistry.Model memory draft = _draft();
        draft.name = string(new bytes(1 << 14));
        uint256 length = abi.encode(address(this), draft).length;
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.PreimageTooLong.selector, length, 1 << 14)
        );
        registry.publish(draft, "");
    }

    function test_publish_takesTheLongestNames() external {
        IModelRegistry.Model memory draft = _draft();
        uint256 others = abi.encode(address(this), draft).length - 32;
        draft.name = string(new bytes((1 << 14) - others));
        vm.assertEq(abi.encode(address(this), draft).length, 1 << 14);
        vm.assertTrue(registry.termsOf(registry.publish(draft, "")).exists());
    }

    function _two(IModelRegistry.Tensor memory first, IModelRegistry.Tensor memory second)
        private
        pure
        returns (IModelRegistry.Tensor[] memory tensors)
    {
        tensors = new IModelRegistry.Tensor[](2);
        (tensors[0], tensors[1]) = (first, second);
    }

    function _shape(IModelRegistry.Model memory draft, uint32 rows, uint32 columns) private pure {
        (draft.inputs[0].shape[0], draft.inputs[0].shape[1]) = (rows, columns);
    }

    function _expectTooLarge(IModelRegistry.Model memory draft, string memory name, uint256 length)
        private
    {
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.PayloadTooLarge.selector, name, length, 0xffffff)
        );
        registry.publish(draft, "");
    }

    function _expectEmpty(IModelRegistry.Model memory draft, string memory field) private {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.EmptyField.selector, field));
        registry.publish(draft, "");
    }

    function _expectWrongProgramRoot(IModelRegistry.Model memory draft) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                IModelRegistry.WrongProgramRoot.selector, draft.assurance, draft.programRoot
            )
        );
        registry.publish(draft, "");
    }
}

contract AddUriTest is RegistryFixture {
    function test_addUri_emitsModelUriAdded() external {
        vm.expectEmit(address(registry));
        emit IModelRegistry.ModelUriAdded(model, address(publisher), "https://elsewhere");
        vm.prank(address(publisher));
        registry.addUri(model, "https://elsewhere");
    }

    function test_addUri_revertsWhenNotPublisher() external {
        _expectNotPublisher();
        registry.addUri(model, "https://elsewhere");
    }

    function test_addUri_revertsWhenUnknown() external {
        ModelId unknown = ModelId.wrap(keccak256("unknown"));
        _expectUnknown(unknown);
        registry.addUri(unknown, "https://elsewhere");
    }

    function test_addUri_revertsWhenEmpty() external {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.EmptyField.selector, "uri"));
        vm.prank(address(publisher));
        registry.addUri(model, "");
    }
}

contract DeprecateTest is RegistryFixture {
    ModelId internal constant NONE = ModelId.wrap(0);

    function test_deprecate_startsFalse() external view {
        vm.assertFalse(registry.isDeprecated(model));
        _sameId(registry.successorOf(model), NONE);
    }

    function test_deprecate_setsSuccessor() external {
        _deprecate(mixedModel);
        vm.assertTrue(registry.isDeprecated(model));
        _sameId(registry.successorOf(model), mixedModel);
    }

    function test_deprecate_takesNoSuccessor() external {
        _deprecate(NONE);
        vm.assertTrue(registry.isDeprecated(model));
        _sameId(registry.successorOf(model), NONE);
    }

    function test_deprecate_replacesSuccessorWhenRepeated() external {
        _deprecate(mixedModel);
        _deprecate(NONE);
        _sameId(registry.successorOf(model), NONE);
    }

    function test_deprecate_leavesRequestsAlone() external {
        _deprecate(mixedModel);
        _propose(_ask());
    }

    function test_deprecate_emitsModelDeprecated() external {
        vm.expectEmit(address(registry));
        emit IModelRegistry.ModelDeprecated(model, address(publisher), mixedModel);
        _deprecate(mixedModel);
    }

    function test_deprecate_revertsWhenNotPublisher() external {
        _expectNotPublisher();
        registry.deprecate(model, NONE);
    }

    function test_deprecate_revertsWhenUnknown() external {
        ModelId unknown = ModelId.wrap(keccak256("unknown"));
        _expectUnknown(unknown);
        registry.deprecate(unknown, NONE);
    }

    function test_deprecate_revertsWhenItsOwnSuccessor() external {
        _expectWrongSuccessor(model);
        _deprecate(model);
    }

    function test_deprecate_revertsWhenSuccessorIsUnknown() external {
        ModelId unknown = ModelId.wrap(keccak256("unknown"));
        _expectWrongSuccessor(unknown);
        _deprecate(unknown);
    }

    function _deprecate(ModelId successor) private {
        vm.prank(address(publisher));
        registry.deprecate(model, successor);
    }

    function _expectWrongSuccessor(ModelId successor) private {
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.WrongSuccessor.selector, model, successor)
        );
    }
}

/// @dev A model's id binds every word of it.
contract ModelIdOfTest is RegistryFixture {
    ModelId internal _id;

    function setUp() public override {
        IModelRegistry.Model memory draft = _draft();
        super.setUp();
        _id = registry.idOf(stranger, draft);
    }

    function test_idOf_isTheHashOfPublisherAndModel() external view {
        IModelRegistry.Model memory draft = _draft();
        vm.assertEq(ModelId.unwrap(_id), keccak256(abi.encode(stranger, draft)));
    }

    function test_idOf_bindsPublisher() external view {
        IModelRegistry.Model memory draft = _draft();
        _differs(registry.idOf(challenger, draft));
    }

    function test_idOf_bindsName() external view {
        IModelRegistry.Model memory draft = _draft();
        draft.name = "draft2";
        _differs(registry.idOf(stranger, draft));
    }

    function test_idOf_bindsVersion() external view {
        IModelRegistry.Model memory draft = _draft();
        draft.version = "2";
        _differs(registry.idOf(stranger, draft));
    }

    function test_idOf_bindsProgramRoot() external view {
        IModelRegistry.Model memory draft = _draft();
        draft.programRoot = 0;
        _differs(registry.idOf(stranger, draft));
    }

    function test_idOf_bindsFileHash() external view {
        IModelRegistry.Model memory draft = _draft();
        draft.sourceHash = sha256("another file");
        _differs(registry.idOf(stranger, draft));
    }

    function test_idOf_bindsInputs() external view {
        IModelRegistry.Model memory draft = _draft();
        draft.inputs[0].shape[1] = 9;
        _differs(registry.idOf(stranger, draft));
    }

    function test_idOf_bindsOutputs() external view {
        IModelRegistry.Model memory draft = _draft();
        draft.outputs[0].name = "z";
        _differs(registry.idOf(stranger, draft));
    }

    function test_idOf_bindsAssurance() external view {
        IModelRegistry.Model memory draft = _draft();
        draft.assurance = IModelRegistry.Assurance.VANILLA;
        _differs(registry.idOf(stranger, draft));
    }

    function test_idOf_bindsRoyalty() external view {
        IModelRegistry.Model memory draft = _draft();
        draft.royalty = 0;
        _differs(registry.idOf(stranger, draft));
    }

    function _differs(ModelId other) private view {
        vm.assertNotEq(ModelId.unwrap(other), ModelId.unwrap(_id));
    }
}
