"""A configuration file in which every key stands with its meaning, unit, range and default.

Made from the sections themselves, their documentation and their types, so that it cannot go stale. Writes no
file and asks nobody.
"""

import ast
import inspect
import itertools
import textwrap
import typing
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union

import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from common.runtime.config import Config

WIDTH = 100
_UNITS = {
    "s": "seconds",
    "ms": "milliseconds",
    "usd": "dollars, as text",
    "percent": "percent, as text",
    "price": "dollars for one share, as text",
    "fraction": "a fraction of 1, as text",
    "annual": "a fraction of 1, as text",
    "gwei": "gwei",
    "utc": "hour of the day, UTC",
}
"""What the last word of a key says about its unit."""
_LIMITS = {"ge": "from", "gt": "more than", "le": "up to", "lt": "less than"}
A_WEEK_S = 86_400 * 7
"""The bound of every duration: it says nothing."""
_TITLE = """
The configuration of laggard. A line that begins with # and a key shows that key's default: remove the # to
change it. Money, prices and percentages are text, because a TOML number would lose digits. Every key can
also be set in the environment: LAGGARD_STRATEGY__MAX_PRICE=0.60 is max_price under [strategy].
`laggard config show` tells what is in force, `laggard config check` whether it is right.
"""


def commented_config(chosen: Mapping[str, object]) -> str:
    """The whole file; the keys of ``chosen`` (dotted) are set, every other one is a comment.

    What is set must be right already: this does not check it.
    """
    lines = [*_comment(_TITLE), ""]
    sections: list[str] = []
    for name, field in Config.model_fields.items():
        if isinstance(field.default, BaseModel):
            sections += _section(name, type(field.default), chosen)
        else:
            lines += [*_key(name, name, field, _documentation(Config).get(name, ""), chosen), ""]
    return "\n".join([*lines, *sections]).rstrip() + "\n"


def _section(name: str, model: type[BaseModel], chosen: Mapping[str, object]) -> list[str]:
    said = _documentation(model)
    lines = [*_comment((inspect.getdoc(model) or "").replace("``", "`")), f"[{name}]"]
    for inner, field in model.model_fields.items():
        lines += _key(f"{name}.{inner}", inner, field, said.get(inner, ""), chosen)
    return [*lines, ""]


def _key(key: str, name: str, field: FieldInfo, said: str, chosen: Mapping[str, object]) -> list[str]:
    facts = ", ".join(part for part in (_unit(name, field), _range(field)) if part)
    meaning = " ".join(said.split()) or _words(name)
    lines = _comment(f"{meaning.rstrip('.')}{f' ({facts})' if facts else ''}.")
    if key in chosen:
        return [*lines, f"#{name} = {toml(field.default)}", f"{name} = {toml(chosen[key])}"]
    return [*lines, f"#{name} = {toml(field.default)}"]


def toml(value: object) -> str:
    """A value as TOML writes it; one that is not set, which TOML cannot write, as ``...``."""
    if value is None:
        return '"..."'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:_}".replace("_", "") if isinstance(value, int) else repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml(part) for part in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name} = {toml(inner)}' for name, inner in value.items())}}}"
    # Of text, what JSON escapes and how is what TOML wants.
    return msgspec.json.encode(str(value)).decode()


def _documentation(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field, which Python itself does not keep."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, text in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = str(text.value.value).replace("``", "`")
    return found


def _words(name: str) -> str:
    """A key that explains itself, as words: ``coinbase_url`` is "Coinbase url"."""
    text = " ".join(part for part in name.split("_") if part not in ("s", "ms", "usd", "percent"))
    return text[0].upper() + text[1:]


def _unit(name: str, field: FieldInfo) -> str:
    if isinstance(field.default, tuple | bool | dict):
        return ""
    unit = _UNITS.get(name.rpartition("_")[2], "")
    return unit or ("POL, as text" if name.startswith("max_pol_") else "")


def _range(field: FieldInfo) -> str:
    choices = _choices(field.annotation)
    if choices:
        many = "any of " if isinstance(field.default, tuple) else ""
        return many + (", " if many else " or ").join(choices)
    limits = [
        f"{words} {getattr(limit, name)}"
        for limit in field.metadata
        for name, words in _LIMITS.items()
        if getattr(limit, name, None) is not None and getattr(limit, name) != A_WEEK_S
    ]
    return " ".join(limits)


def _choices(annotation: Any) -> list[str]:
    """The words a key may have, also inside a list; empty where it may have any."""
    if typing.get_origin(annotation) is Literal:
        return [str(choice) for choice in typing.get_args(annotation)]
    if typing.get_origin(annotation) in (tuple, Annotated, Union, UnionType):
        inner = [part for part in typing.get_args(annotation) if part not in (Ellipsis, NoneType)]
        return _choices(inner[0]) if inner else []
    return []


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), WIDTH)]
