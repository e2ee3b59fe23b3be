// SPDX-License-Identifier: MIT
// Stand-ins for the venue's wallets and for who may move them. The Safe is the real one.
pragma solidity ^0.8.30;

struct ProxyCall {
    uint8 typeCode;
    address to;
    uint256 value;
    bytes data;
}

struct Call {
    address target;
    uint256 value;
    bytes data;
}

struct Batch {
    address wallet;
    uint256 nonce;
    uint256 deadline;
    Call[] calls;
}

abstract contract HoldsTokens {
    function onERC1155Received(address, address, uint256, uint256, bytes calldata) external pure returns (bytes4) {
        return 0xf23a6e61;
    }

    function onERC1155BatchReceived(address, address, uint256[] calldata, uint256[] calldata, bytes calldata)
        external pure returns (bytes4)
    {
        return 0xbc197c81;
    }
}

library Owner {
    function recover(bytes32 digest, bytes memory signature) internal pure returns (address) {
        require(signature.length == 65, "signature");
        (bytes32 r, bytes32 s, uint8 v) = (bytes32(0), bytes32(0), 0);
        assembly {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
        return ecrecover(digest, v, r, s);
    }
}

contract ProxyWallet is HoldsTokens {
    function proxy(ProxyCall[] calldata calls) external {
        require(msg.sender == 0xaB45c5A4B0c941a2F231C04C3f49182e1A254052, "factory only");
        for (uint256 i = 0; i < calls.length; i++) {
            (bool good, bytes memory said) = calls[i].to.call{value: calls[i].value}(calls[i].data);
            if (!good) {
                assembly {
                    revert(add(said, 32), mload(said))
                }
            }
        }
    }
}

/// Forwards to the wallet of its sender, or of whom the hub names.
contract ProxyFactory {
    address private constant HUB = 0xD216153c06E857cD7f72665E0aF1d7D82172F494;
    mapping(address => address) public walletOf;

    function setWallet(address owner, address wallet) external {
        walletOf[owner] = wallet;
    }

    function proxy(ProxyCall[] calldata calls) external {
        address owner = msg.sender;
        if (owner == HUB) {
            assembly {
                owner := shr(96, calldataload(sub(calldatasize(), 20)))
            }
        }
        require(walletOf[owner] != address(0), "no wallet");
        ProxyWallet(walletOf[owner]).proxy(calls);
    }
}

/// Like every hub of its kind it does not revert: its transaction succeeds whatever became of the request.
contract RelayHub {
    mapping(address => uint256) public getNonce;

    uint256 private constant WRONG_SIGNATURE = 1;
    uint256 private constant WRONG_NONCE = 2;

    event CanRelayFailed(
        address indexed relay, address indexed from, address indexed to, bytes4 selector, uint256 reason
    );
    event TransactionRelayed(
        address indexed relay, address indexed from, address indexed to, bytes4 selector, uint8 status, uint256 charge
    );

    function relayCall(
        address from,
        address to,
        bytes calldata encoded,
        uint256 fee,
        uint256 gasPrice,
        uint256 gasLimit,
        uint256 nonce,
        bytes calldata signature,
        bytes calldata
    ) external {
        bytes32 digest = keccak256(
            abi.encodePacked("rlx:", from, to, encoded, fee, gasPrice, gasLimit, nonce, address(this), msg.sender)
        );
        digest = keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", digest));
        uint256 problem = Owner.recover(digest, signature) != from
            ? WRONG_SIGNATURE
            : getNonce[from] != nonce ? WRONG_NONCE : 0;
        if (problem > 0) {
            emit CanRelayFailed(msg.sender, from, to, bytes4(encoded), problem);
            return;
        }
        // Used up even where the request fails.
        getNonce[from]++;
        (bool good,) = to.call{gas: gasLimit}(abi.encodePacked(encoded, from));
        emit TransactionRelayed(msg.sender, from, to, bytes4(encoded), good ? 0 : 1, 0);
    }
}

contract DepositWallet is HoldsTokens {
    uint256 public nonce;
    address public owner;

    error CallFailed();

    bytes32 private constant CALL = keccak256("Call(address target,uint256 value,bytes data)");
    bytes32 private constant BATCH = keccak256(
        "Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)Call(address target,uint256 value,bytes data)"
    );
    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

    function setOwner(address who) external {
        require(owner == address(0));
        owner = who;
    }

    function execute(Batch calldata batch, bytes calldata signature) external {
        require(msg.sender == 0x00000000000Fb5C9ADea0298D729A0CB3823Cc07, "factory only");
        require(block.timestamp <= batch.deadline, "deadline");
        require(batch.wallet == address(this) && batch.nonce == nonce, "nonce");
        nonce++;
        bytes32[] memory hashes = new bytes32[](batch.calls.length);
        for (uint256 i = 0; i < hashes.length; i++) {
            Call calldata call_ = batch.calls[i];
            hashes[i] = keccak256(abi.encode(CALL, call_.target, call_.value, keccak256(call_.data)));
        }
        bytes32 contents = keccak256(
            abi.encode(BATCH, batch.wallet, batch.nonce, batch.deadline, keccak256(abi.encodePacked(hashes)))
        );
        bytes32 domain = keccak256(
            abi.encode(DOMAIN, keccak256("DepositWallet"), keccak256("1"), block.chainid, address(this))
        );
        require(Owner.recover(keccak256(abi.encodePacked("\x19\x01", domain, contents)), signature) == owner, "signer");
        for (uint256 i = 0; i < batch.calls.length; i++) {
            (bool good,) = batch.calls[i].target.call{value: batch.calls[i].value}(batch.calls[i].data);
            if (!good) revert CallFailed();
        }
    }
}

contract DepositFactory {
    function proxy(Batch[] calldata batches, bytes[] calldata signatures) external {
        require(msg.sender == 0x7ae1Ae7000000000000000000000000000000001, "operator only");
        for (uint256 i = 0; i < batches.length; i++) {
            DepositWallet(batches[i].wallet).execute(batches[i], signatures[i]);
        }
    }

    function beacon() external pure returns (address) {
        return 0x7A18EDfe055488A3128f01F563e5B479D92ffc3a;
    }
}
