"""Ten readers beside a writer that adds, alters and forgets without end, on both databases.

`DERMTWIN_SOAK_SECONDS` says for how long (CONTRIBUTING.md); nothing here depends on speed.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from small_casebooks import Process, generation_of, of_generation, write_dataset

from dermtwin.verbs.check import check
from dermtwin.vocabulary import Case

SECONDS = float(os.environ.get("DERMTWIN_SOAK_SECONDS", "2"))
READERS = Path(__file__).with_name("soak_process.py")
PROCESSES, THREADS = 2, 5
MOST = 14  # above the first 12: every change forgets somebody


class Writer:
    """One process that changes a casebook, and what must be in it after each change."""

    def __init__(self, process: Process, *, place: str, folder: Path, encoder: Path) -> None:
        self._process = process
        self._options = {"casebook": place, "encoder": encoder}
        self._place = place
        self._folder = folder
        self._chance = random.Random(3)
        self._number = 0
        self._datasets = 0
        self.truth: dict[str, Case] = {}
        self.counts: Counter[str] = Counter()

    def add(self, count: int) -> None:
        """New cases, two a lesion, four a patient; no name comes twice."""
        new = [self._new() for _ in range(count)]
        self._put(new)
        self.counts["added"] += count

    def change(self) -> None:
        """Add a few, alter a few, and forget where there are many."""
        self.add(4)
        some = self._chance.sample(sorted(self.truth), 3)
        self._put([of_generation(self.truth[name], self.counts["changes"] + 1) for name in some])
        self.counts["altered"] += len(some)
        while len(self.truth) > MOST:
            self._forget()
        self.counts["changes"] += 1

    def _new(self) -> Case:
        number, self._number = self._number, self._number + 1
        case = Case(
            isic_id=f"ISIC_{number:07d}",
            lesion_id=f"IL_{number // 2:07d}",
            patient_id=f"IP_{number // 4:07d}",
        )
        return of_generation(case, self.counts["changes"])

    def _put(self, cases: list[Case]) -> None:
        dataset = write_dataset(self._folder / str(self._datasets), cases)
        self._datasets += 1
        told = self._process.ask("add", dataset, **self._options, update=True)
        assert (told.get("error"), told.get("faults"), told.get("warnings")) == (None, [], [])
        self.truth |= {case.isic_id: case for case in cases}

    def _forget(self) -> None:
        kind = self._chance.choice(["case", "lesion", "patient"])
        field = {"case": "isic_id"}.get(kind, f"{kind}_id")
        name = getattr(self.truth[self._chance.choice(sorted(self.truth))], field)
        told = self._process.ask("forget", casebook=self._place, **{kind: name})
        # Readers that never pause may keep the log from being cut: told, and made good by `check`.
        assert "gone from every answer" in told.get("error", "gone from every answer"), told
        self.counts["erased later"] += "error" in told
        gone = {key for key, case in self.truth.items() if getattr(case, field) == name}
        assert told.get("cases", len(gone)) == len(gone)
        for key in gone:
            del self.truth[key]
        self.counts["forgotten"] += len(gone)


@contextmanager
def readers(place: str) -> Iterator[subprocess.Popen]:
    command = [sys.executable, READERS, place, str(THREADS)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(300 + 2 * SECONDS)
def test_ten_readers_and_a_writer(place, tmp_path, encoder_file) -> None:
    """No answer names a case without its record, code and image; nobody misses the last change."""
    with ExitStack() as stack:
        process = stack.enter_context(Process())
        writer = Writer(process, place=place, folder=tmp_path / "new", encoder=encoder_file)
        writer.add(12)
        others = [stack.enter_context(readers(place)) for _ in range(PROCESSES)]
        for other in others:
            assert other.stdout.readline() == "ready\n", other.communicate()
        ending = time.monotonic() + SECONDS
        writer.change()
        while time.monotonic() < ending:
            writer.change()
        truth = {name: generation_of(case) for name, case in writer.truth.items()}
        counted = Counter()
        for other in others:
            told, complaints = other.communicate(json.dumps(truth) + "\n")
            assert other.returncode == 0, complaints
            counted += Counter(json.loads(told))
    # One look before the writer began and one after it ended are what every reader is sure of.
    assert min(counted["moments"], counted["answers"]) >= 2 * PROCESSES * THREADS
    report = check(casebook=place)
    assert (report.problems, report.counts["cases"]) == ((), len(truth))
    sys.stdout.write(f"written: {dict(writer.counts)}; read: {dict(counted)}\n")
