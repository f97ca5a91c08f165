"""The session that README.md shows is what the commands print."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., subprocess.CompletedProcess[str]]

README = (Path(__file__).parent.parent / "README.md").read_text()


def session() -> list[tuple[str, str]]:
    """(command, what it prints), in order; an ellipsis stands for the first lines."""
    return re.findall(r"^```\n\$ (.*?)\n(.*?)```$", README, re.M | re.S)


def test_the_session_prints_what_the_readme_shows(models: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(models)
    assert len(session()) >= 3
    for line, shown in session():
        done = command(*shlex.split(line))
        assert done.returncode == 0, done.stderr
        # how many conversions clip may depend on the last bit of float sums, which is the machine's
        shown, printed = (
            re.sub(r"^\d+ conversions", "n conversions", text, flags=re.M) for text in (shown, done.stdout)
        )
        if shown.startswith("...\n"):
            assert printed.endswith(shown.removeprefix("...\n"))
        else:
            assert printed == shown


def test_the_passes_run_alone_as_the_readme_says(models: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(models)
    lines = [line for line in re.findall(r"`(h3c\S* [^`]*?)`", README.replace("\n", " ")) if " ir" in line]
    assert len(lines) == 2
    for line in lines:
        done = command(*shlex.split(line))
        assert done.returncode == 0, done.stderr
