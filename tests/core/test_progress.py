"""The display counts right, nests, and costs next to nothing."""

import io
import subprocess
import sys

import pytest
from rich.console import Console

from rlhub.core import progress as module
from rlhub.core.progress import Progress, clock, metrics_line, progress, track


@pytest.fixture
def now(monkeypatch):
    """A clock that the test moves."""

    class Clock:
        seconds = 0.0

        def monotonic(self):
            return self.seconds

        def strftime(self, _):
            return "12:00:00"

    moment = Clock()
    monkeypatch.setattr(module, "time", moment)
    return moment


@pytest.mark.parametrize(("seconds", "read"), [(0, "0:00"), (59.6, "1:00"), (187, "3:07"), (3753, "1:02:33")])
def test_a_duration_reads_as_a_person_says_it(seconds, read):
    assert clock(seconds) == read


def test_the_time_left_is_what_the_speed_says(now):
    task = Progress("train", 10)
    assert task.seconds_left is None
    for _ in range(4):
        now.seconds += 3
        task.advance()
    assert task.seconds_left == pytest.approx(18)


def test_nothing_is_foretold_from_the_first_moments(now):
    task = Progress("train", 1000)
    now.seconds += 20
    task.advance()
    assert task.seconds_left is None
    now.seconds += 20
    task.advance()
    assert task.seconds_left == pytest.approx(998 * 20)


def test_what_was_done_before_this_process_does_not_count_for_the_speed(now):
    task = Progress("train", 100, completed=90)
    now.seconds += 10
    task.advance()
    assert task.seconds_left == pytest.approx(90)


def test_what_is_skipped_does_not_count_for_the_speed_either(now):
    task = Progress("study", 100)
    now.seconds += 1
    task.skip(80)
    now.seconds += 20
    task.advance(10)
    assert (task.completed, task.seconds_left) == (90, pytest.approx(20))


def test_the_speed_is_that_of_the_last_minutes(now):
    task = Progress("train", 1000)
    for seconds in [100] * 5 + [1] * 200:
        now.seconds += seconds
        task.advance()
    assert task.seconds_left == pytest.approx(795, rel=0.1)


def test_a_task_inside_moves_the_one_around_it(now):
    with progress("study", 4) as study:
        study.advance(2)
        study.inside = 2
        with progress("arm", 10) as arm:
            now.seconds += 5
            arm.advance(5)
            assert study.done == 3
            assert study.seconds_left == pytest.approx(1 / 3 * 5)
            with progress("step", 2) as step:
                step.advance()
                assert arm.done == 5.5
        assert study.done == pytest.approx(3.1)
        with progress("measure", 4) as measure:
            measure.advance(2)
            assert study.done == 4
        study.advance(2)
        assert study.done == 4


def test_tracking_yields_the_items_and_counts_them():
    seen = [(item, module._display.tasks[-1].completed, module._display.tasks[-1].total) for item in track("abc", "letters")]
    assert seen == [("a", 0, 3), ("b", 1, 3), ("c", 2, 3)]
    assert module._display is None


def test_an_exception_closes_the_display():
    with pytest.raises(ZeroDivisionError), progress("outer"), progress("inner"):
        raise ZeroDivisionError
    assert module._display is None


def test_the_live_display_shows_every_task_with_its_numbers(now):
    display = module._Display(live=True)
    study, arm = Progress("study", 4), Progress("arm [grpo]", 8)
    study.child = arm
    display.tasks += [study, arm]
    now.seconds = 60
    arm.advance(4, loss=0.123456)
    arm.activity = "writing checkpoint"
    text = io.StringIO()
    Console(file=text, width=120).print(display._render())
    first, second, numbers = text.getvalue().splitlines()
    assert "study" in first and "0/4" in first and "7:00 left" in first
    assert "arm [grpo] writing checkpoint" in second and "4/8" in second and "1:00 left" in second
    assert numbers.strip() == "loss 0.1235"


def test_metrics_that_people_look_for_come_first():
    assert metrics_line({"length": 3, "loss": 0.5, "accuracy": 1 / 3, "reward": None}) == "accuracy 0.3333  reward nan  loss 0.5  length 3"
    assert metrics_line({"length": 3, "loss": 0.5}, limit=1) == "loss 0.5"


def test_a_long_task_leaves_one_line_behind(now, capsys, monkeypatch):
    with progress("study", 2) as study:
        now.seconds += 75
        study.advance(2, accuracy=0.5)
    assert "study: 2/2 in 1:15; accuracy 0.5" in capsys.readouterr().err


def test_a_plain_line_tells_the_nest_of_tasks(now):
    study, arm = Progress("study", 4), Progress("grpo", 10)
    now.seconds = 10
    arm.advance(1)
    assert " > ".join(map(module._line, (study, arm))) == "study 0/4 > grpo 1/10, 1:30 left"


def test_importing_progress_loads_no_torch():
    code = "import sys, rlhub.core.progress; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_part_of_a_first_unit_says_nothing_of_a_thousand(now):
    with progress("train", 1000) as run:
        with progress("answers", 10) as answers:
            now.seconds += 100
            answers.advance(5)
            assert answers.seconds_left == pytest.approx(100)
            assert run.seconds_left is None
        now.seconds += 1
        run.advance()
        assert run.seconds_left is not None
