"""Success by effect: which tokens left the wallet in a transaction, and which money came.

A status of 1, a relayer's "confirmed" or a payout event prove nothing: a call to the wrong contract succeeds,
pays nothing and keeps the tokens. What counts are the transfers in the receipt itself.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from common.core.redemption.attempts import ClaimEnd, EndKind, Log, Receipt
from common.core.redemption.claims import Claim, Holding, Ledger, payout_usd6

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""``Transfer(address,address,uint256)`` of ERC-20."""
TRANSFER_SINGLE = "0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"
"""``TransferSingle(address,address,address,uint256,uint256)`` of ERC-1155."""
TRANSFER_BATCH = "0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"
"""``TransferBatch(address,address,address,uint256[],uint256[])`` of ERC-1155."""
RELAYED = "0xab74390d395916d9e0006298d47938a5def5d367054dcca78fa6ec84381f3f22"
"""``TransactionRelayed(address,address,address,bytes4,uint8,uint256)`` of the relay hub; status 0 is well."""
NOT_RELAYED = "0xafb5afd6d1c2e8ffbfb480e674a169f493ece0b22658d4f4484e7334f0241e22"
"""``CanRelayFailed(address,address,address,bytes4,uint256)`` of the relay hub."""
_WORD = 32


class Places(msgspec.Struct, frozen=True):
    """The contracts whose transfers count, lower case."""

    collateral: str
    conditional_tokens: str
    position_manager: str
    relay_hub: str = ""
    """It reports that a proxy's request failed instead of failing itself."""

    def ledger(self, ledger: Ledger) -> str:
        """Where tokens of a ledger are held."""
        return self.conditional_tokens if ledger == "v1" else self.position_manager


def judge(
    claims: tuple[Claim, ...], wallet: str, receipt: Receipt, places: Places, *, whole: bool = True
) -> tuple[ClaimEnd, ...]:
    """What a mined transaction did for each of these claims of one wallet.

    The payout is computed from what was burnt, not from what was planned: the older ledger takes the whole
    balance, and a late trade may have made it larger. A transfer that pays exactly what a claim is worth is
    its own. With ``whole`` the transaction was for these claims alone: money left over counts as well.
    """
    if not receipt.ok or any(_tells_failure(log, places.relay_hub) for log in receipt.logs):
        return tuple(_end(claim, "reverted", receipt, text="it was mined without effect") for claim in claims)
    burnt = {ledger: _taken(receipt.logs, places.ledger(ledger), wallet) for ledger in ("v1", "v2")}
    money = _received(receipt.logs, places.collateral, wallet)
    gone = [_burnt_of(claim, burnt[claim.ledger]) for claim in claims]
    parts = [_parts(claim, held) for claim, held in zip(claims, gone, strict=True)]
    brought = _matched(parts, money, whole=whole)
    return tuple(
        _judged(claim, held, part, logs, receipt)
        for claim, held, part, logs in zip(claims, gone, parts, brought, strict=True)
    )


def took(logs: Iterable[Log], claim: Claim, wallet: str, places: Places) -> tuple[str, ...]:
    """Hashes of the transactions that took tokens of this claim out of the wallet, in their order."""
    contract = places.ledger(claim.ledger)
    tokens = {each.token for each in claim.holdings}
    found: dict[str, None] = {}
    for log in logs:
        if tokens & _taken((log,), contract, wallet).keys():
            found[log.tx_hash] = None
    return tuple(found)


def _burnt_of(claim: Claim, taken: dict[str, int]) -> tuple[Holding, ...]:
    return tuple(
        Holding(each.token, each.outcome_index, size6)
        for each in claim.holdings
        if (size6 := taken.get(each.token, 0))
    )


def _parts(claim: Claim, burnt: tuple[Holding, ...]) -> list[int]:
    """The transfers of money that a claim's burning must have brought, those of nothing left out."""
    if claim.ledger == "v1":
        sums = [payout_usd6(burnt, claim.numerators, claim.denominator)]
    else:
        sums = [payout_usd6((each,), claim.numerators, claim.denominator) for each in burnt]
    return [each for each in sums if each]


def _matched(
    parts: list[list[int]], money: list[tuple[int, int]], *, whole: bool
) -> list[list[tuple[int, int]]]:
    """For each claim the (log index, amount) that are its own: exact ones first, then larger, then less."""
    left = list(money)
    found: list[list[tuple[int, int]]] = [[] for _ in parts]
    open_parts: list[tuple[int, int]] = []
    for place, wanted in enumerate(parts):
        for amount in wanted:
            exact = next((each for each in left if each[1] == amount), None)
            if exact is None:
                open_parts.append((place, amount))
                continue
            left.remove(exact)
            found[place].append(exact)
    short: list[int] = []
    for place, amount in open_parts:
        # The smallest that is enough: a larger one may be the only one that is for another claim.
        larger = min((each for each in left if each[1] > amount), key=lambda each: each[1], default=None)
        if larger is None:
            short.append(place)
            continue
        left.remove(larger)
        found[place].append(larger)
    for place in short[: len(left)]:
        found[place].append(left.pop(0))
    for each in left if whole else ():
        # Money nobody was owed: told with the first claim that was paid at all.
        place = next((place for place, own in enumerate(found) if own), 0)
        found[place].append(each)
    return found


def _judged(
    claim: Claim,
    burnt: tuple[Holding, ...],
    parts: list[int],
    logs: list[tuple[int, int]],
    receipt: Receipt,
) -> ClaimEnd:
    paid, owed = sum(amount for _, amount in logs), sum(parts)
    planned = {each.token: each.size6 for each in claim.holdings}
    all_gone = all(planned[each.token] <= each.size6 for each in burnt) and len(burnt) == len(planned)
    index = logs[0][0] if logs else -1
    if not burnt:
        text = f"{receipt.tx_hash} succeeded and burnt nothing: it went to a contract that does not redeem"
        return _end(claim, "kept", receipt, text=text, paid=paid, index=index)
    if paid < owed:
        kind: EndKind = "short" if paid else "zero"
        text = f"{receipt.tx_hash} burnt the tokens and brought {paid} of {owed} millionths of a dollar"
        return _end(claim, kind, receipt, burnt, text=text, paid=paid, index=index)
    if not all_gone:
        text = f"{receipt.tx_hash} burnt less than was held"
        return _end(claim, "short", receipt, burnt, text=text, paid=paid, index=index)
    return ClaimEnd(
        condition_id=claim.condition_id,
        kind="paid",
        paid_usd6=paid,
        surplus_usd6=paid - owed,
        burnt=burnt,
        tx_hash=receipt.tx_hash,
        log_index=index,
    )


def _end(
    claim: Claim,
    kind: EndKind,
    receipt: Receipt,
    burnt: tuple[Holding, ...] = (),
    *,
    text: str,
    paid: int = 0,
    index: int = -1,
) -> ClaimEnd:
    return ClaimEnd(
        condition_id=claim.condition_id,
        kind=kind,
        paid_usd6=paid,
        burnt=burnt,
        tx_hash=receipt.tx_hash,
        log_index=index,
        text=text,
    )


def _taken(logs: Iterable[Log], contract: str, wallet: str) -> dict[str, int]:
    """Amounts by token id that left the wallet, less what came back."""
    taken: defaultdict[str, int] = defaultdict(int)
    for log in logs:
        if log.address != contract or len(log.topics) != 4:
            continue
        sign = (_address(log.topics[2]) == wallet) - (_address(log.topics[3]) == wallet)
        for token, amount in _moved(log) if sign else ():
            taken[str(token)] += sign * amount
    return {token: amount for token, amount in taken.items() if amount > 0}


def _moved(log: Log) -> Iterable[tuple[int, int]]:
    words = [int.from_bytes(log.data[at : at + _WORD]) for at in range(0, len(log.data) - _WORD + 1, _WORD)]
    if log.topics[0] == TRANSFER_SINGLE and len(words) == 2:
        return [(words[0], words[1])]
    if log.topics[0] == TRANSFER_BATCH and len(words) >= 4:
        ids, amounts = (_array(words, words[place]) for place in (0, 1))
        if len(ids) == len(amounts):
            return list(zip(ids, amounts, strict=True))
    return []


def _array(words: list[int], offset: int) -> list[int]:
    start = offset // _WORD
    return words[start + 1 : start + 1 + words[start]] if start < len(words) else []


def _received(logs: Iterable[Log], collateral: str, wallet: str) -> list[tuple[int, int]]:
    """(log index, amount) of every transfer of money into the wallet, in order."""
    return [
        (log.index, int.from_bytes(log.data))
        for log in logs
        if log.address == collateral
        and len(log.topics) == 3
        and log.topics[0] == TRANSFER
        and _address(log.topics[2]) == wallet
        and len(log.data) == _WORD
        and any(log.data)
    ]


def _tells_failure(log: Log, relay_hub: str) -> bool:
    if log.address != relay_hub or not log.topics:
        return False
    status = log.data[_WORD : 2 * _WORD]
    return log.topics[0] == NOT_RELAYED or (log.topics[0] == RELAYED and any(status))


def _address(topic: str) -> str:
    return "0x" + topic[-40:]
