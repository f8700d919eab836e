"""Child processes of the real outside: how they end is a value, and none can take the machine along."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envfix.system.outside import RealOutside
from envfix.system.processes import KEPT

OUTSIDE = RealOutside(quiet=True)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_input_and_exit_code_arrive() -> None:
    ran = OUTSIDE.run(
        python("import sys; print(sys.stdin.read()); print('e', file=sys.stderr); sys.exit(3)"),
        timeout=20,
        stdin="hi",
    )
    assert (ran.code, ran.out, ran.err, ran.timed_out) == (3, "hi\n", "e\n", False)


def test_a_child_that_prints_without_end_is_ended_early() -> None:
    start = time.monotonic()
    ran = OUTSIDE.run(python("while True: print('y' * 4096)"), timeout=120)
    assert ran.code is None and "printed more than" in ran.error
    assert len(ran.out) < 2 * KEPT and time.monotonic() - start < 60


def test_a_hang_and_a_grandchild_that_holds_the_pipe_are_time_outs() -> None:
    for code in ("import time; time.sleep(60)", "import subprocess; subprocess.Popen(['sleep', '60'])"):
        start = time.monotonic()
        ran = OUTSIDE.run(python(code), timeout=1)
        assert ran.timed_out and ran.code is None and time.monotonic() - start < 20


def test_a_child_that_closes_its_input_is_no_error() -> None:
    ran = OUTSIDE.run(python("import sys; sys.stdin.close(); print(1)"), timeout=20, stdin="x" * 1_000_000)
    assert ran.ok and ran.out == "1\n"


def test_a_signal_is_a_negative_code_and_a_missing_program_a_reason() -> None:
    assert OUTSIDE.run(python("import os; os.kill(os.getpid(), 11)"), timeout=20).code == -11
    assert "could not be started" in OUTSIDE.run(["/no/such/program"], timeout=20).error


def test_a_file_is_whole_or_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    OUTSIDE.write_text(str(path), "one")
    OUTSIDE.write_text(str(path), "two", mode=0o600)
    assert path.read_text() == "two" and path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_is_said_cannot_disturb_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    RealOutside().say("a\x1b[2Jb \u202egpj.exe")
    assert capsys.readouterr().err == "a\ufffd[2Jb \ufffdgpj.exe\n"


SPEAKS = "import sys; sys.stderr.write('one\\ntwo \x1b[31m\\nthree'); sys.stderr.flush()"


def test_a_shown_child_is_passed_on_line_by_line_and_kept_whole(capsys: pytest.CaptureFixture[str]) -> None:
    ran = OUTSIDE.run(python(SPEAKS), timeout=20, show=True, keep=lambda line: line if line != "one" else "")
    assert capsys.readouterr().err == "two \ufffd[31m\nthree\n"
    assert ran.err == "one\ntwo \x1b[31m\nthree"


def test_a_notebook_forces_no_colours_into_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """ipykernel sets these for every `!command`."""
    forced = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
    for name, value in forced.items():
        monkeypatch.setenv(name, value)
    code = python("import os; print(os.environ.get('FORCE_COLOR'), os.environ.get('CLICOLOR_FORCE'))")
    assert OUTSIDE.run(code, timeout=20).out == "None None\n"
    assert OUTSIDE.run(code, timeout=20, env={**os.environ, **forced}).out == "None None\n"


def test_a_shown_child_draws_on_a_real_terminal_and_not_on_that_of_a_cell() -> None:
    """The child sees a terminal in the first case; in the second its lines are picked."""
    code = (
        "import sys; from envfix.system.outside import RealOutside\n"
        "outside = RealOutside(); outside.in_cell = sys.argv[1] == 'cell'\n"
        "child = [sys.executable, '-c', 'import sys; print(sys.stderr.isatty(), file=sys.stderr)']\n"
        "outside.run(child, timeout=20, show=True, keep=lambda line: 'picked ' + line)\n"
    )
    assert on_a_terminal(code, "terminal").split() == ["True"]
    assert on_a_terminal(code, "cell").split() == ["picked", "False"]


def on_a_terminal(code: str, *arguments: str) -> str:
    """What a Python program prints on a pseudo-terminal of its own."""
    pty = pytest.importorskip("pty")
    mine, theirs = pty.openpty()
    child = subprocess.Popen(
        [*python(code), *arguments], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # Linux ends a pseudo-terminal that nobody holds any more with EIO
        while chunk := os.read(mine, 4096):
            said += chunk
    os.close(mine)
    child.wait(20)
    return said.decode()


def test_a_pipe_is_written_into_and_what_a_link_leads_to_replaced(tmp_path: Path) -> None:
    """As root, `-o /dev/stdout` would else take the device away from the whole machine."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for path in (pipe, link):
            RealOutside().write_text(str(path), "lock")
            assert os.read(reader, 100) == b"lock"
        assert pipe.is_fifo() and link.is_symlink()
    finally:
        os.close(reader)
    (tmp_path / "file").write_text("old")
    link.unlink()
    link.symlink_to(tmp_path / "file")
    RealOutside().write_text(str(link), "new")
    assert link.is_symlink() and (tmp_path / "file").read_text() == "new"


def test_links_in_a_circle_are_an_error_and_stay(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.symlink_to(two)
    two.symlink_to(one)
    for path in (str(one), str(two / "below")):
        with pytest.raises(OSError) as caught:
            RealOutside().write_text(path, "lock")
        assert caught.value.errno == errno.ELOOP and caught.value.filename
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_symlink()) == ["one", "two"]
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "new")
    RealOutside().write_text(str(dangling), "lock")
    assert dangling.is_symlink() and (tmp_path / "new").read_text() == "lock"


@pytest.mark.parametrize(("lasting", "times"), [(True, 1), (False, 0)])
def test_only_what_must_last_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasting: bool, times: int
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    OUTSIDE.write_text(str(tmp_path / "file"), "x", lasting=lasting)
    assert (tmp_path / "file").read_text() == "x" and len(synced) == times


def test_a_child_that_nobody_waits_for_ends_with_the_process(tmp_path: Path) -> None:
    number = tmp_path / "number"
    child = f"import os, time; open({str(number)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = f"""
import sys, time
from pathlib import Path
from envfix.aside import Aside
from envfix.system.outside import RealOutside
from envfix.system.streams import leave
Aside.begun(lambda: RealOutside().run([sys.executable, "-c", {child!r}], timeout=60))
while not Path({str(number)!r}).exists() or not Path({str(number)!r}).read_text():
    time.sleep(0.01)
leave(0)
"""
    subprocess.run(python(code), check=True, timeout=20)
    end = time.monotonic() + 5
    while Path(f"/proc/{number.read_text()}").exists() and not is_dead(number.read_text()):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_dead(number: str) -> bool:
    """Whether the process has ended; nobody may have asked for its end yet."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_leaving_does_what_was_registered_and_writes_what_was_said(tmp_path: Path) -> None:
    code = """
import atexit, sys, threading, time
from envfix.system.streams import leave
atexit.register(print, "registered", end="")
threading.Thread(target=time.sleep, args=(60,)).start()
print("said", end=" ")
leave(3)
"""
    done = subprocess.run(python(code), capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said registered", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_leaving_without_having_written_is_no_success() -> None:
    code = "from envfix.system.streams import leave\nprint('said')\nleave(0)"
    with open("/dev/full", "w") as full:  # noqa: PTH123
        env = {**os.environ, "PYTHONUNBUFFERED": ""}
        assert subprocess.run(python(code), stdout=full, timeout=20, env=env).returncode == 2
