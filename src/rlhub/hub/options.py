"""From a command's arguments to a dataclass, and from what was wrong with them to one sentence."""

import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_type_hints

import tyro
from tyro import _errors as tyro_errors

from rlhub.core.errors import UserError

Options = TypeVar("Options")
_CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff)


def parse(
    kind: type[Options], arguments: Sequence[str], *, prog: str, description: str | None = None, default: Options | None = None
) -> Options:
    """Read a command's arguments into a dataclass; ``--help`` prints its attributes' documentation and exits with 0.

    Args:
        kind: a dataclass, whose fields are the options; a field annotated ``tyro.conf.Positional[...]`` has no name on the command line,
            and a dataclass within it adds its fields.
        arguments: what was typed after the command.
        prog: the command, as it was typed.
        description: shown on top of the help; by default the dataclass's docstring.
        default: what options that are not given are taken from; by default the dataclass's own defaults.

    Raises:
        UserError: an option is unknown, misses its value or has one that makes no sense.
    """

    def explain(event: tyro_errors.ParseErrorEvent) -> None:
        raise UserError(_sentence(event, kind, arguments, prog))

    known: Any = {} if default is None else {"default": default}
    with tyro_errors.on_parse_error(explain):
        return tyro.cli(kind, args=_with_flags(kind, arguments, default), prog=prog, description=description, config=_CONFIG, **known)


def listing_as_json(command: str, needs: str, arguments: Sequence[str]) -> bool:
    """Whether a command that got no name of what to work on lists its choices as JSON.

    Raises:
        UserError: there are options, which belong after a name.
    """
    strangers = [argument for argument in arguments if argument not in ("--json", "-h", "--help")]
    if strangers:
        raise UserError(f"{command} needs a {needs} before {strangers[0]}: `{command}` lists them")
    return "--json" in arguments


def near(word: str, words: Sequence[str]) -> str:
    """`` (did you mean X?)`` with the words that look like a misspelt one, or nothing."""
    bare = {each.lstrip("-"): each for each in words}
    matches = [bare[match] for match in difflib.get_close_matches(word.lstrip("-"), list(bare), n=2, cutoff=0.65)]
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""


def _with_flags(kind: type, arguments: Sequence[str], default: Any) -> list[str]:
    """The arguments with every flag in the one form that its default leaves it.

    A flag that is off can be said with ``--flag`` and one that is on with ``--no-flag``; which is which can depend on the environment, so
    both, and ``--flag=True`` and ``--flag=False``, are taken for all of them.
    """
    offered = dict(_flags(kind, default))
    wanted: dict[str, bool] = {}
    others = []
    for argument in arguments:
        option, _, value = argument.replace("_", "-").partition("=") if argument.startswith("--") else (argument, "", "")
        name, no = option.removeprefix("--"), option.startswith("--no-") and option.removeprefix("--") not in offered
        name = name.removeprefix("no-") if no else name
        if option.startswith("--") and name in offered and value.lower() in ("", "true", "false") and not (no and value):
            wanted[name] = value.lower() != "false" and not no
        else:
            others.append(argument)
    return [*others, *(f"--{'' if on else 'no-'}{name}" for name, on in wanted.items() if on != offered[name])]


def _flags(kind: type, default: Any) -> Iterator[tuple[str, bool]]:
    """The options that are on or off, and which of the two they are where nothing is said."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        at_first = field.default if default is None else getattr(default, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _flags(hints[field.name], None if at_first is dataclasses.MISSING else at_first)
        elif hints[field.name] is bool and isinstance(at_first, bool):
            yield field.name.replace("_", "-"), at_first


def _sentence(event: tyro_errors.ParseErrorEvent, kind: type, arguments: Sequence[str], prog: str) -> str:
    see = f"`{prog} --help` shows what there is"
    match event:
        case tyro_errors.UnrecognizedArgs(tokens=tokens):
            options = [token for token in tokens if token.startswith("--")]
            if not options:
                return f"{prog} can't make sense of {' '.join(map(repr, tokens))}: {see}"
            name = options[0].partition("=")[0]
            return f"{prog} has no option {name}{near(name.replace('_', '-'), _names(kind))}: {see}"
        case tyro_errors.MissingArgs(missing_arguments=missing):
            names = ", ".join(_name(argument.arg) for argument in missing)
            return f"{prog} needs {names}: {see}"
        case tyro_errors.InvalidChoice(argument=argument, value=value, choices=choices):
            return f"{_name(argument)} can't be {value!r}{near(value, choices)}: it is one of {', '.join(choices)}"
        case tyro_errors.BadValue(argument=argument):
            return f"{_name(argument)} has no value, or too few of them: {see}"
        case tyro_errors.InstantiationFailure(message=message, argument=argument):
            return " ".join(message.split()) if argument is None else f"{_name(argument)} {_plainly(message)}: {see}"
        case _:
            return f"{prog} can't make sense of {' '.join(arguments)}: {see}"


def _plainly(message: str) -> str:
    """Python's words for a number that is none, as a person says it."""
    number = re.search(r"(invalid literal for int|could not convert string to float).*: ('.*')", message)
    if number is None:
        return f"can't take this value ({' '.join(message.split())})"
    return f"takes {'a whole number' if 'int' in number[1] else 'a number'}, not {number[2]}"


def _name(argument: Any) -> str:
    name = str(argument.lowered.name_or_flags[0])
    return name if name.startswith("-") else str(argument.lowered.metavar or name)


def _names(kind: type) -> list[str]:
    """Every option's name, as the help prints it."""
    words = tyro.extras.get_parser(kind, config=_CONFIG).format_help().split()
    return [word.strip("[],│") for word in words if word.startswith("--") or word.startswith("[--")]
