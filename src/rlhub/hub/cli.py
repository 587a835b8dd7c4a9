"""The command line: finds the command, runs it, and says in one sentence what went wrong.

Nothing heavy is imported before the command is known, so that help appears at once.
"""

import importlib
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, ModuleType

from rlhub.core.errors import UserError

COMMANDS = {
    "train": ("train SYSTEM", "train a model or an agent; `rlhub train` lists the systems"),
    "resume": ("resume RUN", "go on with a run that was killed or interrupted, to the very same numbers"),
    "stop": ("stop RUN", "end a run that is being trained; it can be resumed"),
    "delete": ("delete RUN", "move a run, or a study, out of the way; `rlhub restore` brings it back"),
    "restore": ("restore [NAME]", "bring back what was deleted; without a name, list it"),
    "runs": ("runs [RUN]", "what has run, and how it ended"),
    "compare": ("compare RUN RUN ...", "runs beside each other: curves with their intervals, and the settings that differ"),
    "evaluate": ("evaluate RUN", "how well a trained agent does in whole episodes, or a process reward model in finding wrong steps"),
    "watch": ("watch RUN", "see a trained agent: an episode as a video and as pictures"),
    "search": ("search", "a task's problems solved by many solutions and a judge of steps, or a tree of steps"),
    "chat": ("chat RUN", "talk to a checkpoint, its base beside it"),
    "study": ("study STUDY", "a core question: several signals from one model, measured and reported"),
    "questions": ("questions [STUDY]", "the core questions that were studied, and what came out"),
    "post": ("post STUDY --to FOLDER", "a study as Markdown with pictures, ready for a blog"),
    "book": ("book FIGURE", "Sutton & Barto's figures, computed anew: `rlhub book list`, `rlhub book figure 6.4`"),
    "theory": ("theory NAME", "what theory promises beside what an algorithm does: `rlhub theory list`"),
    "serve": ("serve", "roadmap, systems, questions and runs in a browser"),
    "roadmap": ("roadmap", "what to read and build, phase by phase, and which of its marks your runs have reached"),
    "systems": ("systems [NAME]", "what can be trained: each system's idea, paper, settings, and what was measured of it"),
    "lens": ("lens LENS", "one measurement on any model or checkpoint"),
}
_EXAMPLES = (
    ("rlhub study recall --signals sft dpo grpo --seeds 3", "what does each signal do to the circuits that recall facts?"),
    ("rlhub train grpo --task reasoning-gym:chain_sum --steps 50", "train SmolLM2 to add"),
    ("rlhub train ppo --env LunarLander-v3", "train an agent to land"),
    ("rlhub lens circuit --model smollm2 --contrast capitals", "which edges recall a capital?"),
    ("rlhub runs", "what is there"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what was typed after ``rlhub``; by default the process's arguments.

    Returns:
        The exit code: 0 for success, 2 for what the person can mend, 1 for a fault of this program, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    as_json = "--json" in rest
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if command in ("-h", "--help", "help"):
            return _say(_help())
        if command in ("-V", "--version", "version"):
            from importlib.metadata import version

            return _say(f"rlhub {version('rlhub')}")
        return int(_command(command).run(rest))
    except UserError as error:
        return _fail(str(error), code=2, as_json=as_json)
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted", code=130, as_json=as_json)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except ModuleNotFoundError as error:
        from rlhub.core.system import EXTRAS, mend_for

        if (error.name or "").partition(".")[0] not in EXTRAS:
            return _fail(_unexpected(error), code=1, as_json=as_json)
        return _fail(f"`rlhub {command}` needs {error.name}, which isn't installed: {mend_for(error.name)}", code=2, as_json=as_json)
    except Exception as error:
        return _fail(_unexpected(error), code=1, as_json=as_json)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End on `kill` as on Ctrl-C: the run says that it was interrupted, and how to go on."""
    raise KeyboardInterrupt


def _command(name: str) -> ModuleType:
    if name not in COMMANDS:
        from rlhub.hub.options import near

        raise UserError(f"rlhub has no command {name!r}{near(name, list(COMMANDS))}: `rlhub --help` lists them")
    return importlib.import_module(f"rlhub.hub.commands.{name}")


def _help() -> str:
    width = max(len(form) for form, _ in COMMANDS.values()) + 2
    commands = "\n".join(f"  {form:{width}}{what}" for form, what in COMMANDS.values())
    examples = "\n".join(f"  {line}\n      {what}" for line, what in _EXAMPLES)
    return (
        "Train one model with different signals, and read what each did to the circuits inside.\n\n"
        f"usage: rlhub COMMAND [options]\n\n{commands}\n\nexamples:\n{examples}\n\n"
        "Every command has --help for its options and --json for machines.\n"
        "Runs live in ./runs, or where --runs or RLHUB_RUNS says."
    )


def _unexpected(error: Exception) -> str:
    """One sentence on a fault of this program, with the file that holds its traceback."""
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith("traceback in ")]
    if not notes:
        with tempfile.NamedTemporaryFile("w", prefix="rlhub-error-", suffix=".log", delete=False) as file:
            file.write("".join(traceback.format_exception(error)))
        notes = [f"traceback in {Path(file.name)}"]
    what = " ".join(str(error).split())[:300]
    return f"something unexpected went wrong, which is rlhub's fault or its system's: {type(error).__name__}: {what} ({notes[0]})"


def _fail(sentence: str, *, code: int, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps({"error": sentence, "exit_code": code}) + "\n")
    else:
        sys.stderr.write(f"rlhub: {sentence}\n")
    return code


def _say(text: str) -> int:
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.argv[0] = "rlhub"  # as a person would type what provenance.json keeps
    sys.exit(main())
