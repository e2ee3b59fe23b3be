"""The contract of a token is the one the venue's own client would ask."""

import random

from polymarket._internal.protocol import is_v2_position_id

from common.venue.signing.contracts import CONDITIONAL_TOKENS, POSITION_MANAGER
from common.venue.token_contract import token_contract

V2 = 0x01 << 248 | 0x5A5A5A << 104 | 0x77 << 8 | 1


def test_every_reserved_bit_tells_the_older_contract() -> None:
    assert token_contract(str(V2)) == POSITION_MANAGER
    for bit in range(256):
        token = str(V2 ^ 1 << bit)
        contract = CONDITIONAL_TOKENS if 40 <= bit < 104 else POSITION_MANAGER
        assert token_contract(token) == contract, bit
        assert is_v2_position_id(token) == (contract == POSITION_MANAGER)


def test_hashes_are_of_the_older_contract() -> None:
    dice = random.Random(4)
    for _ in range(1_000):
        token = str(dice.getrandbits(256))
        assert token_contract(token) == CONDITIONAL_TOKENS
        assert not is_v2_position_id(token)
