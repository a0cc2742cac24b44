"""`making_folder`: what killed processes left goes, what others make stays."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from capacity._common.files import making_folder


def aged(folder: Path) -> None:
    """As if nothing had been put there for long."""
    long_ago = time.time() - 7200
    os.utime(folder, (long_ago, long_ago))


def test_what_a_killed_process_left_goes_and_what_another_makes_stays(tmp_path: Path) -> None:
    """Of three folders that are there only the old one of nobody goes; the own one at the end."""
    code = """
        import sys
        from pathlib import Path
        from capacity._common.files import making_folder
        with making_folder(Path(sys.argv[1])) as folder:
            print(folder, flush=True)
            sys.stdin.read()
        """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    killed, living = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    with killed, living:
        left, used = (
            Path(each.stdout.readline().strip())
            for each in (killed, living)
            if each.stdout is not None
        )
        killed.kill()
        killed.wait()
        (left / "half.html").write_text("half")
        fresh = tmp_path / ".making-fresh"
        fresh.mkdir()
        aged(left)
        aged(used)
        with making_folder(tmp_path) as own:
            assert {*tmp_path.iterdir()} == {used, fresh, own}
        living.communicate(timeout=60)
    assert [*tmp_path.iterdir()] == [fresh]
