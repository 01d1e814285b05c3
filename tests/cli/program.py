"""The program, run as a person would, in a folder of its own."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONFIG = Path(__file__).parents[2] / "configs" / "paper.toml"


def dermtwin(*arguments: object, cwd: Path, **options) -> subprocess.CompletedProcess:
    """Run the program as a person would; its exit code is for the caller to look at."""
    command = [sys.executable, "-c", "from dermtwin.cli import main; main()"]
    words = [*command, *map(str, arguments)]
    return subprocess.run(words, cwd=cwd, capture_output=True, check=False, text=True, **options)


@dataclass(frozen=True)
class World:
    folder: Path

    def run(self, *arguments: object, **options) -> subprocess.CompletedProcess:
        return dermtwin(*arguments, cwd=self.folder, **options)

    def do(self, *arguments: object, **options) -> subprocess.CompletedProcess:
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done
