# pragma version 0.4.3
# pragma evm-version cancun
"""
@title A contract that does what a test tells it: market, arbiter, evaluator, contract wallet.
"""

event Evaluated:
    node: indexed(address)


struct Answer:
    mode: uint256  # 0 answers, 1 reverts, 2 burns its gas, 3 answers too short, 4 too long, 5 accepts all
    seconds: uint256
    decided: uint256


struct Owed:
    mode: uint256  # 0 nothing, 1 since a moment, 2 reverts
    since: uint256


_answer: Answer
_owed: Owed
_target: address
_data: Bytes[2048]
_signature: bytes4


@external
def run(target: address, data: Bytes[2048]) -> Bytes[1024]:
    return raw_call(target, data, max_outsize=1024)


@external
def set_answer(mode: uint256, seconds: uint256, decided: uint256):
    self._answer = Answer(mode=mode, seconds=seconds, decided=decided)


@external
def set_evaluation(target: address, data: Bytes[2048]):
    self._target = target
    self._data = data


@external
def set_owed(mode: uint256, since: uint256):
    self._owed = Owed(mode=mode, since=since)


@external
def set_signature(answer: bytes4):
    self._signature = answer


@external
@view
@raw_return
def accepted(rail: uint256, until: uint256) -> Bytes[96]:
    answer: Answer = self._answer
    assert answer.mode != 1, "puppet: refused"
    if answer.mode == 2:
        waste: bytes32 = empty(bytes32)
        for i: uint256 in range(100_000):
            waste = keccak256(waste)
    if answer.mode == 3:
        return slice(abi_encode(answer.seconds), 0, 32)
    if answer.mode == 4:
        return abi_encode(answer.seconds, answer.decided, until)
    if answer.mode == 5:
        return abi_encode(until - answer.seconds, until)
    return abi_encode(answer.seconds, answer.decided)


@external
def evaluate(node: address):
    log Evaluated(node=node)
    if self._target != empty(address):
        raw_call(self._target, self._data)


@external
@view
def owed_since(node: address) -> uint256:
    assert self._owed.mode != 2, "puppet: refused"
    if self._owed.mode == 1:
        return self._owed.since
    return block.timestamp


@external
@view
def isValidSignature(hashed: bytes32, signature: Bytes[1024]) -> bytes4:
    return self._signature


@external
@payable
def __default__():
    pass
