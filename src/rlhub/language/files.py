"""Tasks from a person's own data: JSONL files, and data sets that `datasets` reads."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhub.core.errors import UserError
from rlhub.language.hub import ask_for_dataset
from rlhub.language.rewards import Text, exact_match
from rlhub.language.task import Example, Task

Row = tuple[str, dict[str, Any]]  # where it stands (for messages to the person), and what it holds
BUILDERS = {".parquet": "parquet", ".csv": "csv", ".arrow": "arrow", ".json": "json", ".jsonl": "json", ".txt": "text"}
LABELLED = "give texts in steps, as many numbers from 0 to 1 in labels, and true or false in ended, if that is there"
"""What labelled steps must be (`go_together`)."""


class Rows(list[Example]):
    """Examples, and where each of them stands, for messages to the person."""

    def __init__(self, examples: Iterable[tuple[str, Example]]) -> None:
        found = list(examples)
        super().__init__(example for _, example in found)
        self.places = [where for where, _ in found]


def file_task(
    name: str,
    source: str,
    *,
    is_dataset: bool,
    columns: tuple[str, str],
    seed: int,
    config: str | None = None,
    split: str = "train",
    test: str | None = None,
) -> Task:
    """A JSONL file's or data set's rows as a task, rewarded by exact match where they have answers.

    A row gives its prompt (text or messages) in the prompt column and, if there is one, its answer in the answer column; or both in a
    column `messages`, whose last message by the assistant is the answer. `chosen` and `rejected` (text, or messages ending in the
    assistant's) are for preferences, and `completion` likewise for an answer with a label, or without one for an answer to imitate; the
    messages before the assistant's last one are the prompt. All columns are handed to reward functions.

    Args:
        name: what the task is called.
        source: the file, or the data set's name or folder.
        is_dataset: whether `datasets` reads it.
        columns: the names of the prompt's and the answer's column.
        seed: which wrong answers are drawn for preferences.
        config: the data set's configuration.
        split: the data set's split to train on.
        test: a second file, or the data set's split to test on.

    Raises:
        UserError: it can't be read; for a bad line, the file, the line and what is wrong with it.
    """
    if is_dataset:
        rows = {"train": dataset_rows(source, config, split)} | ({"test": dataset_rows(source, config, test)} if test else {})
    else:
        rows = {"train": jsonl_rows(Path(source))} | ({"test": jsonl_rows(Path(test))} if test else {})
    splits = {
        kind: Rows((where, one) for where, row in lines if (one := example(where, row, *columns)) is not None)
        for kind, lines in rows.items()
    }
    for kind, examples in splits.items():
        if not examples:
            raise UserError(f"the task {name} has no rows to {kind} on")
    return Task(name=name, splits=splits, rewards=[(exact_match, 1.0)], seed=seed)


def jsonl_rows(path: Path) -> Iterator[Row]:
    """A JSONL file's lines; empty ones are skipped."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UserError(f"can't read the task file {path}: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        try:
            if line.strip():
                yield where, json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(f"{where}: not UTF-8 text (byte {error.start + 1} of the line)") from error
        except json.JSONDecodeError as error:
            raise UserError(f"{where}: not JSON: {error.msg} (column {error.colno})") from error


def dataset_rows(source: str, config: str | None, split: str) -> Iterator[Row]:
    """A data set's rows, from the hub or from a folder or file on this machine."""
    import datasets

    try:
        if not (local := Path(source).exists()):
            ask_for_dataset(source)
        table: Any = read_local(Path(source), split) if local else datasets.load_dataset(source, config, split=split)
    except UserError:
        raise
    except Exception as error:  # datasets and the hub client raise many kinds
        message = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"can't load the split {split!r} of the data set {source!r}: {message}") from error
    for number, row in enumerate(table):
        yield f"{source} ({split}, row {number})", row


def read_local(path: Path, split: str) -> Any:
    """A data set on this machine: as `save_to_disk` leaves it, or files of one kind (a folder's, or one file)."""
    import datasets

    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        saved = datasets.load_from_disk(str(path))
        if not isinstance(saved, datasets.DatasetDict):
            return saved
        if split not in saved:
            raise UserError(f"the data set {path} has no split {split!r}; it has {', '.join(saved)}")
        return saved[split]
    if path.is_file():
        if path.suffix not in BUILDERS:
            raise UserError(f"can't read the data set {path}: the file's kind is none of {', '.join(BUILDERS)}")
        return datasets.load_dataset(BUILDERS[path.suffix], data_files=str(path), split="train")
    return datasets.load_dataset(str(path), split=split)


def example(where: str, row: Any, prompt_column: str, answer_column: str) -> Example | None:
    """One row as an example; None for a row of PRM800K that says nothing.

    Raises:
        UserError: a column is missing or of the wrong kind.
    """
    if not isinstance(row, dict):
        raise UserError(f"{where}: a row must be a JSON object with named columns, and this is {kind_of(row)}")
    prompt, answer = row.get(prompt_column), row.get(answer_column)
    columns = {name: value for name, value in row.items() if name not in (prompt_column, answer_column) and value is not None}
    if prompt is None and isinstance(row.get("question"), dict) and isinstance(row.get("label"), dict):
        rated = prm800k(where, row)
        if rated is None:
            return None
        prompt, columns = rated
    if prompt is None and {"problem", "steps", "label"} <= row.keys():
        prompt, columns = processbench(where, row)
    if {"steps", "labels"} <= columns.keys() and not go_together(columns):
        raise UserError(f"{where}: its steps can't be learnt from: {LABELLED}")
    if prompt is None and row.get("messages") is not None:
        prompt, answer = split_conversation(where, "messages", row["messages"])
    earlier: dict[str, list[dict[str, str]]] = {}
    for name in ("chosen", "rejected", "completion"):
        given = columns.get(name, "")
        if is_conversation(given) or (isinstance(given, list) and name != "completion"):
            earlier[name], columns[name] = last_turn(where, name, given)
        elif not isinstance(given, str) and name != "completion":
            raise UserError(f"{where}: the column {name!r} must be text or messages, and is {kind_of(given)}")
    if is_conversation(answer):
        earlier[answer_column], answer = last_turn(where, answer_column, answer)
    elif answer is None and answer_column == "answer" and "label" not in columns and isinstance(columns.get("completion"), str):
        answer = columns["completion"]
    if earlier:
        prompt = shared_turns(where, prompt_column, prompt, earlier)
    if ("chosen" in columns) != ("rejected" in columns):
        raise UserError(f"{where}: a preference needs both columns, chosen and rejected")
    if prompt is None:
        raise UserError(f"{where}: there is no column {prompt_column!r} (nor messages); the columns are {', '.join(row) or 'none'}")
    if answer is None and answer_column not in row and answer_column != "answer":
        raise UserError(f"{where}: there is no column {answer_column!r}; the columns are {', '.join(row)}")
    if isinstance(answer, bool | list | dict):
        raise UserError(f"{where}: the column {answer_column!r} must be text or a number, and is a {type(answer).__name__}")
    return Example(checked_prompt(where, prompt_column, prompt), None if answer is None else str(answer), columns)


def go_together(columns: Mapping[str, Any]) -> bool:
    """Whether steps are texts with a label from 0 (wrong) to 1 (right) for each, and `ended`, if it is there, is true or false."""
    steps, labels = columns.get("steps"), columns.get("labels")
    return (
        isinstance(columns.get("ended", True), bool)
        and isinstance(steps, list)
        and isinstance(labels, list)
        and len(steps) == len(labels) > 0
        and all(isinstance(step, str) and step for step in steps)
        and all(isinstance(value, int | float) and 0 <= value <= 1 for value in labels)
    )


def prm800k(where: str, row: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """A row of PRM800K (Lightman et al. 2023, arXiv:2305.20050): the problem, its solution's steps, and 1 or 0 for each.

    Of several wordings of a step the one that the raters went on with counts: one of the model's, or where none would do their own, which
    is right; where they went on with none, the first. A rating of 0 (neutral) is no error; what comes after the first error was not rated.
    A solution has ended only where they found it finished. Where they gave up before they rated a step, there is nothing to learn: None.

    Raises:
        UserError: it is not laid out so.
    """
    steps, labels = [], []
    try:
        for step in row["label"]["steps"]:
            chosen, human = step.get("chosen_completion"), step.get("human_completion")
            if chosen is None and human is not None:
                chosen, rating = human, 1
            elif not step["completions"]:
                break
            else:
                chosen = step["completions"][chosen or 0]
                rating = chosen["rating"]
            if rating is None:
                break
            steps.append(str(chosen["text"]) + "\n")
            labels.append(float(rating >= 0))
            if labels[-1] == 0:
                break
        if not steps:
            return None
        ended = row["label"].get("finish_reason") == "solution" and len(steps) == len(row["label"]["steps"])
        return row["question"]["problem"], {"steps": steps, "labels": labels, "ended": ended}
    except (KeyError, IndexError, TypeError) as error:
        raise UserError(f"{where}: its question and label are not laid out as PRM800K's rows are ({error!r})") from error


def processbench(where: str, row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A row of ProcessBench (Zheng et al. 2024, arXiv:2412.06559): the problem, a solution's steps, and the first wrong one.

    `first_error` counts from 0 and is -1 where all steps are right, as `label` is in the file.

    Raises:
        UserError: it is not laid out so.
    """
    problem, steps, label = row["problem"], row["steps"], row["label"]
    if not (
        isinstance(problem, str)
        and isinstance(steps, list)
        and steps
        and all(isinstance(step, str) and step for step in steps)
        and type(label) is int
        and -1 <= label < len(steps)
    ):
        raise UserError(
            f"{where}: it is not laid out as ProcessBench's rows are: problem must be text, steps texts, and label the index of one, or -1"
        )
    others = {name: value for name, value in row.items() if name not in ("problem", "steps", "label")}
    return problem, others | {"steps": [f"{step}\n" for step in steps], "first_error": label}


def split_conversation(where: str, column: str, messages: Any) -> tuple[Text, str]:
    """A conversation's messages up to the assistant's last one, and that one's content."""
    before, answer = last_turn(where, column, messages)
    if not before:
        raise UserError(f"{where}: the column {column!r} has no message before the assistant's, so there is nothing that it answers")
    return before, answer


def last_turn(where: str, column: str, messages: Any) -> tuple[list[dict[str, str]], str]:
    """The messages before the assistant's last one, of which there may be none, and that one's content."""
    turns = checked_prompt(where, column, messages)
    if isinstance(turns, str) or turns[-1]["role"] != "assistant":
        raise UserError(f"{where}: the column {column!r} must be messages of which the last is the assistant's")
    return turns[:-1], turns[-1]["content"]


def shared_turns(where: str, prompt_column: str, prompt: Any, earlier: dict[str, list[dict[str, str]]]) -> Any:
    """The prompt of answers that were given as messages: the turns before them, or where there are none what the row names as prompt.

    Many data sets repeat the last of the turns as text in the prompt's column, so text there yields to the turns; before an answer alone it
    is what the user said.

    Args:
        where: the row.
        prompt_column: the prompt's column.
        prompt: what is there.
        earlier: by column, the turns before an answer.

    Raises:
        UserError: the answers are to different turns, or to none.
    """
    (first, turns), *others = earlier.items()
    for other, its in others:
        if its != turns:
            raise UserError(
                f"{where}: the columns {first!r} and {other!r} differ before their last messages; both must answer the same ones"
            )
    if not turns and prompt is None:
        raise UserError(f"{where}: the column {first!r} is an answer alone, and no column {prompt_column!r} says what it answers")
    if not turns:
        return [{"role": "user", "content": prompt}] if isinstance(prompt, str) and prompt else prompt
    if prompt is not None and not isinstance(prompt, str) and checked_prompt(where, prompt_column, prompt) != turns:
        raise UserError(f"{where}: the messages before the last of the column {first!r} are not those of the column {prompt_column!r}")
    return turns


def kind_of(value: Any) -> str:
    """A JSON value's kind, as a message names it."""
    return "null" if value is None else f"a {type(value).__name__}"


def checked_prompt(where: str, column: str, prompt: Any) -> Text:
    """The prompt, if it is text or messages."""
    if isinstance(prompt, str):
        if not prompt:
            raise UserError(f"{where}: the column {column!r} is empty")
        return prompt
    if not is_conversation(prompt):
        raise UserError(f'{where}: the column {column!r} must be text or a list of messages {{"role": ..., "content": ...}}')
    return [{"role": message["role"], "content": message["content"]} for message in prompt]


def is_conversation(value: Any) -> bool:
    """Whether a value is a non-empty list of messages with a role and a content."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and isinstance(one.get("role"), str) and isinstance(one.get("content"), str) for one in value)
    )
