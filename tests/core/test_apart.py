import os
import signal
import subprocess
import sys

import psutil
import pytest
from waiting import until

from rlhub.core.apart import Apart, Ended


def test_calls_are_answered_by_another_process_which_stays():
    apart = Apart(5.0)
    first, second = apart(os.getpid), apart(os.getpid)
    assert first == second != os.getpid()
    assert apart(divmod, 17, 5) == (3, 2)


def test_arithmetic_without_end_is_ended_and_the_next_call_answered():
    apart = Apart(0.3)
    before = apart(os.getpid)
    with pytest.raises(Ended):
        apart(pow, 9, 9**9)
    assert not psutil.pid_exists(before)
    assert apart(divmod, 17, 5) == (3, 2)


def test_a_process_that_is_killed_is_started_again():
    apart = Apart(5.0)
    os.kill(apart(os.getpid), signal.SIGKILL)
    with pytest.raises(Ended):
        apart(divmod, 17, 5)
    assert apart(divmod, 17, 5) == (3, 2)


def test_an_interrupted_call_leaves_no_answer_behind():
    apart = Apart(5.0)
    apart(os.getpid)
    connection, _ = apart._started

    class Interrupted:
        close, send = connection.close, connection.send

        def recv(self):
            raise KeyboardInterrupt

    apart._started = (Interrupted(), apart._started[1])
    with pytest.raises(KeyboardInterrupt):
        apart(divmod, 17, 5)
    assert apart(divmod, 100, 7) == (14, 2)


def test_a_script_without_a_guard_is_not_run_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import os\nfrom rlhub.core.apart import Apart\nprint('begun', Apart(5.0)(divmod, 17, 5))\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("begun (3, 2)\n", "")


@pytest.mark.parametrize("busy", [False, True])
def test_it_does_not_outlive_the_process_that_it_serves(tmp_path, busy):
    more = "apart(pow, 9, 9**9)" if busy else "time.sleep(60)"
    script = f"import os, time\nfrom rlhub.core.apart import Apart\napart = Apart(1.0)\nprint(apart(os.getpid), flush=True)\n{more}\n"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        served = int(process.stdout.readline())
        assert psutil.pid_exists(served)
        process.kill()
        until(lambda: not psutil.pid_exists(served) or psutil.Process(served).status() == psutil.STATUS_ZOMBIE)
