# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Typed data
@license Apache-2.0
@notice EIP-712 digests bound to a chain, a contract and a network, and strict signature recovery.
@dev A library without state. The salt of every domain is the network id, so nothing replays
     between two networks that share a chain id. `recover` refuses high-s and any v but 27 and 28:
     one message has one valid signature.
"""

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
)
VERSION: constant(bytes32) = keccak256("1")
HALF_ORDER: constant(uint256) = (
    57896044618658097711785492504343953926418782139537452191302581570759080747168
)


@internal
@view
def separator(name: bytes32, network_id: bytes32) -> bytes32:
    """
    @notice The domain separator of this contract; `name` is the keccak256 of the domain's name.
    """
    return keccak256(abi_encode(DOMAIN_TYPE, name, VERSION, chain.id, self, network_id))


@internal
@view
def digest(name: bytes32, network_id: bytes32, struct_hash: bytes32) -> bytes32:
    """
    @notice What is signed: 0x1901, the domain separator, the hash of the struct.
    """
    return keccak256(concat(x"1901", self.separator(name, network_id), struct_hash))


@internal
@pure
def recover(message: bytes32, v: uint256, r: bytes32, s: bytes32) -> address:
    """
    @notice The signer, or the zero address where the signature is malformed.
    """
    if v not in [27, 28] or convert(s, uint256) > HALF_ORDER:
        return empty(address)
    return ecrecover(message, v, convert(r, uint256), convert(s, uint256))


@internal
@pure
def recover_packed(message: bytes32, signature: Bytes[1024]) -> address:
    """
    @notice As `recover`, from r || s || v in 65 bytes.
    """
    if len(signature) != 65:
        return empty(address)
    return self.recover(
        message,
        convert(slice(signature, 64, 1), uint256),
        convert(slice(signature, 0, 32), bytes32),
        convert(slice(signature, 32, 32), bytes32),
    )
