// SPDX-License-Identifier: MIT
// Stand-ins for the contracts that turn tokens into money, right ones and wrong ones.
pragma solidity ^0.8.30;

import "./tokens.sol";

interface IConditionalTokens {
    function getCollectionId(bytes32 parent, bytes32 condition, uint256 indexSet) external view returns (bytes32);
    function getPositionId(address collateral, bytes32 collection) external pure returns (uint256);
    function balanceOf(address owner, uint256 id) external view returns (uint256);
    function redeemPositions(address collateral, bytes32 parent, bytes32 condition, uint256[] calldata sets) external;
    function safeBatchTransferFrom(
        address from, address to, uint256[] calldata ids, uint256[] calldata amounts, bytes calldata data
    ) external;
}

/// What every adapter of the older ledger does first: take the holder's whole balance of both outcomes.
abstract contract TakesTokens {
    IConditionalTokens internal constant CTF = IConditionalTokens(0x4D97DCd97eC945f40cF65F87097ACe5EA0476045);
    Money internal constant OLD = Money(0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174);
    Money internal constant NEW = Money(0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB);

    function onERC1155Received(address, address, uint256, uint256, bytes calldata) external pure returns (bytes4) {
        return 0xf23a6e61;
    }

    function onERC1155BatchReceived(address, address, uint256[] calldata, uint256[] calldata, bytes calldata)
        external pure returns (bytes4)
    {
        return 0xbc197c81;
    }

    function _take(address holder, bytes32 condition) internal {
        uint256[] memory ids = new uint256[](2);
        uint256[] memory amounts = new uint256[](2);
        for (uint256 i = 0; i < 2; i++) {
            ids[i] = CTF.getPositionId(address(OLD), CTF.getCollectionId(bytes32(0), condition, i + 1));
            amounts[i] = CTF.balanceOf(holder, ids[i]);
        }
        CTF.safeBatchTransferFrom(holder, address(this), ids, amounts, "");
    }

    /// Redeem what was taken, and pay out whatever the contract holds, stray dust included.
    function _redeem(address holder, bytes32 condition) internal returns (uint256 paid) {
        uint256[] memory sets = new uint256[](2);
        (sets[0], sets[1]) = (1, 2);
        CTF.redeemPositions(address(OLD), bytes32(0), condition, sets);
        paid = OLD.balanceOf(address(this));
        OLD.burn(address(this), paid);
        if (paid > 0) NEW.mint(holder, paid);
    }
}

/// The venue's adapter: all arguments but the condition are ignored.
contract CollateralAdapter is TakesTokens {
    bool private _paused;

    function setPaused(bool paused) external {
        _paused = paused;
    }

    function redeemPositions(address, bytes32, bytes32 condition, uint256[] calldata) external {
        if (_paused) {
            assembly {
                mstore(0, shl(224, 0x49b8b3ac)) // OnlyUnpaused
                revert(0, 4)
            }
        }
        _take(msg.sender, condition);
        _redeem(msg.sender, condition);
    }
}

/// Succeeds and does nothing.
contract KeepingAdapter {
    function redeemPositions(address, bytes32, bytes32, uint256[] calldata) external {}
}

/// Takes the tokens and pays nothing.
contract TakingAdapter is TakesTokens {
    function redeemPositions(address, bytes32, bytes32 condition, uint256[] calldata) external {
        _take(msg.sender, condition);
    }
}

/// Pays one millionth less than it should.
contract ShortAdapter is TakesTokens {
    function redeemPositions(address, bytes32, bytes32 condition, uint256[] calldata) external {
        _take(msg.sender, condition);
        uint256 paid = _redeem(address(this), condition);
        NEW.transfer(msg.sender, paid - 1);
    }
}

/// The newer ledger's way: one outcome and one amount a call.
contract Router {
    PositionManager private constant MANAGER = PositionManager(0x006F54F7f9A22e0000CC2AB60031000000ae9fEF);
    BinaryModule private constant MODULE = BinaryModule(0x1000008dD9001B968442c1000017eaE6E0dA00Ba);
    Money private constant NEW = Money(0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB);

    error InvalidOutcome();

    event RouterPositionRedeemed(
        address indexed initiator, uint256 indexed positionId, uint256 amount, uint256 payout
    );

    function redeem(bytes31 conditionId, uint256 outcome, uint256 amount) external {
        if (outcome > 1) revert InvalidOutcome();
        uint256 id = uint256(bytes32(conditionId)) | outcome;
        uint256 payout = MANAGER.getPayout(id, amount);
        MANAGER.burn(address(this), msg.sender, id, amount);
        if (payout > 0) NEW.mint(msg.sender, payout);
        MODULE.redeemed(address(this), id, msg.sender, amount, payout);
        emit RouterPositionRedeemed(msg.sender, id, amount, payout);
    }
}

/// The venue redeems for whoever approved it; the money goes to the holder.
contract AutoRedeemer is TakesTokens {
    PositionManager private constant MANAGER = PositionManager(0x006F54F7f9A22e0000CC2AB60031000000ae9fEF);

    function redeemFor(address holder, bytes32 condition) external {
        _take(holder, condition);
        _redeem(holder, condition);
    }

    function redeemPositionFor(address holder, uint256 id) external {
        uint256 amount = MANAGER.balanceOf(holder, id);
        uint256 payout = MANAGER.getPayout(id, amount);
        MANAGER.burn(address(this), holder, id, amount);
        if (payout > 0) NEW.mint(holder, payout);
    }
}
