// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IModelRegistry, ModelId} from "./interfaces/IModelRegistry.sol";
import {ModelTerms, ModelTermsLibrary} from "./libraries/ModelTerms.sol";

/// @title ModelRegistry
contract ModelRegistry is IModelRegistry {
    struct Deprecation {
        bool isDeprecated;
        ModelId successor;
    }

    /// @dev Bytes of what an id is the hash of: some 45 tensors of rank 4.
    uint256 private constant MAX_PREIMAGE = 1 << 14;

    mapping(ModelId id => ModelTerms) private _terms;
    mapping(ModelId id => Deprecation) private _deprecations;

    /// @inheritdoc IModelRegistry
    function publish(Model calldata model, string calldata uri) external returns (ModelId id) {
        bytes memory preimage = abi.encode(msg.sender, model);
        id = ModelId.wrap(keccak256(preimage));

        // Every demand and every proof passes it: with a name of 400 KB none would fit in a transaction.
        require(preimage.length <= MAX_PREIMAGE, PreimageTooLong(preimage.length, MAX_PREIMAGE));
        require(!_terms[id].exists(), ModelExists(id));
        require(bytes(model.name).length != 0, EmptyField("name"));
        require(bytes(model.version).length != 0, EmptyField("version"));
        require(model.sourceHash != 0, EmptyField("sourceHash"));
        require(model.generation == 0, GenerationUnsupported(model.generation));
        require(model.inputs.length != 0, EmptyField("inputs"));
        require(model.outputs.length != 0, EmptyField("outputs"));
        bool isExact = model.assurance == Assurance.EXACT;
        require(
            isExact == (model.programRoot != 0),
            WrongProgramRoot(model.assurance, model.programRoot)
        );
        require(model.royalty % 1 gwei == 0, RoyaltyNotWholeGwei(model.royalty));
        uint256 maximum = ModelTermsLibrary.MAX_ROYALTY;
        require(model.royalty <= maximum, RoyaltyTooLarge(model.royalty, maximum));

        _terms[id] = ModelTermsLibrary.pack(
            msg.sender,
            model.royalty,
            _payloadLength(model.inputs),
            _payloadLength(model.outputs),
            isExact,
            _isFloat32(model.outputs)
        );

        emit ModelPublished(id, msg.sender, model, uri);
    }

    /// @inheritdoc IModelRegistry
    function addUri(ModelId id, string calldata uri) external {
        _requirePublisher(id);
        require(bytes(uri).length != 0, EmptyField("uri"));

        emit ModelUriAdded(id, msg.sender, uri);
    }

    /// @inheritdoc IModelRegistry
    function deprecate(ModelId id, ModelId successor) external {
        _requirePublisher(id);
        bool hasSuccessor = ModelId.unwrap(successor) != 0;
        bool isOther = ModelId.unwrap(successor) != ModelId.unwrap(id);
        require(
            !hasSuccessor || (isOther && _terms[successor].exists()), WrongSuccessor(id, successor)
        );

        _deprecations[id] = Deprecation(true, successor);

        emit ModelDeprecated(id, msg.sender, successor);
    }

    /// @inheritdoc IModelRegistry
    function termsOf(ModelId id) external view returns (ModelTerms) {
        return _terms[id];
    }

    /// @inheritdoc IModelRegistry
    function isDeprecated(ModelId id) external view returns (bool) {
        return _deprecations[id].isDeprecated;
    }

    /// @inheritdoc IModelRegistry
    function successorOf(ModelId id) external view returns (ModelId) {
        return _deprecations[id].successor;
    }

    /// @inheritdoc IModelRegistry
    function idOf(address publisher, Model calldata model) public pure returns (ModelId) {
        return ModelId.wrap(keccak256(abi.encode(publisher, model)));
    }

    function _requirePublisher(ModelId id) private view {
        ModelTerms terms = _terms[id];
        require(terms.exists(), UnknownModel(id));
        require(msg.sender == terms.publisher(), NotPublisher(id, msg.sender, terms.publisher()));
    }

    /// @return length Bytes of the tensors' elements, one after the other.
    function _payloadLength(Tensor[] calldata tensors) private pure returns (uint256 length) {
        uint256 maximum = ModelTermsLibrary.MAX_LENGTH;
        for (uint256 i; i < tensors.length; ++i) {
            Tensor calldata tensor = tensors[i];
            uint256 size = _itemSize(tensor.dtype);
            require(size != 0, UnsupportedDType(tensor.name, tensor.dtype));
            for (uint256 axis; axis < tensor.shape.length; ++axis) {
                require(tensor.shape[axis] != 0, EmptyTensor(tensor.name));
                // Below 2^24 before and 2^56 after, so the product cannot overflow whatever the rank.
                size *= tensor.shape[axis];
                require(size <= maximum, PayloadTooLarge(tensor.name, size, maximum));
            }
            length += size;
            require(length <= maximum, PayloadTooLarge(tensor.name, length, maximum));
        }
    }

    function _isFloat32(Tensor[] calldata tensors) private pure returns (bool) {
        for (uint256 i; i < tensors.length; ++i) {
            if (tensors[i].dtype != DType.FLOAT) return false;
        }
        return true;
    }

    /// @return Bytes of an element; zero for a dtype that has no fixed size or no place in the EVM.
    function _itemSize(DType dtype) private pure returns (uint256) {
        // One hex digit a code, code 0 lowest: FLOAT 4, UINT8 1, INT8 1, UINT16 2, INT16 2, INT32 4, INT64 8, STRING 0,
        // BOOL 1, FLOAT16 2, DOUBLE 8, UINT32 4, UINT64 8, COMPLEX64 0, COMPLEX128 0, BFLOAT16 2.
        return (0x20084821084221140 >> (uint256(dtype) * 4)) & 0xf;
    }
}
