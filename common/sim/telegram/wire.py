"""The Bot API on the wire: parameters in every form a client sends, results and errors as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from common.sim.telegram.faults import Fault
from common.sim.telegram.message_rules import RefusedByTelegram, bad_request

Fields = dict[str, Any]
_NESTED = ("reply_markup", "reply_parameters", "allowed_updates", "commands", "link_preview_options")
_MAX_PICTURE = 10_000_000
"""Bytes of one photo. https://core.telegram.org/bots/api#sendphoto"""
MAX_BODY = 2 * _MAX_PICTURE


async def read_fields(request: web.Request) -> Fields:
    """The parameters, from the address, a form, with or without files, or JSON; nested ones are JSON text."""
    fields: Fields = dict(request.query)
    if request.content_type == "application/json":
        fields.update(await request.json())
    elif request.can_read_body:
        for name, value in (await request.post()).items():
            fields[name] = value.file.read() if isinstance(value, web.FileField) else value
    for name in _NESTED:
        if isinstance(fields.get(name), str):
            fields[name] = json.loads(fields[name])
    return fields


def number(fields: Fields, name: str) -> int:
    """A whole number; 0 where there is none."""
    try:
        return int(fields.get(name) or 0)
    except (TypeError, ValueError):
        return 0


def picture_of(fields: Fields) -> bytes:
    """The uploaded photo; raises RefusedByTelegram when it is none."""
    photo = fields.get("photo")
    if isinstance(photo, str) and photo.startswith("attach://"):
        photo = fields.get(photo.removeprefix("attach://"))
    if not isinstance(photo, bytes) or not photo:
        raise bad_request("there is no photo in the request")
    if not photo.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8")):
        raise bad_request("IMAGE_PROCESS_FAILED")
    if len(photo) > _MAX_PICTURE:
        raise RefusedByTelegram(413, "Request Entity Too Large")
    return photo


def refusal_answer(refusal: RefusedByTelegram) -> web.Response:
    """An error as the Bot API sends it."""
    body: Fields = {"ok": False, "error_code": refusal.code, "description": refusal.description}
    if refusal.retry_after:
        body["parameters"] = {"retry_after": refusal.retry_after}
    return web.json_response(body, status=refusal.code)


def cut(request: web.Request) -> web.Response:
    """Close the connection without a word."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def wrong_answer(fault: Fault, method: str, pending: Sequence[Fields]) -> web.Response | None:
    """What a fault answers in place of the right answer, or None where it does something else."""
    match fault.kind:
        case "bad gateway":
            text = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
            return web.Response(status=502, text=text, content_type="text/html")
        case "html":
            text = "<html><body>Welcome to the hotel</body></html>"
            return web.Response(text=text, content_type="text/html")
        case "flood":
            wait = max(1, round(fault.seconds))
            return refusal_answer(RefusedByTelegram(429, f"Too Many Requests: retry after {wait}", wait))
        case "unauthorized":
            return refusal_answer(RefusedByTelegram(401, "Unauthorized"))
        case "misshapen":
            return web.json_response({"ok": True, "result": {"chat": "?"}})
        case "malformed" if method == "getUpdates":
            broken: Fields = {"update_id": 1} if not pending else dict(pending[0])
            broken["message"] = {"date": "yesterday", "chat": 7}
            return web.json_response({"ok": True, "result": [broken]})
    return None
