"""A process of readers: threads that search, read records and open images until it is ended.

The arguments are a casebook and how many threads. It says `ready` when each thread has looked once;
a line of JSON, the truth (generations by name), ends it. Each thread then looks once more, and what
all of them counted is the last line. A thread that saw something wrong ends the process with it.
"""

import json
import math
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
from small_casebooks import generation_of, picture, picture_of
from sqlalchemy import select

from dermtwin.casebook import Casebook
from dermtwin.casebook.records import VECTOR, all_records
from dermtwin.casebook.schema import CASES, CODES
from dermtwin.consultation import Consultation
from dermtwin.errors import CasebookError
from dermtwin.vocabulary import Case

QUERY = picture(123_456)


class Codes:
    """Every case's code, made from its picture, not read; and its distance from the query."""

    def __init__(self, consultation: Consultation) -> None:
        self._encoder = consultation.encoder
        self._kept: dict[str, np.ndarray] = {}
        self._query = self._encoder.encode(QUERY, name="query").vectors()[0]

    def of(self, case: Case) -> np.ndarray:
        if case.isic_id not in self._kept:
            code = self._encoder.encode(picture_of(case), name=case.isic_id).vectors()[0]
            self._kept[case.isic_id] = code
        return self._kept[case.isic_id]

    def distance(self, case: Case) -> float:
        pairs = zip(self.of(case).tolist(), self._query.tolist(), strict=True)
        total = 0.0
        for one, other in pairs:
            total += (one - other) ** 2
        return float(np.float32(math.sqrt(total)))


class Reader:
    """One thread's looks: what it saw before never comes back older, nor once it was gone."""

    def __init__(self, casebook: Casebook, consultation: Consultation, codes: Codes) -> None:
        self._casebook = casebook
        self._consultation = consultation
        self._codes = codes
        self._seen: dict[str, int] = {}
        self._gone: set[str] = set()
        self.counts: Counter[str] = Counter()

    def look(self) -> dict[str, int]:
        """A moment, an answer, and the images that both name; the moment's generations."""
        cases = self._moment()
        told = {case.isic_id: generation_of(case) for case in cases}
        self._compare(told)
        for case in (*self._answer(), cases[self.counts["moments"] % len(cases)]):
            self._image(case)
        return told

    def _moment(self) -> list[Case]:
        """Every case of one moment; each has its record and its code."""
        wanted = select(CASES.c.isic_id, CODES.c.vector).select_from(CASES.outerjoin(CODES))
        with self._casebook.reading() as connection:
            vectors = {row.isic_id: row.vector for row in connection.execute(wanted)}
            cases = [record.case for record in all_records(connection)]
        assert vectors.keys() == {case.isic_id for case in cases}
        for case in cases:
            assert np.array_equal(
                np.frombuffer(vectors[case.isic_id], VECTOR), self._codes.of(case)
            )
        self.counts["moments"] += 1
        return cases

    def _answer(self) -> list[Case]:
        """The cases of an answer; distances are those of their pictures."""
        answer = self._consultation.ask(QUERY, name="query.jpg", k=8, every_image=True)
        assert answer.remarks == (), answer.remarks
        cases = [found.case for found in answer.hits]
        assert [found.hit.distance for found in answer.hits] == [
            self._codes.distance(case) for case in cases
        ]
        self._compare({case.isic_id: generation_of(case) for case in cases}, is_part=True)
        self.counts["answers"] += 1
        return cases

    def _image(self, case: Case) -> None:
        try:
            assert self._casebook.image(case.isic_id) == picture_of(case)
            self.counts["images"] += 1
        except CasebookError:
            # Only where the case itself was forgotten since.
            assert not self._casebook.records([case.isic_id]), case.isic_id
            self._gone.add(case.isic_id)
            self.counts["gone meanwhile"] += 1

    def _compare(self, told: Mapping[str, int], *, is_part: bool = False) -> None:
        assert not self._gone & told.keys(), self._gone & told.keys()
        for name, generation in told.items():
            assert generation >= self._seen.get(name, 0), name
            self.counts["new values"] += generation > self._seen.get(name, generation)
        if is_part:
            self._seen |= told
        else:
            self._gone |= self._seen.keys() - told.keys()
            self._seen = dict(told)


def main() -> None:
    place, threads = sys.argv[1], int(sys.argv[2])
    ending, started = threading.Event(), threading.Barrier(threads + 1)
    truth: dict[str, int] = {}
    with Casebook.open(place) as casebook, ThreadPoolExecutor(threads) as pool:
        consultation = Consultation(casebook)
        codes = Codes(consultation)

        def read(_: int) -> Counter[str]:
            reader = Reader(casebook, consultation, codes)
            try:
                reader.look()
                started.wait()
                while not ending.is_set():
                    reader.look()
            except BaseException:
                started.abort()
                raise
            assert reader.look() == truth
            return reader.counts

        readers = [pool.submit(read, number) for number in range(threads)]
        try:
            started.wait()
        except threading.BrokenBarrierError:
            sys.exit("\n".join(str(each.exception()) for each in readers if each.exception()))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        truth |= json.loads(sys.stdin.readline())
        ending.set()
        wait(readers)
        total = sum((reader.result() for reader in readers), Counter())
    sys.stdout.write(json.dumps(total) + "\n")


if __name__ == "__main__":
    main()
