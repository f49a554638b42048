# pragma version 0.4.3
# Tells the status that a test has set, and how it was settled; broken ones revert.

from interfaces import IStatus

implements: IStatus

struct Settled:
    value: int256
    at: uint256


broken: public(bool)
_settled: HashMap[address, HashMap[bytes32, Settled]]


@external
def settle(subject: address, aspect: bytes32, measured: int256, at: uint256):
    self._settled[subject][aspect] = Settled(value=measured, at=at)


@external
def set_broken(broken_: bool):
    self.broken = broken_


@external
@view
def value_of(subject: address, aspect: bytes32) -> (int256, uint256):
    assert not self.broken, "gauge: broken"
    found: Settled = self._settled[subject][aspect]
    return found.value, found.at
