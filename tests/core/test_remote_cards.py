import msgspec

from common.core.remote.cards import MAX_CARDS, Cards, key_of, take, text_of, trade_lines_of
from common.core.remote.wording import dollars, lasted, shares, window_span, window_title
from common.units import SECOND
from window_bodies import FILLED, SETTLED, START_S, WINDOW, fill, order, position, redemption


def card_of(*bodies: object) -> str:
    cards = Cards()
    for body in bodies:
        take(cards, body)
    return text_of(cards.windows[WINDOW])


def test_a_window_is_one_card_through_its_whole_life() -> None:
    cards = Cards()
    story: list[tuple[object, str]] = [
        (order(), "14:18:12 buy Up for 10.00 $ at 0.62 or less: on its way"),
        (FILLED, "bought 17.24 at 0.58: 10.00 $, fee 0.12 $"),
        (fill(status="matched"), "1 of 1 trades not final on the chain yet"),
        (fill(status="confirmed"), "confirmed"),
        (position(), "held: 17.24 Up"),
        (SETTLED, "settled Up: 17.24 Up pay 17.24 $, profit +7.11 $"),
        (redemption(status="under way"), "redemption under way"),
        (redemption(status="paid", paid_usd6=17_240_000), "redeemed: 17.24 $ arrived"),
    ]
    for body, words in story:
        assert take(cards, body) == WINDOW
        assert words in text_of(cards.windows[WINDOW])
    assert len(cards.windows) == 1
    assert key_of(WINDOW) == f"card:{WINDOW}"
    assert text_of(cards.windows[WINDOW]).splitlines() == [
        "\N{LARGE GREEN CIRCLE} BTC 14:15-14:30 UTC",
        "14:18:12 buy Up for 10.00 $ at 0.62 or less: filled",
        "  bought 17.24 at 0.58: 10.00 $, fee 0.12 $",
        "confirmed",
        "settled Up: 17.24 Up pay 17.24 $, profit +7.11 $",
        "redeemed: 17.24 $ arrived",
    ]


def test_a_card_says_the_same_in_whatever_order_it_came() -> None:
    bodies = [FILLED, fill(), SETTLED, redemption(window=WINDOW, status="paid", paid_usd6=1)]
    assert card_of(*bodies[:3], bodies[3]) == card_of(bodies[2], bodies[0], bodies[1], bodies[3])


def test_what_was_said_of_trades_outlives_a_start_that_hears_of_none() -> None:
    for status, said in (("confirmed", "confirmed"), ("matched", "1 of 1 trades not final on the chain yet")):
        written = card_of(FILLED, fill(status=status), SETTLED)
        cards = Cards()
        for body in (FILLED, SETTLED):
            take(cards, body)
        card = cards.windows[WINDOW]
        assert text_of(card) != written
        card.told = trade_lines_of(written)
        assert card.told == (said,)
        assert text_of(card) == written
        take(cards, fill(status="failed"))
        assert said not in text_of(card).splitlines()


def test_a_failed_trade_is_said_to_be_unbooked() -> None:
    assert "1 of 2 trades failed: unbooked, the money is back" in card_of(
        FILLED, fill(), fill(trade_id="t2", status="failed")
    )
    assert "confirmed" not in card_of(FILLED, fill(status="failed"))


def test_a_refused_an_unknown_and_a_stand_in_order_say_why() -> None:
    text = card_of(order(status="refused", reason="the book is not proven"))
    assert "refused\n  the book is not proven" in text and text.startswith("\N{MEDIUM WHITE CIRCLE}")
    assert "its fate is unknown: no answer" in card_of(order(unknown="no answer"))
    assert "proxy, not settlement" in card_of(order(basis="proxy, not settlement"))


def test_a_loss_is_red_an_open_position_blue() -> None:
    assert card_of(position(settled=True, official="down", pnl_usd6=-10_123_456)).startswith(
        "\N{LARGE RED CIRCLE}"
    )
    assert card_of(FILLED, position()).startswith("\N{LARGE BLUE CIRCLE}")
    assert card_of(order()).startswith("\N{LARGE YELLOW CIRCLE}")


def test_a_sale_says_what_it_brought() -> None:
    sale = order(
        order_id="0x2", side="sell", size6=17_240_000, limit4=7000, stake_usd6=0, status="filled",
        filled_size6=17_240_000, cost_usd6=12_068_000, fee_usd6=1, created_ns=(START_S + 300) * SECOND,
    )  # fmt: skip
    text = card_of(FILLED, sale)
    assert "14:20:00 sell 17.24 Up at 0.7 or more: filled\n  sold 17.24 at 0.7: 12.06 $" in text


def test_a_redemption_of_a_window_without_a_card_is_none() -> None:
    cards = Cards()
    assert take(cards, redemption()) is None
    take(cards, position())
    assert take(cards, redemption()) == WINDOW
    assert take(cards, object()) is None


def test_only_so_many_windows_are_remembered() -> None:
    cards = Cards()
    for number in range(MAX_CARDS + 5):
        take(cards, msgspec.structs.replace(order(), window=f"w{number}"))
    assert len(cards.windows) == MAX_CARDS and "w4" not in cards.windows and "w5" in cards.windows


def test_wording() -> None:
    assert window_span("eth-updown-5m-1790000100") == (1_790_000_100 * SECOND, 1_790_000_400 * SECOND)
    assert window_title("ETH weather tomorrow") == "ETH weather tomorrow"
    assert [lasted(seconds * SECOND) for seconds in (5, 65, 3660)] == ["5 s", "1 min 5 s", "1 h 1 min"]
    assert (dollars(1_999_999), dollars(1, signed=True), dollars(-1_500_000, signed=True)) == (
        "1.99 $", "+0.00 $", "-1.50 $",
    )  # fmt: skip
    assert (shares(17_249_999), shares(50_000)) == ("17.24", "0.05")
