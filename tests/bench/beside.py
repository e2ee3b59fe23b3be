"""The control process of a contender that has one: draws reports and waits for the chat, and trades nothing.

Run as ``python -m bench.beside PLAN``; hears ``report on``, ``telegram on`` and off, and ends with its stdin.
"""

import math
import select
import socket
import sys
import time

from bench.plan import read_plan

REPORT_EVERY_S, REPORT_CPU_S, CHAT_TIMEOUT_S = 1.0, 0.15, 2.0


def draw() -> None:
    """As much work as the report of the bot of one process."""
    began = time.thread_time()
    total = 0.0
    while time.thread_time() - began < REPORT_CPU_S:
        total += sum(math.sqrt(number) for number in range(200))


def ask_chat(port: int) -> socket.socket:
    """A request that is never answered."""
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(b"POST /telegram/sendMessage HTTP/1.1\r\nHost: chat\r\nContent-Length: 2\r\n\r\n{}")
    return made


def main() -> None:
    plan = read_plan(sys.argv[1])
    on: dict[str, bool] = {"report": False, "telegram": False}
    asked: tuple[socket.socket, float] | None = None
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], REPORT_EVERY_S - REPORT_CPU_S)
        if ready:
            line = sys.stdin.readline().split()
            if not line:
                return
            on[line[0]] = line[1] == "on"
        if on["report"]:
            draw()
        if asked is not None and (not on["telegram"] or time.monotonic() - asked[1] > CHAT_TIMEOUT_S):
            asked[0].close()
            asked = None
        if on["telegram"] and asked is None:
            asked = ask_chat(plan.port), time.monotonic()


if __name__ == "__main__":
    main()
