"""The calls that redeem and the reads before them: as the official client and the contracts have them."""

import re

import msgspec
import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from polymarket._internal.actions.relayer import calls as official
from polymarket._internal.environment import PRODUCTION_CONFIG as OFFICIAL
from polymarket.types import EvmAddress

from common.core.redemption.claims import Claim, Holding
from common.errors import DependencyMissing
from common.venue.redeeming import outcomes
from common.venue.redeeming.calldata import Call, RedeemContracts, calls_of, problems_of
from common.venue.signing.contracts import NEG_RISK_COLLATERAL_ADAPTER, RETIRED

CONTRACTS = RedeemContracts()
V1 = "0x" + "a7" * 32
V2 = "0x01" + "c4" * 18 + "00" * 8 + "5e" * 4 + "00"
"""Module byte 1, the reserved bytes and the outcome's byte zero."""
WALLET = "0x" + "1f" * 20


def claim(condition_id: str, ledger: str, *sizes: int) -> Claim:
    held = tuple(Holding(str(index + 7), index, size) for index, size in enumerate(sizes) if size)
    return Claim(condition_id, ledger, held, (1, 0), 1)  # type: ignore[arg-type]


def theirs(call: official.TransactionCall) -> Call:
    return Call(str(call.to), bytes.fromhex(call.data[2:]))


def test_the_contracts_are_those_of_the_official_client() -> None:
    assert {
        "ctf": OFFICIAL.conditional_tokens,
        "adapter": OFFICIAL.collateral_adapter,
        "collateral": OFFICIAL.collateral_token,
        "position_manager": OFFICIAL.position_manager,
        "router": OFFICIAL.protocol_v2_router,
        "binary_module": OFFICIAL.binary_module,
        "proxy_factory": OFFICIAL.wallet_derivation.proxy_factory,
        "relay_hub": OFFICIAL.relay_hub,
        "deposit_factory": OFFICIAL.wallet_derivation.deposit_wallet_factory,
        "multisend": OFFICIAL.safe_multisend,
        "auto_redeemer": OFFICIAL.auto_redeem_operator,
    } == msgspec.structs.asdict(CONTRACTS)
    assert problems_of(CONTRACTS) == []


@pytest.mark.parametrize("retired", RETIRED)
@pytest.mark.parametrize("name", ["adapter", "router"])
def test_a_retired_contract_is_named(retired: str, name: str) -> None:
    for written in (retired, retired.lower()):
        (problem,) = problems_of(msgspec.structs.replace(CONTRACTS, **{name: written}))
        assert re.search(f"^{name} is {retired}, which the venue has given up; take", problem)


def test_what_makes_contracts_unusable_is_told_with_its_cure() -> None:
    def of(**changed: str) -> list[str]:
        return problems_of(msgspec.structs.replace(CONTRACTS, **changed))

    (same,) = of(adapter=CONTRACTS.ctf.lower())
    assert "adapter is the same address as ctf" in same and "take 0xAdA100" in same
    (risk,) = of(adapter=NEG_RISK_COLLATERAL_ADAPTER)
    assert "negative-risk" in risk
    (double,) = of(router=CONTRACTS.position_manager)
    assert double.startswith("position_manager and router have the same address")
    (none,) = of(multisend="0x123")
    assert none.startswith("multisend is no address but '0x123'")
    (nowhere,) = of(router="0x" + "0" * 40)
    assert nowhere.startswith("router is no address")
    assert len(of(adapter="", router="0x" + "zz" * 20)) == 2


def test_the_older_ledger_is_redeemed_by_one_call_on_the_adapter() -> None:
    known = official.ctf_redeem_positions_call(
        ctf=EvmAddress(CONTRACTS.adapter), collateral=EvmAddress(CONTRACTS.collateral), condition_id=V1
    )
    made = calls_of(claim(V1, "v1", 5, 6), CONTRACTS)
    assert made == (theirs(known),)
    assert made[0].data[:4].hex() == "01b7037c"


@given(up6=st.integers(0, 2**128), down6=st.integers(0, 2**128))
def test_the_newer_ledger_is_redeemed_holding_by_holding(up6: int, down6: int) -> None:
    known = [
        official.router_redeem_call(
            router=EvmAddress(CONTRACTS.router), condition_id=V2, outcome_index=index, amount=size
        )
        for index, size in enumerate((up6, down6))
        if size
    ]
    assert calls_of(claim(V2, "v2", up6, down6), CONTRACTS) == tuple(map(theirs, known))


@pytest.mark.parametrize("wrong", ["", "0x12", V1[2:], V1 + "00", "0x" + "a " * 32, "0x" + "zz" * 32])
def test_a_condition_of_the_wrong_form_is_no_call(wrong: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        calls_of(claim(wrong, "v1", 1), CONTRACTS)


def test_a_condition_of_the_older_ledger_is_not_cut_for_the_newer() -> None:
    with pytest.raises(ValueError, match="last byte is not zero"):
        calls_of(claim(V1, "v2", 1), CONTRACTS)
    with pytest.raises(ValueError, match="last byte is not zero"):
        outcomes.ask_result(CONTRACTS, V1)


def call(to: str, signature: str, *arguments: object) -> Call:
    kinds = [kind for kind in signature.partition("(")[2][:-1].split(",") if kind]
    return Call(to, keccak(signature.encode())[:4] + encode(kinds, arguments))


def test_the_questions() -> None:
    condition, short = bytes.fromhex(V1[2:]), bytes.fromhex(V2[2:-2])
    ctf = CONTRACTS.ctf
    assert outcomes.ask_denominator(CONTRACTS, V1) == call(ctf, "payoutDenominator(bytes32)", condition)
    assert outcomes.ask_numerator(CONTRACTS, V1, 1) == call(
        ctf, "payoutNumerators(bytes32,uint256)", condition, 1
    )
    for outcome, index_set in ((0, 1), (1, 2)):
        assert outcomes.ask_collection(CONTRACTS, V1, outcome) == call(  # type: ignore[arg-type]
            ctf, "getCollectionId(bytes32,bytes32,uint256)", bytes(32), condition, index_set
        )
    assert outcomes.ask_position(CONTRACTS, condition) == call(
        ctf, "getPositionId(address,bytes32)", "0x2791Bca1f2de4661ED88A30C99A7a9449Aa84174", condition
    )
    assert outcomes.ask_balance(ctf, WALLET, "77") == theirs(
        official.erc1155_balance_of_call(
            token_address=EvmAddress(ctf), owner=EvmAddress(WALLET), token_id="77"
        )
    )
    assert outcomes.ask_approved(ctf, WALLET, CONTRACTS.adapter) == theirs(
        official.erc1155_is_approved_for_all_call(
            token_address=EvmAddress(ctf), owner=EvmAddress(WALLET), operator=EvmAddress(CONTRACTS.adapter)
        )
    )
    assert outcomes.ask_result(CONTRACTS, V2) == call(CONTRACTS.binary_module, "getResult(bytes31)", short)
    assert outcomes.ask_payout(CONTRACTS, "77", 5) == call(
        CONTRACTS.position_manager, "getPayout(uint256,uint256)", 77, 5
    )
    assert outcomes.ask_wallet_nonce(WALLET) == call(WALLET, "nonce()")
    assert outcomes.ask_hub_nonce(CONTRACTS, WALLET) == call(CONTRACTS.relay_hub, "getNonce(address)", WALLET)


@pytest.mark.parametrize("token", ["", " 7", "1_0", "-1", "0x7", "٣", str(1 << 256)])
def test_only_a_number_is_a_token(token: str) -> None:
    with pytest.raises(ValueError, match="a token is a decimal number"):
        outcomes.ask_balance(CONTRACTS.ctf, WALLET, token)
    with pytest.raises(ValueError, match="a token is a decimal number"):
        outcomes.condition_of_position(token)


def test_the_answers() -> None:
    assert outcomes.read_number(encode(["uint256"], [2**255])) == 2**255
    assert outcomes.read_yes(encode(["bool"], [True])) is True
    assert outcomes.read_collection(bytes(range(32))) == bytes(range(32))

    def result(*shares: int) -> bytes:
        return encode(["uint256[]"], [shares])

    assert outcomes.read_result(result()) == ((0, 0), 0)
    assert outcomes.read_result(result(1_000_000, 0)) == ((1_000_000, 0), 1_000_000)
    assert outcomes.read_result(result(300_000, 700_000)) == ((300_000, 700_000), 1_000_000)
    for wrong in ((1, 0), (1_000_000,), (500_000, 500_000, 0)):
        with pytest.raises(DependencyMissing, match="not two shares of a million"):
            outcomes.read_result(result(*wrong))


@given(data=st.binary(max_size=200))
def test_junk_for_an_answer_is_refused_and_breaks_nothing(data: bytes) -> None:
    for read in (outcomes.read_number, outcomes.read_yes, outcomes.read_collection, outcomes.read_result):
        try:
            read(data)
        except DependencyMissing as error:
            assert "check the contract addresses" in str(error) or "not two shares" in str(error)
    with pytest.raises(DependencyMissing, match="the chain answered nothing where uint256"):
        outcomes.read_number(b"")


def test_a_token_of_the_older_ledger_is_made_of_its_collection() -> None:
    usdc = bytes.fromhex("2791Bca1f2de4661ED88A30C99A7a9449Aa84174")
    assert outcomes.v1_token(b"\x05" * 32) == str(int.from_bytes(keccak(usdc + b"\x05" * 32)))


@settings(max_examples=50)
@given(
    head=st.binary(min_size=18, max_size=18),
    tail=st.binary(min_size=4, max_size=4),
    outcome=st.integers(0, 1),
)
def test_a_token_of_the_newer_ledger_tells_its_condition(head: bytes, tail: bytes, outcome: int) -> None:
    condition = "0x" + (b"\x01" + head + bytes(8) + tail).hex() + "00"
    token = outcomes.position_of(condition, outcome)  # type: ignore[arg-type]
    assert int(token).to_bytes(32) == bytes.fromhex(condition[2:-2]) + bytes((outcome,))
    assert outcomes.condition_of_position(token) == (condition, outcome)


def test_what_is_no_binary_token_says_so() -> None:
    whole = bytes.fromhex(V2[2:])

    def token(**at: int) -> str:
        changed = bytearray(whole)
        for place, value in at.items():
            changed[int(place.removeprefix("byte"))] = value
        return str(int.from_bytes(changed))

    assert outcomes.condition_of_position(token()) == (V2, 0)
    for place in (19, 26):  # the first and the last of the reserved bytes
        assert outcomes.condition_of_position(token(**{f"byte{place}": 1})) is None
    for place in (18, 27):  # their neighbours
        assert outcomes.condition_of_position(token(**{f"byte{place}": 1})) is not None
    for module, what in ((2, "negative-risk"), (3, "combination"), (0, "module 0"), (9, "module 9")):
        with pytest.raises(ValueError, match=what):
            outcomes.condition_of_position(token(byte0=module))
    with pytest.raises(ValueError, match="names outcome 2"):
        outcomes.condition_of_position(token(byte31=2))
    with pytest.raises(ValueError, match="reserved bits are set"):
        outcomes.position_of("0x01" + "ff" * 30 + "00", 0)
