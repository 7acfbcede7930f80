"""What a command says while it works: nothing that is not known, and nothing too late."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from extract.embedding import course as courses
from extract.embedding.course import Course, shown


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_time_left_is_that_of_the_whole_command(clock: Clock) -> None:
    course = Course(clock=clock)
    course.begin("loading")
    clock.now = 3.0
    assert course.line() == "loading, 3 s so far"  # nobody knows
    course.begin("svm", after=lambda: 20.0 * (course.pace or 0))
    assert course.line() == "svm, 3 s so far"
    clock.now = 5.0
    course.step(10, 40)
    assert course.left() == (pytest.approx(6.0 + 4.0), "")
    assert course.line() == "[####........] svm, 10 of 40, 5 s so far, about 10 s left"
    clock.now = 11.0
    course.step(40, 40)
    assert course.left() == (pytest.approx(4.0), "")  # not 0: more comes
    course.begin("refit", seconds=3.0, after=lambda: 2.0)
    clock.now = 12.0
    assert course.left() == (pytest.approx(4.0), "")
    clock.now = 200.0  # it was known wrongly
    assert course.line() == "refit, 3 min 20 s so far"


def test_a_part_is_named_where_the_rest_is_not_known(clock: Clock) -> None:
    course = Course(clock=clock)
    course.begin("head 1 of 2: svm", part="svm")
    clock.now = 1.0
    course.step(1, 4)
    assert course.line() == "head 1 of 2: svm, 1 of 4, 1 s so far, about 3 s left for svm"
    course.step(4, 4)
    assert "left" not in course.line()  # never "about 0 s left" with more to come
    course.begin("head 2 of 2: lda")
    course.step(1, 4)
    assert "left" not in course.line()


def test_files_of_an_embedding_are_steps(clock: Clock) -> None:
    said: list[str] = []
    course = Course(said.append, clock)
    progress = course.progress("embedding views", after=lambda: 1.0)
    for files in (4, 0, 2):
        progress.start(files)
        for _ in range(files):
            clock.now += 1.0
            progress.advance(1, 0)
    assert course.line().endswith("embedding views, 2 of 2, 6 s so far, about 1 s left")
    progress.note("a note")
    assert said == ["a note"]


def test_without_a_terminal_each_stage_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(courses, "SELDOM", 0.001)
    said: list[str] = []
    ticked = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if "so far" in line:
            ticked.set()

    with shown(Course(say), "") as course:
        course.begin("one")
        assert ticked.wait(10)
        course.begin("two")
    assert said[0] == "one" and said[1].startswith("one, 0 s so far") and "two" in said
    assert capsys.readouterr().err == ""


def test_ctrl_c_is_answered_at_once_and_the_second_is_like_any_other() -> None:
    said: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with shown(Course(said.append), "stopping") as course:
            course.begin("one")
            for _ in range(2):
                with pytest.raises(KeyboardInterrupt):
                    os.kill(os.getpid(), signal.SIGINT)
                    threading.Event().wait(10)
        assert said == ["one", "stopping"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_on_a_terminal_one_line_is_drawn_over_itself() -> None:
    import pty

    script = textwrap.dedent("""
        from extract.embedding.course import Course, shown
        from extract.machine import quiet_stderr
        import sys
        with shown(Course(lambda line: print(line, file=sys.stderr, flush=True)), "") as course:
            with quiet_stderr():
                course.begin("loading")
            course.say("a line that stays")
            course.begin("second")
    """)
    near, far = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", script], stderr=far, cwd=Path(courses.__file__).parents[2]
    ) as child:
        os.close(far)
        shown_text = b""
        with open(near, "rb", buffering=0) as terminal:
            while True:
                try:
                    data = terminal.read(4096)
                except OSError:  # Linux says so when the other end is closed
                    break
                if not data:
                    break
                shown_text += data
    assert child.returncode == 0
    assert b"\rloading, 0 s so far\x1b[K\r" in shown_text
    assert b"\r\x1b[Ka line that stays\r\n" in shown_text and shown_text.endswith(b"\r\x1b[K")
