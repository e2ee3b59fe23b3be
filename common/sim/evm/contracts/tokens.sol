// SPDX-License-Identifier: MIT
// Stand-ins for money and for the newer ledger's tokens. Anybody may mint: they only live on a test chain.
pragma solidity ^0.8.30;

/// An ERC-20 with six decimals; planted as pUSD and as USDC.e.
contract Money {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    uint8 public constant decimals = 6;

    event Transfer(address indexed from, address indexed to, uint256 amount);
    event Approval(address indexed owner, address indexed spender, uint256 amount);

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
        emit Transfer(address(0), to, amount);
    }

    function burn(address from, uint256 amount) external {
        balanceOf[from] -= amount;
        emit Transfer(from, address(0), amount);
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        return _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
        emit Transfer(from, to, amount);
        return true;
    }
}

/// Results of the newer ledger in millionths; anybody may set one, once.
contract BinaryModule {
    mapping(bytes31 => uint256[]) private _results;

    event ConditionResolved(bytes31 indexed conditionId, uint256[] result);
    event PositionRedeemed(
        address indexed initiator, uint256 indexed positionId, address indexed recipient, uint256 amount, uint256 payout
    );

    function setResult(bytes31 conditionId, uint256 yes, uint256 no) external {
        require(_results[conditionId].length == 0 && yes + no == 1e6);
        _results[conditionId].push(yes);
        _results[conditionId].push(no);
        emit ConditionResolved(conditionId, _results[conditionId]);
    }

    function getResult(bytes31 conditionId) external view returns (uint256[] memory) {
        return _results[conditionId];
    }

    function redeemed(address initiator, uint256 id, address recipient, uint256 amount, uint256 payout) external {
        emit PositionRedeemed(initiator, id, recipient, amount, payout);
    }
}

/// The newer ledger's tokens (ERC-1155), as far as a redemption touches them.
contract PositionManager {
    BinaryModule private constant MODULE = BinaryModule(0x1000008dD9001B968442c1000017eaE6E0dA00Ba);
    mapping(uint256 => mapping(address => uint256)) private _balances;
    mapping(address => mapping(address => bool)) public isApprovedForAll;

    error ConditionNotResolved();
    error NotApproved();
    error InsufficientBalance();

    event TransferSingle(
        address indexed operator, address indexed from, address indexed to, uint256 id, uint256 amount
    );
    event ApprovalForAll(address indexed owner, address indexed operator, bool approved);

    function mint(address to, uint256 id, uint256 amount) external {
        _balances[id][to] += amount;
        emit TransferSingle(msg.sender, address(0), to, id, amount);
    }

    /// The Router's and the AutoRedeemer's way; both see to the approval of the holder.
    function burn(address operator, address from, uint256 id, uint256 amount) external {
        if (!isApprovedForAll[from][operator]) revert NotApproved();
        if (_balances[id][from] < amount) revert InsufficientBalance();
        _balances[id][from] -= amount;
        emit TransferSingle(operator, from, address(0), id, amount);
    }

    function setApprovalForAll(address operator, bool approved) external {
        isApprovedForAll[msg.sender][operator] = approved;
        emit ApprovalForAll(msg.sender, operator, approved);
    }

    /// Asks no receiver whether it takes tokens: all that hold some here do.
    function safeTransferFrom(address from, address to, uint256 id, uint256 amount, bytes calldata) external {
        if (msg.sender != from && !isApprovedForAll[from][msg.sender]) revert NotApproved();
        if (_balances[id][from] < amount) revert InsufficientBalance();
        _balances[id][from] -= amount;
        _balances[id][to] += amount;
        emit TransferSingle(msg.sender, from, to, id, amount);
    }

    function balanceOf(address owner, uint256 id) external view returns (uint256) {
        return _balances[id][owner];
    }

    function getPayout(uint256 positionId, uint256 amount) external view returns (uint256) {
        uint256[] memory result = MODULE.getResult(bytes31(bytes32(positionId)));
        if (result.length == 0) revert ConditionNotResolved();
        return amount * result[positionId & 0xff] / 1e6;
    }
}
