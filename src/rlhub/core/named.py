"""Names with options after a question mark, as environments and tasks have them: ``FrozenLake-v1?is_slippery=false``."""

import json
from typing import Any
from urllib.parse import parse_qsl


def parted(text: str) -> tuple[str, dict[str, Any]]:
    """The name, and its options; a value is JSON where it can be read as that, else text."""
    name, _, query = text.partition("?")
    return name, {key: option_value(value) for key, value in parse_qsl(query, keep_blank_values=True)}


def with_option(text: str, option: str) -> str:
    """The name with one more option, as in `think=true`."""
    return f"{text}{'&' if '?' in text else '?'}{option}"


def option_value(text: str) -> Any:
    """An option's value: JSON where it is, else text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
