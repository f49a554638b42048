# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title Devices
@license Apache-2.0
@notice Which devices report to the network: sensors and meters with keys and no endpoint, their
        owner, what names them, where they are paid, and a commitment to where they stand.
@dev A device has two keys. The agent key is of an account; its address is the device's id, and it
     signs what the chain must check. The device key, Ed25519 or P-256, signs readings; it is listed
     in its did:key form: a multicodec prefix (0xed01, 0x8024) and 32 or 33 bytes.
     Threats and what meets them.
     - Listing somebody else's device: the agent key signs its consent to the owner, bound to the
       device key, a generation, a deadline and (by the domain) to this contract, chain and network.
     - Claiming somebody else's device key, and with it his readings: `binding` is that key's own
       signature over the network, the device and its owner. No contract can check those curves at a
       bearable cost, so this one only keeps it, and every reader checks it: a device whose binding
       is wrong counts for nobody. So the same key may stand here twice, and one of them counts.
     - Taking a device over: the first owner is the owner for ever. A retired device returns only
       under the same owner, with a new generation and a new consent; what was approved for the
       generation before is void (`generation_of`).
     - A stolen agent key: it can tell a firmware and sign receipts; the owner retires the device.
     - Telling where people live: `place` is a hash of a cell and 32 random bytes that the owner
       keeps; nobody can search it.
     - Filling the list, which services read device by device: a new device burns `fee` of its
       owner's tokens. A return, and what a device says of itself, add nothing to the list: free.
     - Changing the fee under a waiting transaction: it never passes MAX_FEE, and an owner approves
       no more than what he read.
     - Long texts and keys: every length is bounded, and keys are of two exact forms.
     - Re-entrance: state is written before the token is called.
     Trust: the governor may pause new enrolments and set the fee within MAX_FEE. It cannot change,
     retire or name any device; what is enrolled stays. Firmware is what its teller says.
"""

from interfaces import IDevices
from modules import typed

implements: IDevices

interface IBurnable:
    def burn_from(owner: address, amount: uint256): nonpayable


event Enrolled:
    device: indexed(address)
    owner: indexed(address)
    generation: uint64
    key: Bytes[35]
    binding: Bytes[64]
    place: bytes32
    firmware: String[32]
    payout: address
    burned: uint256


event Updated:
    device: indexed(address)
    owner: indexed(address)
    place: bytes32
    payout: address


event Reported:
    device: indexed(address)
    sender: indexed(address)
    firmware: String[32]


event Retired:
    device: indexed(address)
    owner: indexed(address)
    generation: uint64


event PausedSet:
    paused: bool


event FeeSet:
    fee: uint256


struct Device:
    owner: address
    payout: address
    generation: uint64
    enrolled_at: uint64
    retired: bool
    key: Bytes[35]
    binding: Bytes[64]
    place: bytes32
    firmware: String[32]


ENROLMENT_TYPE: constant(bytes32) = keccak256(
    "Enrolment(address device,address owner,bytes32 key,uint64 generation,uint64 deadline)"
)
DOMAIN_NAME: constant(bytes32) = keccak256("Freehold devices")
MAX_FEE: constant(uint256) = 1_000 * 10**18
ED25519: constant(Bytes[2]) = x"ed01"
P256: constant(Bytes[2]) = x"8024"

network_id: public(immutable(bytes32))
governor: public(immutable(address))
token: public(immutable(address))

paused: public(bool)
fee: public(uint256)
count: public(uint256)
_devices: HashMap[address, Device]
_list: HashMap[uint256, address]


@deploy
def __init__(network_id_: bytes32, governor_: address, token_: address, fee_: uint256):
    assert governor_ != empty(address), "devices: no governor"
    assert token_.is_contract, "devices: token has no code"
    assert fee_ <= MAX_FEE, "devices: fee too high"
    network_id = network_id_
    governor = governor_
    token = token_
    self.fee = fee_


@external
def enroll(
    device: address,
    key: Bytes[35],
    binding: Bytes[64],
    place: bytes32,
    firmware: String[32],
    payout: address,
    deadline: uint64,
    consent: Bytes[65],
):
    """
    @notice List a device, or bring a retired one back; the caller is its owner. A new device burns
            `fee` of the caller's tokens, for which he approved this contract.
    @param key The device key, prefix and bytes.
    @param binding Signature of the device key over network, device and owner; readers check it.
    @param consent Signature of the agent key, the device's id.
    """
    assert not self.paused, "devices: paused"
    assert device not in [empty(address), msg.sender], "devices: wrong device"
    assert block.timestamp <= convert(deadline, uint256), "devices: consent expired"
    assert payout != empty(address), "devices: no payout"
    assert self._is_key(key), "devices: wrong key"
    assert len(binding) == 64, "devices: wrong binding"
    owner: address = self._devices[device].owner
    assert owner in [empty(address), msg.sender], "devices: owned by another"
    generation: uint64 = self._devices[device].generation + 1
    assert generation == 1 or self._devices[device].retired, "devices: already enrolled"
    self._check_consent(device, keccak256(key), generation, deadline, consent)
    burned: uint256 = 0
    if generation == 1:
        self._list[self.count] = device
        self.count += 1
        burned = self.fee
    self._devices[device] = Device(
        owner=msg.sender,
        payout=payout,
        generation=generation,
        enrolled_at=convert(block.timestamp, uint64),
        retired=False,
        key=key,
        binding=binding,
        place=place,
        firmware=firmware,
    )
    if burned > 0:
        extcall IBurnable(token).burn_from(msg.sender, burned)
    log Enrolled(
        device=device,
        owner=msg.sender,
        generation=generation,
        key=key,
        binding=binding,
        place=place,
        firmware=firmware,
        payout=payout,
        burned=burned,
    )


@external
def update(device: address, place: bytes32, payout: address):
    """
    @notice Change where a device stands and where it is paid, by its owner.
    """
    self._only_owner(device)
    assert payout != empty(address), "devices: no payout"
    self._devices[device].place = place
    self._devices[device].payout = payout
    log Updated(device=device, owner=msg.sender, place=place, payout=payout)


@external
def report(device: address, firmware: String[32]):
    """
    @notice Tell which firmware a device runs, by its owner or itself.
    """
    owner: address = self._devices[device].owner
    assert msg.sender in [device, owner], "devices: not the owner or the device"
    self._live(device)
    self._devices[device].firmware = firmware
    log Reported(device=device, sender=msg.sender, firmware=firmware)


@external
def retire(device: address):
    """
    @notice Take a device out of service, by its owner; rules for it are void from then on.
    """
    self._only_owner(device)
    self._devices[device].retired = True
    log Retired(
        device=device, owner=msg.sender, generation=self._devices[device].generation
    )


@external
def set_paused(paused_: bool):
    """
    @notice Stop or allow new enrolments; the governor.
    """
    assert msg.sender == governor, "devices: not the governor"
    self.paused = paused_
    log PausedSet(paused=paused_)


@external
def set_fee(fee_: uint256):
    """
    @notice Set what a new device burns, base units, at most MAX_FEE; the governor.
    """
    assert msg.sender == governor, "devices: not the governor"
    assert fee_ <= MAX_FEE, "devices: fee too high"
    self.fee = fee_
    log FeeSet(fee=fee_)


@external
@view
def device(device: address) -> Device:
    """
    @notice Everything about a device; generation 0 where it is unknown.
    """
    return self._devices[device]


@external
@view
def owner_of(device: address) -> address:
    """
    @notice The owner, the zero address where the device is unknown.
    """
    return self._devices[device].owner


@external
@view
def payout_of(device: address) -> address:
    """
    @notice Where the device is paid, the zero address where it is unknown.
    """
    return self._devices[device].payout


@external
@view
def key_of(device: address) -> Bytes[35]:
    """
    @notice The device key, prefix and bytes; empty where the device is unknown.
    """
    return self._devices[device].key


@external
@view
def active(device: address) -> bool:
    """
    @notice Whether a device is in service.
    """
    return self._in_service(device)


@external
@view
def generation_of(device: address) -> uint64:
    """
    @notice The generation that is in service, 0 where the device is unknown or retired.
    """
    return self._devices[device].generation if self._in_service(device) else 0


@external
@view
def at(i: uint256) -> address:
    """
    @notice The i-th device ever enrolled, from 0.
    """
    assert i < self.count, "devices: no such place"
    return self._list[i]


@internal
@pure
def _is_key(key: Bytes[35]) -> bool:
    if len(key) == 34:
        return slice(key, 0, 2) == ED25519
    if len(key) == 35:
        return slice(key, 0, 2) == P256
    return False


@internal
@view
def _in_service(device: address) -> bool:
    return self._devices[device].generation != 0 and not self._devices[device].retired


@internal
@view
def _check_consent(
    device: address, key: bytes32, generation: uint64, deadline: uint64, consent: Bytes[65]
):
    hashed: bytes32 = keccak256(
        abi_encode(ENROLMENT_TYPE, device, msg.sender, key, generation, deadline)
    )
    message: bytes32 = typed.digest(DOMAIN_NAME, network_id, hashed)
    assert typed.recover_packed(message, consent) == device, "devices: wrong consent"


@internal
@view
def _only_owner(device: address):
    assert msg.sender == self._devices[device].owner, "devices: not the owner"
    self._live(device)


@internal
@view
def _live(device: address):
    assert self._devices[device].generation != 0, "devices: unknown device"
    assert not self._devices[device].retired, "devices: retired"
