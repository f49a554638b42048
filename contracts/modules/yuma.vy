# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Yuma
@license Apache-2.0
@notice One column of an epoch in I32F32: its median, its rank, its bonds.
@dev A library without state; the same integers as `freehold.markets.models.yuma`, everything
     rounded down. A column's weights come 16 to a word, the table (active stake 36 bits over row
     sum 28) four to a word. A weight of zero is one that was not given.
"""

from interfaces import ISubnet

ONE: constant(uint256) = 2**32
U16: constant(uint256) = 65535
PPM: constant(uint256) = 10**6
BELOW: constant(uint256) = 2**192 + 2**128
AT: constant(uint256) = 2**192 + 2**64
SIZE: constant(uint256) = 256
M28: constant(uint256) = 2**28 - 1
M32: constant(uint256) = 2**32 - 1
M36: constant(uint256) = 2**36 - 1
M64: constant(uint256) = 2**64 - 1
REACH: constant(int256) = 20 * 2**32
LOG2_E: constant(int256) = 6196328019
LN_2: constant(uint256) = 2977044472
# 2**31 times 2**(i / 32), 2**(i / 1024), 2**(i / 32768), each 32 of 32 bits, the first lowest.
EXP: constant(uint256[12]) = [
    67375066363088061383552522799580563268804725552516905283511151135309898448896,
    80122908297408753273406219174993469078626781792042430769441935850846700433490,
    95282732617874347188941613314657071053390705153269580112899839084630859117364,
    113310903552197547647759301608328985976324416269216478769694082835503913434315,
    58171025034619733055739281444583693737239483360851792924753207124038871154688,
    58486887958565189424654122908559598392800702957070709469433536689307636591952,
    58804465966478222309135960231409200221772957241323310361548085779646552265204,
    59123768413460327369779799639822982175698292577464543991693790554629921615683,
    57904618056939615929586659406428805661376652440461569595263308353704424374272,
    57914417835795726816573000349760547071290066528148905068779506658603285449647,
    57924219232248638128055138393087183359649542378786680549326860029948383139741,
    57934022327178189846653687712788215858335418458538706760058808694653043385287,
]


@internal
@pure
def proportion(part: uint256) -> uint256:
    """
    @notice A proportion of 65535.
    """
    return part * ONE // U16


@internal
@pure
def median(
    raw: DynArray[uint256, 16],
    table: DynArray[uint256, 64],
    kappa: uint256,
    consensus: uint256,
) -> (bool, uint256):
    """
    @notice Whether a consensus is the column's, and the rank that follows from it.
    @dev No sorting: the least weight with more than sum(A) - kappa of A at or below it is one that
         somebody gave, with so much at or below it and not so much below it.
    """
    # Four sums in one word: of active stake 64 bits, of that below 64, at it 64, ranks 64. A word's
    # four lanes are written out, since a loop costs half as much again. A row sum of zero divides
    # to zero: who gave nothing. A consensus is multiplied only where a weight is no less, so that
    # none, however large, runs over into the sum beside.
    sums: uint256 = 0
    for k: uint256 in range(len(table), bound=SIZE // 4):
        lanes: uint256 = table[k]
        weights: uint256 = raw[k >> 2] >> ((k & 3) << 6)
        active: uint256 = lanes >> 28 & M36
        weight: uint256 = unsafe_div((weights & U16) << 32, lanes & M28)
        if weight < consensus:
            sums = unsafe_add(
                unsafe_add(sums, unsafe_mul(active, BELOW)), unsafe_mul(active, weight) >> 32
            )
        elif weight > consensus:
            sums = unsafe_add(
                unsafe_add(sums, active << 192), unsafe_mul(active, consensus) >> 32
            )
        else:
            sums = unsafe_add(
                unsafe_add(sums, unsafe_mul(active, AT)), unsafe_mul(active, consensus) >> 32
            )
        active = lanes >> 92 & M36
        weight = unsafe_div((weights >> 16 & U16) << 32, lanes >> 64 & M28)
        if weight < consensus:
            sums = unsafe_add(
                unsafe_add(sums, unsafe_mul(active, BELOW)), unsafe_mul(active, weight) >> 32
            )
        elif weight > consensus:
            sums = unsafe_add(
                unsafe_add(sums, active << 192), unsafe_mul(active, consensus) >> 32
            )
        else:
            sums = unsafe_add(
                unsafe_add(sums, unsafe_mul(active, AT)), unsafe_mul(active, consensus) >> 32
            )
        active = lanes >> 156 & M36
        weight = unsafe_div((weights >> 32 & U16) << 32, lanes >> 128 & M28)
        if weight < consensus:
            sums = unsafe_add(
                unsafe_add(sums, unsafe_mul(active, BELOW)), unsafe_mul(active, weight) >> 32
            )
        elif weight > consensus:
            sums = unsafe_add(
                unsafe_add(sums, active << 192), unsafe_mul(active, consensus) >> 32
            )
        else:
            sums = unsafe_add(
                unsafe_add(sums, unsafe_mul(active, AT)), unsafe_mul(active, consensus) >> 32
            )
        active = lanes >> 220 & M36
        weight = unsafe_div((weights >> 48 & U16) << 32, lanes >> 192 & M28)
        if weight < consensus:
            sums = unsafe_add(
                unsafe_add(sums, unsafe_mul(active, BELOW)), unsafe_mul(active, weight) >> 32
            )
        elif weight > consensus:
            sums = unsafe_add(
                unsafe_add(sums, active << 192), unsafe_mul(active, consensus) >> 32
            )
        else:
            sums = unsafe_add(
                unsafe_add(sums, unsafe_mul(active, AT)), unsafe_mul(active, consensus) >> 32
            )
    total: uint256 = sums >> 192
    below: uint256 = sums >> 128 & M64
    at: uint256 = sums >> 64 & M64
    rank: uint256 = sums & M64
    share: uint256 = self.proportion(kappa)
    if total == 0:
        return consensus == 0, rank
    if share == 0:
        # No weight has more than all of it: then the largest.
        return at > 0 and below + at == total, rank
    reached: bool = below + at + share > total
    return at > 0 and reached and (below == 0 or below + share <= total), rank


@internal
@pure
def exp(x: int256, tables: uint256[12]) -> uint256:
    """
    @notice e**x in I32F32, x between -20 and 20.
    """
    # 64 more, so that no exponent is negative.
    y: uint256 = convert(((max(min(x, REACH), -REACH) * LOG2_E) >> 32) + 2**38, uint256)
    f: uint256 = y & M32
    first: uint256 = self._entry(tables[f >> 30], f >> 27)
    second: uint256 = self._entry(tables[4 + (f >> 25 & 3)], f >> 22)
    third: uint256 = self._entry(tables[8 + (f >> 20 & 3)], f >> 17)
    mantissa: uint256 = (first * (second * third >> 31)) >> 31
    mantissa += (mantissa * (((f & (2**17 - 1)) * LN_2) >> 32)) >> 32
    whole: uint256 = y >> 32
    if whole >= 63:
        return mantissa << (whole - 63)
    return mantissa >> (63 - whole)


@internal
@pure
def _entry(word: uint256, index: uint256) -> uint256:
    return word >> ((index & 7) << 5) & M32


@internal
@pure
def rate(
    wanted: uint256, held: uint256, consensus: uint256, rules: ISubnet.Rules, tables: uint256[12]
) -> uint256:
    """
    @notice Liquid alpha: the quicker, the further a bond buys over consensus, or sells.
    """
    distance: uint256 = 0
    if wanted >= held:
        if wanted > consensus:
            distance = wanted - consensus
    else:
        distance = held - wanted
    distance = min(distance, ONE)
    slope: int256 = convert(rules.steepness * ONE // 100, int256)
    x: int256 = ((convert(ONE // 2, int256) - convert(distance, int256)) * slope) >> 32
    step: uint256 = 2**64 // (self.exp(x, tables) + ONE)
    low: uint256 = self.proportion(rules.liquid_low)
    high: uint256 = self.proportion(rules.liquid_high)
    return max(min(low + (step * (high - low) >> 32), high), low)


@internal
@pure
def bond_weight(weight: uint256, consensus: uint256, penalty: uint256) -> uint256:
    """
    @notice What a share of a row counts for bonds; `penalty` in I32F32.
    """
    lost: uint256 = (weight - min(weight, consensus)) * penalty
    # Towards minus infinity, as of a negative product.
    return weight - ((lost + M32) >> 32)


@internal
@pure
def bonds(
    rules: ISubnet.Rules,
    raw: DynArray[uint256, 16],
    table: DynArray[uint256, 64],
    held: uint256[SIZE],
    size: uint256,
    consensus: uint256,
    liquid: bool,
) -> (uint256[SIZE], uint256[SIZE]):
    """
    @notice A column's bonds as the next epoch starts from them (of 65535), and as shares of it.
    @param held What they were, of 65535; `liquid` where any consensus of the epoch is not zero.
    """
    made: uint256[SIZE] = self._wanted(rules, raw, table, size, consensus)
    if rules.yuma3:
        made = self._bought(rules, made, held, size, consensus, liquid)
        stored: uint256[SIZE] = empty(uint256[SIZE])
        for i: uint256 in range(size, bound=SIZE):
            stored[i] = made[i] * U16 >> 32
        return stored, self._shares(made, size)
    made = self._shares(self._blended(
        rules, self._shares(made, size), self._shares(held, size), size
    ), size)
    return self._upscaled(made, size), made


@internal
@pure
def _wanted(
    rules: ISubnet.Rules,
    raw: DynArray[uint256, 16],
    table: DynArray[uint256, 64],
    size: uint256,
    consensus: uint256,
) -> uint256[SIZE]:
    # What every validator would hold by its weight: of classic bonds times its stake.
    wanted: uint256[SIZE] = empty(uint256[SIZE])
    penalty: uint256 = self.proportion(rules.bonds_penalty)
    for i: uint256 in range(size, bound=SIZE):
        weight: uint256 = raw[i >> 4] >> ((i & 15) << 4) & U16
        if weight != 0:
            lane: uint256 = table[i >> 2] >> ((i & 3) << 6) & M64
            wanted[i] = self.bond_weight((weight << 32) // (lane & M28), consensus, penalty)
            if not rules.yuma3:
                wanted[i] = wanted[i] * (lane >> 28) >> 32
    return wanted


@internal
@pure
def _bought(
    rules: ISubnet.Rules,
    wanted: uint256[SIZE],
    held: uint256[SIZE],
    size: uint256,
    consensus: uint256,
    liquid: bool,
) -> uint256[SIZE]:
    # Bonds of yuma3. Where alpha is liquid, who gives no weight drops the bond.
    before: uint256[SIZE] = empty(uint256[SIZE])
    for i: uint256 in range(size, bound=SIZE):
        before[i] = (held[i] << 32) // U16
    if not rules.liquid or not liquid:
        return self._blended(rules, wanted, before, size)
    tables: uint256[12] = EXP
    for i: uint256 in range(size, bound=SIZE):
        if wanted[i] == 0:
            before[i] = 0
            continue
        alpha: uint256 = self.rate(wanted[i], before[i], consensus, rules, tables)
        after: uint256 = (before[i] * (ONE - alpha) >> 32) + (wanted[i] * alpha >> 32)
        before[i] = min(after, ONE)
    return before


@internal
@pure
def _blended(
    rules: ISubnet.Rules, new: uint256[SIZE], old: uint256[SIZE], size: uint256
) -> uint256[SIZE]:
    made: uint256[SIZE] = empty(uint256[SIZE])
    alpha: uint256 = ONE - rules.bonds_ema_ppm * ONE // PPM
    for i: uint256 in range(size, bound=SIZE):
        made[i] = (new[i] * alpha >> 32) + (old[i] * (ONE - alpha) >> 32)
    return made


@internal
@pure
def _shares(values: uint256[SIZE], size: uint256) -> uint256[SIZE]:
    total: uint256 = 0
    for i: uint256 in range(size, bound=SIZE):
        total += values[i]
    made: uint256[SIZE] = empty(uint256[SIZE])
    if total != 0:
        for i: uint256 in range(size, bound=SIZE):
            made[i] = (values[i] << 32) // total
    return made


@internal
@pure
def _upscaled(values: uint256[SIZE], size: uint256) -> uint256[SIZE]:
    # Of 65535, the largest.
    largest: uint256 = 0
    for i: uint256 in range(size, bound=SIZE):
        largest = max(largest, values[i])
    made: uint256[SIZE] = empty(uint256[SIZE])
    if largest != 0:
        for i: uint256 in range(size, bound=SIZE):
            made[i] = (((values[i] << 32) // largest) * U16) >> 32
    return made
