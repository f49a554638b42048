# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A contract wallet of two owners: either calls in its name, both must sign (ERC-1271).
"""

owners: public(immutable(address[2]))


@deploy
def __init__(first: address, second: address):
    owners = [first, second]


@external
def run(target: address, data: Bytes[2048]) -> Bytes[1024]:
    assert msg.sender in owners, "wallet: not an owner"
    return raw_call(target, data, max_outsize=1024)


@external
@view
def isValidSignature(hashed: bytes32, signature: Bytes[1024]) -> bytes4:
    assert len(signature) == 130, "wallet: two signatures of 65 bytes"
    for i: uint256 in range(2):
        r: uint256 = convert(slice(signature, i * 65, 32), uint256)
        s: uint256 = convert(slice(signature, i * 65 + 32, 32), uint256)
        v: uint256 = convert(slice(signature, i * 65 + 64, 1), uint256)
        if ecrecover(hashed, v, r, s) != owners[i]:
            return 0x00000000
    return 0x1626BA7E
