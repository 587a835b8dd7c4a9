"""A system's options as a person types them: checked field by field against its description, and made into words for the command line."""

import math
from collections.abc import Mapping
from typing import Any

from rlhub.hub.describing import describe
from rlhub.hub.options import near
from rlhub.hub.processes import as_words

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0", "")


def check(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with a system's options, one sentence a field; nothing is loaded for it.

    What only the system itself knows (bounds, fields that go together) is left to it.

    Args:
        name: the system's.
        options: by field; values as JSON or as text, of which an empty one stands for the default.

    Raises:
        UserError: there is no such system.
    """
    fields = {field["name"]: field for field in describe(name)["fields"]}
    errors = {}
    for key, value in options.items():
        if key not in fields:
            errors[key] = f"{name} has no option {key}{near(key, list(fields))}"
        elif value != "":
            try:
                value_of(fields[key], value)
            except ValueError as error:
                errors[key] = f"{key} {error}"
    return errors


def words(name: str, options: Mapping[str, Any]) -> list[str]:
    """The same options as `rlhub train` takes them; what equals the settings for the environment is left out.

    Args:
        name: the system's.
        options: as in `check`, which has found nothing wrong with them.

    Raises:
        UserError: there is no such system.
    """
    told = describe(name)
    env = options.get("env") or next((field["default"] for field in told["fields"] if field["name"] == "env"), None)
    begins = settings(told, env)
    found = []
    for field in told["fields"]:
        key = field["name"]
        if options.get(key, "") == "":
            continue
        value, dashed = value_of(field, options[key]), key.replace("_", "-")
        if value == begins[key] and key != "env":
            continue
        if field["kind"] == "flag" and not field["optional"]:
            found.append(f"--{dashed}" if value else f"--no-{dashed}")
        else:
            found += as_words(key, value)
    return found


def settings(told: Mapping[str, Any], env: str | None = None) -> dict[str, Any]:
    """A described system's settings to begin from: its defaults, and over them those for an environment or its family."""
    plain = {field["name"]: field["default"] for field in told["fields"]}
    name = (env or "").partition("?")[0]
    tuned = told["tuned"].get(name, told["tuned"].get(name.partition("/")[0] + "/", {}))
    return plain | tuned | ({"env": env} if env and "env" in plain else {})


def value_of(field: Mapping[str, Any], value: Any) -> Any:
    """A field's value from JSON or from text.

    Raises:
        ValueError: it is of another type, or none of the choices; the text goes on a sentence that begins with the field's name.
    """
    if value is None or (isinstance(value, str) and value.strip().lower() == "none" and field["optional"]):
        if field["optional"]:
            return None
        if value is None:
            raise ValueError("needs a value")
    if not field["many"]:
        return one_of(field, value)
    parts = value.replace(",", " ").split() if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError(f"takes a list, not {value!r}")
    return [one_of(field, part) for part in parts]


def one_of(field: Mapping[str, Any], value: Any) -> Any:
    """A single value of a field; raises as `value_of` does."""
    kind, said = field["kind"], str(value).strip()
    if kind == "choice":
        found = next((choice for choice in field["choices"] if str(choice) == said), None)
        if found is None:
            known = [str(choice) for choice in field["choices"]]
            raise ValueError(f"can't be {said!r}{near(said, known)}: it is one of {', '.join(known)}")
        return found
    if kind == "flag":
        if said.lower() not in TRUE + FALSE:
            raise ValueError(f"is yes or no, not {said!r}")
        return said.lower() in TRUE
    if kind in ("integer", "number"):
        if isinstance(value, bool):
            raise ValueError(f"takes {'a whole number' if kind == 'integer' else 'a number'}, not {said!r}")
        return number_of(kind, said)
    return str(value)


def number_of(kind: str, said: str) -> float | int:
    """A number from text; raises as `value_of` does."""
    try:
        number = int(said.replace("_", "")) if kind == "integer" else float(said)
    except ValueError:
        raise ValueError(f"takes {'a whole number' if kind == 'integer' else 'a number'}, not {said!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"takes a finite number, not {said!r}")
    return number
