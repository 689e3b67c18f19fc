// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Deployer} from "../../contracts/Deployer.sol";
import {Blueprint, IDeployer} from "../../contracts/interfaces/IDeployer.sol";
import {Cheats} from "./Cheats.sol";
import {Test} from "./Test.sol";

/// @notice Knows another contract and a number.
contract Pair {
    address public immutable OTHER;
    uint256 public immutable NUMBER;

    constructor(address other, uint256 number) {
        OTHER = other;
        NUMBER = number;
    }
}

contract Switch {
    error Closed(address sender);

    bool private _isOpen;

    function open() external {
        _isOpen = true;
    }

    function requireOpen() external view {
        require(_isOpen, Closed(msg.sender));
    }
}

/// @notice Can be created only once somebody has opened the switch.
contract Late {
    constructor(Switch gate) {
        gate.requireOpen();
    }
}

/// @notice Hands the deployer the blueprint that it finds in a box while it is itself being created.
contract Hasty {
    constructor(Box box) {
        IDeployer(msg.sender).place(box.blueprint());
    }
}

contract Box {
    Blueprint private _blueprint;

    function put(Blueprint calldata blueprint_) external {
        _blueprint = blueprint_;
    }

    function blueprint() external view returns (Blueprint memory) {
        return _blueprint;
    }
}

abstract contract DeployerFixture is Test {
    Cheats internal constant cheats =
        Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint256 private constant START = 1_800_000_000;

    IDeployer internal deployer;
    Blueprint[] internal _blueprints;
    address internal stranger;

    /// @dev Two that name each other, and one more.
    function setUp() public virtual {
        vm.warp(START);
        stranger = _actor("stranger");
        _blueprints.push(_pair(1, 11));
        _blueprints.push(_pair(0, 22));
        _blueprints.push(_pair(2, 33));
        _deploy();
    }

    function _deploy() internal {
        bytes32[] memory hashes = new bytes32[](_blueprints.length);
        for (uint256 i; i < hashes.length; ++i) {
            hashes[i] = _hash(_blueprints[i]);
        }
        bytes memory arguments = abi.encode(hashes);
        deployer = IDeployer(cheats.deployCode("Deployer.sol:Deployer", arguments));
    }

    function _pair(uint256 sibling, uint256 number) internal pure returns (Blueprint memory made) {
        made = Blueprint(type(Pair).creationCode, new uint256[](1), new uint256[](1));
        made.siblings[0] = sibling;
        made.parameters[0] = number;
    }

    /// @dev One whose constructor takes an address that is no sibling's.
    function _with(bytes memory code, address argument)
        internal
        pure
        returns (Blueprint memory made)
    {
        made = Blueprint(code, new uint256[](0), new uint256[](1));
        made.parameters[0] = uint160(argument);
    }

    function _hash(Blueprint memory blueprint) internal pure returns (bytes32) {
        return keccak256(abi.encode(blueprint));
    }

    function _place(uint256 index) internal returns (address) {
        return deployer.place(_blueprints[index]);
    }

    function _expectWrongInitCode(uint256 index, Blueprint memory blueprint) internal {
        vm.expectRevert(
            abi.encodeWithSelector(
                IDeployer.WrongInitCode.selector, index, _hash(blueprint), _hash(_blueprints[index])
            )
        );
    }

    function _expectNoSuchContract(uint256 index) internal {
        vm.expectRevert(
            abi.encodeWithSelector(IDeployer.NoSuchContract.selector, index, _blueprints.length)
        );
    }

    /// @dev That nothing but `count` successes has left a trace.
    function _assertPlaced(uint256 count) internal view {
        vm.assertEq(deployer.placedCount(), count, "placed");
        vm.assertEq(cheats.getNonce(address(deployer)), count + 1, "nonce");
        for (uint256 i; i < _blueprints.length; ++i) {
            vm.assertEq(deployer.addressOf(i).code.length != 0, i < count);
        }
    }
}

contract PlaceTest is DeployerFixture {
    function test_place_createsEachWhereItWasSaidToLie() external {
        for (uint256 i; i < _blueprints.length; ++i) {
            address expected = deployer.addressOf(i);
            vm.assertEq(_place(i), expected);
            _assertPlaced(i + 1);
        }
    }

    function test_place_tellsEachWhereItsSiblingIs() external {
        (address first, address second) = (_place(0), _place(1));

        vm.assertEq(Pair(first).OTHER(), second);
        vm.assertEq(Pair(second).OTHER(), first);
        vm.assertEq(Pair(first).NUMBER(), 11);
        vm.assertEq(Pair(second).NUMBER(), 22);
    }

    function test_place_emitsContractPlaced() external {
        vm.expectEmit(address(deployer));
        emit IDeployer.ContractPlaced(0, deployer.addressOf(0));
        _place(0);
    }

    function test_place_goesOnFromWhateverAnybodyPlaced() external {
        _place(0);
        vm.prank(stranger);
        _place(1);

        _expectWrongInitCode(2, _blueprints[1]);
        _place(1);

        _place(2);
        _assertPlaced(3);
    }

    function test_place_revertsOutOfOrder() external {
        _expectWrongInitCode(0, _blueprints[2]);
        _place(2);
        _assertPlaced(0);
    }

    function testFuzz_place_revertsWhenTheCodeDiffers(uint256 at, bytes1 change) external {
        vm.assume(change != 0);
        Blueprint memory wrong = _blueprints[0];
        at = _bound(at, 0, wrong.code.length - 1);
        wrong.code[at] ^= change;

        _expectWrongInitCode(0, wrong);
        deployer.place(wrong);
        _assertPlaced(0);
    }

    function testFuzz_place_revertsWhenAnArgumentDiffers(uint256 sibling, uint256 number) external {
        vm.assume(sibling != 1 || number != 11);
        Blueprint memory wrong = _pair(sibling, number);

        _expectWrongInitCode(0, wrong);
        deployer.place(wrong);
    }

    /// @dev The same init code, cut at another place, is another blueprint.
    function test_place_revertsWhenParametersStandAsCode() external {
        Blueprint memory wrong = _blueprints[0];
        wrong.code = bytes.concat(wrong.code, abi.encode(deployer.addressOf(1), 11));
        (wrong.siblings, wrong.parameters) = (new uint256[](0), new uint256[](0));

        _expectWrongInitCode(0, wrong);
        deployer.place(wrong);
    }

    function test_place_revertsWhenAllAreThere() external {
        for (uint256 i; i < 3; ++i) {
            _place(i);
        }

        _expectNoSuchContract(3);
        _place(2);
        _assertPlaced(3);
    }

    function test_place_takesNoEther() external {
        bytes memory data = abi.encodeCall(IDeployer.place, (_blueprints[0]));
        (bool isPlaced,) = address(deployer).call{value: 1}(data);
        (bool isSent,) = address(deployer).call{value: 1}("");

        vm.assertFalse(isPlaced || isSent);
        _assertPlaced(0);
    }
}

/// @notice A creation that fails takes no nonce: whoever could burn one would move all that come after.
contract FailedPlaceTest is DeployerFixture {
    Switch private _switch;
    Box private _box;

    function setUp() public override {
        super.setUp();
        _switch = new Switch();
        _box = new Box();
        delete _blueprints;
        _blueprints.push(_with(type(Late).creationCode, address(_switch)));
        _blueprints.push(_with(type(Hasty).creationCode, address(_box)));
        _blueprints.push(_pair(0, 33));
        _deploy();
    }

    function test_place_revertsWithWhatTheConstructorSays() external {
        bytes memory reason = abi.encodeWithSelector(Switch.Closed.selector, deployer.addressOf(0));
        vm.expectRevert(abi.encodeWithSelector(IDeployer.CreationFailed.selector, 0, reason));
        _place(0);
    }

    function test_place_leavesNoHoleWhenTheConstructorReverts() external {
        address expected = deployer.addressOf(0);
        bytes memory data = abi.encodeCall(IDeployer.place, (_blueprints[0]));
        (bool isPlaced,) = address(deployer).call(data);
        vm.assertFalse(isPlaced);
        _assertPlaced(0);

        _switch.open();
        vm.assertEq(_place(0), expected);
        _assertPlaced(1);
    }

    /// @dev EIP-150 leaves the caller a 64th, which may be enough to go on after a creation that ran out of gas.
    function testFuzz_place_leavesNoHoleWhenGasRunsOut(uint256 gas_) external {
        _switch.open();
        _place(0);
        _box.put(_blueprints[2]);
        bytes memory data = abi.encodeCall(IDeployer.place, (_blueprints[1]));
        (bool isPlaced,) = address(deployer).call{gas: _bound(gas_, 20_000, 1_000_000)}(data);

        if (!isPlaced) {
            _assertPlaced(1);
            _place(1);
        }
        _assertPlaced(3);
    }

    function test_place_keepsTheOrderWhenAConstructorPlacesTheNext() external {
        _switch.open();
        _place(0);
        _box.put(_blueprints[2]);
        address second = deployer.addressOf(1);

        vm.assertEq(_place(1), second);
        _assertPlaced(3);
        vm.assertEq(Pair(deployer.addressOf(2)).NUMBER(), 33);
    }

    function test_place_undoesBothWhenAConstructorPlacesAWrongOne() external {
        _switch.open();
        _place(0);
        _box.put(_blueprints[0]);
        bytes memory data = abi.encodeCall(IDeployer.place, (_blueprints[1]));
        (bool isPlaced,) = address(deployer).call(data);

        vm.assertFalse(isPlaced);
        _assertPlaced(1);
    }
}

contract DeployerViewsTest is DeployerFixture {
    function testFuzz_addressOf_isWhatTheChainDerives(uint256 index) external {
        _list(127);
        index = _bound(index, 0, 126);

        vm.assertEq(
            deployer.addressOf(index), cheats.computeCreateAddress(address(deployer), index + 1)
        );
    }

    function test_addressOf_revertsBeyondTheList() external {
        _expectNoSuchContract(3);
        deployer.addressOf(3);
    }

    function test_hashOf_isTheBlueprints() external view {
        vm.assertEq(deployer.hashOf(1), _hash(_blueprints[1]));
    }

    function test_hashOf_revertsBeyondTheList() external {
        _expectNoSuchContract(type(uint256).max);
        deployer.hashOf(type(uint256).max);
    }

    function test_createdAt_isTheTimeOfTheDeployer() external view {
        vm.assertEq(deployer.CREATED_AT(), block.timestamp);
    }

    function test_constructor_revertsBeyondNoncesOfAByte() external {
        vm.expectRevert(abi.encodeWithSelector(IDeployer.TooManyContracts.selector, 128, 127));
        new Deployer(new bytes32[](128));
    }

    function _list(uint256 count) private {
        bytes memory arguments = abi.encode(new bytes32[](count));
        deployer = IDeployer(cheats.deployCode("Deployer.sol:Deployer", arguments));
    }
}
