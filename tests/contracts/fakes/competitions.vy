# pragma version 0.4.3
# Subnets whose every record a test writes down.

from interfaces import ISubnet

struct Holder:
    account: address
    registered: uint256


struct Record:
    row: bytes32
    committed: uint256
    stake: uint256


count: public(uint256)
_subnets: HashMap[uint256, ISubnet.Subnet]
_rules: HashMap[uint256, HashMap[uint256, ISubnet.Rules]]
_generations: HashMap[uint256, HashMap[uint256, uint256]]
_holders: HashMap[uint256, HashMap[uint256, HashMap[uint256, Holder]]]
_records: HashMap[uint256, HashMap[uint256, HashMap[uint256, Record]]]
_budgets: HashMap[uint256, HashMap[uint256, HashMap[uint256, uint256]]]


@external
def set_subnet(id: uint256, owner: address, created_at: uint256):
    self.count = max(self.count, id)
    self._subnets[id].owner = owner
    self._subnets[id].created_at = created_at


@external
def set_rules(id: uint256, epoch: uint256, rules: ISubnet.Rules):
    self._rules[id][epoch] = rules


@external
def hold(id: uint256, uid: uint256, account: address, registered: uint256):
    generation: uint256 = self._generations[id][uid] + 1
    self._generations[id][uid] = generation
    self._holders[id][uid][generation] = Holder(account=account, registered=registered)
    self._subnets[id].nodes = max(self._subnets[id].nodes, uid + 1)


@external
def set_record(id: uint256, epoch: uint256, uid: uint256, record: Record):
    self._records[id][epoch][uid] = record


@external
def set_budget(id: uint256, since: uint256, epoch: uint256, amount: uint256):
    self._budgets[id][since][epoch] = amount


@external
@view
def subnet_of(id: uint256) -> ISubnet.Subnet:
    return self._subnets[id]


@external
@view
def rules_at(id: uint256, epoch: uint256) -> ISubnet.Rules:
    return self._rules[id][epoch]


@external
@view
def generation(id: uint256, uid: uint256) -> uint256:
    return self._generations[id][uid]


@external
@view
def uid_at(id: uint256, uid: uint256, generation: uint256) -> (address, uint256):
    found: Holder = self._holders[id][uid][generation]
    assert found.registered != 0, "subnet: no such holder"
    return found.account, found.registered


@external
@view
def row(id: uint256, epoch: uint256, uid: uint256) -> (bytes32, uint256):
    found: Record = self._records[id][epoch][uid]
    return found.row, found.committed


@external
@view
def stake_at(id: uint256, epoch: uint256, uid: uint256) -> uint256:
    return self._records[id][epoch][uid].stake


@external
@view
def budget(id: uint256, since: uint256, epoch: uint256) -> uint256:
    return self._budgets[id][since][epoch]
