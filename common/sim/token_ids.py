"""Ids of outcome tokens on the older ledger, by the arithmetic of ConditionalTokens.

Worked out here from nothing but integers, so that it shares nothing with the program under test.
Source: Gnosis ConditionalTokens, the curve alt_bn128; Keccak-256 as Ethereum uses it.
"""

from common.sim.trading.contracts import USDC_E

_FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
_CURVE_B = 3
_ODD_MARK = 1 << 254
_RATE = 136
_MASK = (1 << 64) - 1


def token_of(condition: int, outcome: int) -> int:
    """The token of an outcome (0 is Up) of a condition."""
    return position_of(int(USDC_E, 16), collection_of(condition, 1 << outcome))


def position_of(collateral: int, collection: int) -> int:
    """``getPositionId``."""
    return int.from_bytes(keccak(collateral.to_bytes(20, "big") + collection.to_bytes(32, "big")))


def collection_of(condition: int, index_set: int) -> int:
    """``getCollectionId`` without a parent: a point of the curve, its parity in the second highest bit."""
    x = int.from_bytes(keccak(condition.to_bytes(32, "big") + index_set.to_bytes(32, "big")))
    is_odd = bool(x >> 255)
    x %= _FIELD
    while True:
        x = (x + 1) % _FIELD
        square = (x * x * x + _CURVE_B) % _FIELD
        # The field's prime is 3 modulo 4: this is a root where there is one.
        y = pow(square, (_FIELD + 1) // 4, _FIELD)
        if y * y % _FIELD == square:
            break
    if is_odd != bool(y % 2):
        y = _FIELD - y
    return x ^ _ODD_MARK if y % 2 else x


def keccak(data: bytes) -> bytes:
    """Keccak-256."""
    padded = bytearray(data + b"\x01" + bytes(-(len(data) + 1) % _RATE))
    padded[-1] |= 0x80
    lanes = [0] * 25
    for start in range(0, len(padded), _RATE):
        for place in range(_RATE // 8):
            at = start + 8 * place
            lanes[place] ^= int.from_bytes(padded[at : at + 8], "little")
        lanes = _permuted(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _permuted(lanes: list[int]) -> list[int]:
    """The 24 rounds of Keccak-f[1600]; lane (x, y) is at x + 5 y."""
    for constant in _ROUNDS:
        parity = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        mixed = [parity[x - 1] ^ _rotated(parity[(x + 1) % 5], 1) for x in range(5)]
        moved = [0] * 25
        for place, target, shift in _MOVES:
            moved[target] = _rotated(lanes[place] ^ mixed[place % 5], shift)
        lanes = [
            moved[row + x] ^ (~moved[row + (x + 1) % 5] & moved[row + (x + 2) % 5])
            for row in range(0, 25, 5)
            for x in range(5)
        ]
        lanes[0] ^= constant
    return lanes


def _rotated(lane: int, shift: int) -> int:
    return ((lane << shift) | (lane >> (64 - shift))) & _MASK


def _moves() -> list[tuple[int, int, int]]:
    """Where each lane goes and by how much it is turned."""
    x, y, moves = 1, 0, [(0, 0, 0)]
    for step in range(24):
        target = y + 5 * ((2 * x + 3 * y) % 5)
        moves.append((x + 5 * y, target, (step + 1) * (step + 2) // 2 % 64))
        x, y = y, (2 * x + 3 * y) % 5
    return moves


def _rounds() -> list[int]:
    """The constants of the rounds: bits of a shift register at the places 2**j - 1."""
    register, constants = 1, []
    for _ in range(24):
        constant = 0
        for power in range(7):
            if register & 1:
                constant |= 1 << ((1 << power) - 1)
            register = (register << 1) ^ (0x171 if register >> 7 else 0)
        constants.append(constant)
    return constants


_MOVES, _ROUNDS = _moves(), _rounds()
