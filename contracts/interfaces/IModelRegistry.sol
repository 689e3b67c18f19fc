// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ModelTerms} from "../libraries/ModelTerms.sol";

/// @dev The hash of everything in a model that can never change, its publisher included.
type ModelId is bytes32;

/// @title The models that may be asked
/// @notice A model is published once and never changes: its id is the hash of all that it is. Nobody owns the registry,
/// nobody may remove a model, and a model's publisher may only add hints: where its file lies, and what replaces it.
interface IModelRegistry {
    /// @dev How results are checked.
    enum Assurance {
        VANILLA, // onnxruntime with pinned options; no referee can judge it
        EXACT // every output bit is defined by the law and can be proved
    }

    /// @dev ONNX's own codes (TensorProto.DataType). Only dtypes of a fixed size may stand in a signature.
    enum DType {
        UNDEFINED,
        FLOAT,
        UINT8,
        INT8,
        UINT16,
        INT16,
        INT32,
        INT64,
        STRING,
        BOOL,
        FLOAT16,
        DOUBLE,
        UINT32,
        UINT64,
        COMPLEX64,
        COMPLEX128,
        BFLOAT16
    }

    /// @param shape Static: a model with a free batch size is published once for each size. Empty for a scalar.
    struct Tensor {
        string name;
        DType dtype;
        uint32[] shape;
    }

    /// @param programRoot Root of the program's node descriptors and constants; zero for VANILLA.
    /// @param sourceHash SHA-256 of the .onnx file: what the program was lowered from, or what is run of VANILLA.
    /// @param generation Hash of how outputs are generated; zero for models that are run once, and no other is taken yet.
    /// @param royalty Wei to the publisher out of each inference's fee, a whole number of gwei.
    struct Model {
        string name;
        string version;
        bytes32 programRoot;
        bytes32 sourceHash;
        bytes32 generation;
        Tensor[] inputs;
        Tensor[] outputs;
        Assurance assurance;
        uint256 royalty;
    }

    /// @param uri Where the file may lie; a hint, since what lies there is checked against
    /// `programRoot`, or against `sourceHash` for VANILLA. May be empty.
    event ModelPublished(ModelId indexed id, address indexed publisher, Model model, string uri);
    event ModelUriAdded(ModelId indexed id, address indexed publisher, string uri);
    /// @param successor The model to use instead; zero where there is none.
    event ModelDeprecated(ModelId indexed id, address indexed publisher, ModelId successor);

    /// @dev Names and signature are too long to be passed in a dispute.
    error PreimageTooLong(uint256 length, uint256 maximum);
    error ModelExists(ModelId id);
    error UnknownModel(ModelId id);
    error NotPublisher(ModelId id, address caller, address publisher);
    error EmptyField(string field);
    error WrongProgramRoot(Assurance assurance, bytes32 programRoot);
    error GenerationUnsupported(bytes32 generation);
    error UnsupportedDType(string tensor, DType dtype);
    error EmptyTensor(string tensor);
    error PayloadTooLarge(string tensor, uint256 length, uint256 maximum);
    error RoyaltyNotWholeGwei(uint256 royalty);
    error RoyaltyTooLarge(uint256 royalty, uint256 maximum);
    error WrongSuccessor(ModelId id, ModelId successor);

    /// @notice Publishes a model. Anyone may; the id holds the caller, so nobody can take another's model's id.
    /// @dev Not checked: that the program exists, and that the file of `sourceHash` lowers to it. Whoever runs the model
    /// checks the former; a model whose program nobody has can only go unanswered.
    function publish(Model calldata model, string calldata uri) external returns (ModelId id);

    /// @notice Adds a place where the file may lie. Only the publisher.
    function addUri(ModelId id, string calldata uri) external;

    /// @notice Says that a model should no longer be used, and which one should. Only the publisher; may be repeated.
    /// @dev A word of advice: requests for a deprecated model go on as before, or a publisher could stop a live dApp.
    /// @param successor A published model other than this, or zero.
    function deprecate(ModelId id, ModelId successor) external;

    /// @notice What the queue needs of a model, in one word; zero for an unknown model.
    function termsOf(ModelId id) external view returns (ModelTerms);

    function isDeprecated(ModelId id) external view returns (bool);

    /// @notice The model to use instead of a deprecated one; zero where there is none.
    function successorOf(ModelId id) external view returns (ModelId);

    /// @notice The id that `publisher` gets for `model`. The same on every chain.
    function idOf(address publisher, Model calldata model) external pure returns (ModelId);
}
