"""The checklists' questions about the data: where from, how many, how they were divided."""

from collections.abc import Callable

from dermtwin.evaluation.checklist.asked import Record, known, listed
from dermtwin.evaluation.checklist.learnt import met
from dermtwin.evaluation.groups import UNKNOWN
from dermtwin.evaluation.protocols import GALLERY, PAPER

_KNOWN_FIELDS = ("age", "sex", "site", "skin type")
_HISTOPATHOLOGY = "histopathology"


def _each_side(record: Record, told: Callable[[Record], str]) -> list[str]:
    return [f"{part}: {told(facts)}" for part, facts in record["datasets"].items()]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"


def sources(record: Record) -> list[str]:
    """Where the images come from, and under which licence."""

    def told(facts: Record) -> str:
        fields = ("source", "attribution", "licence")
        words = "; ".join(f"{name}: {listed(facts['recorded'][name])}" for name in fields)
        return f"{facts['name']}; {words}"

    drawn = ["Some images were generated, not photographed."] if record["drawn"] else []
    return [*_each_side(record, told), *drawn]


def numbers(record: Record) -> list[str]:
    """Images, lesions and patients of each side."""

    def told(facts: Record) -> str:
        known = ", ".join(
            f"{facts[name + 's'] or 'unknown'} {name}s{_unlinked(facts, name)}"
            for name in ("lesion", "patient")
        )
        return f"{facts['images']} images, {known}"

    return _each_side(record, told)


def _unlinked(facts: Record, name: str) -> str:
    count = facts["unlinked"][name]
    return f" (unknown for {count} images)" if 0 < count < facts["images"] else ""


def exclusion(record: Record) -> list[str]:
    """Which rows were left out, and why."""

    def told(facts: Record) -> str:
        reasons = {reason: count for reason, count in facts["left_out"].items() if count}
        if not reasons:
            return "no row left out"
        return "left out: " + "; ".join(f"{count} {reason}" for reason, count in reasons.items())

    rule = "Included is every row with a readable image that its record calls benign or malignant."
    return [rule, *_each_side(record, told)]


def subsets(record: Record) -> list[str]:
    """Who was asked of whom."""
    names = ", ".join(record["protocols"])
    told = f"Protocols: {names}; defined under Methods, drawn with seed {record['seed']}."
    return [told] if PAPER in record["protocols"] else [told, "The paper's draws were not made."]


def classes(record: Record) -> list[str]:
    """Images by class and by diagnosis."""

    def told(facts: Record) -> str:
        classes = ", ".join(f"{count} {name}" for name, count in facts["classes"].items())
        return f"{classes}; {listed(facts['recorded']['diagnosis'])}"

    return _each_side(record, told)


def characteristics(record: Record) -> list[str]:
    """Age, site, sex and skin type, with the share known."""
    return [
        f"{part}: {name} {listed(facts['recorded'][name])} (known of "
        f"{_percent(sum(known(facts['recorded'][name]).values()), facts['images'])})"
        for part, facts in record["datasets"].items()
        for name in _KNOWN_FIELDS
    ]


def missing(record: Record) -> list[str]:
    """How missing values were handled, and how many diagnoses were missing at each level."""
    rule = (
        "Nothing is filled in. An image of unknown lesion stands for itself; an image whose "
        "diagnosis is unknown at a level neither asks nor comes back there; unknown is a group "
        "of its own."
    )
    first = next(iter(record["outputs"].values()))
    counts = [
        f"{protocol}, {name}: {level['unknown']['queries']} queries and "
        f"{level['unknown']['gallery']} images to retrieve left out"
        for protocol in record["leaks"]
        for name, level in first[protocol]["levels"].items()
        if any(level["unknown"].values())
    ]
    return [rule, *(counts or ["No diagnosis was missing at the levels that were measured."])]


def unknown(record: Record) -> list[str]:
    """Every field that is not known of all images, with its count."""
    found = []
    for part, facts in record["datasets"].items():
        missing = {name: counts.get(UNKNOWN, 0) for name, counts in facts["recorded"].items()}
        standard = sum(counts.get(UNKNOWN, 0) for counts in facts["confirmed"].values())
        missing |= {"reference standard": standard, **facts["unlinked"]}
        words = ", ".join(f"{name} of {count}" for name, count in missing.items() if count)
        of_all = f" of {facts['images']} images"
        found.append(f"{part}: {words + of_all if words else 'nothing of what is read here'}")
    return found


def image_types(record: Record) -> list[str]:
    """What kind of images these are."""

    def told(facts: Record) -> str:
        return f"image type: {listed(facts['recorded']['image type'])}"

    drawn = "some are generated" if record["drawn"] else "none is marked as generated"
    return [
        *_each_side(record, told),
        f"Synthetic images: {drawn}. Cameras and artefacts: not read by a run.",
    ]


def reference(record: Record) -> list[str]:
    """How diagnoses were confirmed."""

    def told(facts: Record) -> str:
        return "; ".join(
            f"{name}: {listed(counts)}" for name, counts in facts["confirmed"].items() if counts
        )

    def histology(facts: Record) -> str:
        count, total = facts["confirmed"]["malignant"], facts["classes"]["malignant"]
        sure = count.get(_HISTOPATHOLOGY, 0)
        return f"{sure} of {total} malignant images confirmed by histopathology"

    words = "Diagnoses are those of the archive's hierarchy, as recorded."
    return [words, *_each_side(record, told), *_each_side(record, histology)]


def disjointness(record: Record) -> list[str]:
    """Whether queries meet themselves, among each other, in the gallery and in the training."""
    found = []
    for protocol, leaks in record["leaks"].items():
        where = "the gallery" if protocol == GALLERY else "the other test images"
        counts = ", ".join(
            f"{kind} {each['queries']}" for kind, each in leaks.items() if kind != "any"
        )
        total = record["datasets"]["queries"]["images"]
        found.append(f"Of {total} queries so many have something of theirs in {where}: {counts}.")
    if GALLERY in record["leaks"]:
        found.append(f"Queries that stand in the gallery themselves: {record['shared images']}.")
    unlinked = record["datasets"]["queries"]["unlinked"]
    unchecked = ", ".join(f"{kind} of {count}" for kind, count in unlinked.items() if count)
    if unchecked:
        found.append(f"Could not be checked, as unknown: {unchecked} queries.")
    return [*found, "A query's own image, lesion and patient never come back.", *_learnt(record)]


def _learnt(record: Record) -> list[str]:
    """Which of the datasets the encoder's card names as its own, by fingerprint."""
    found = sorted(met(record["encoder"]["card"]["training"]), key=lambda each: each.is_learnt)
    # What was both tuned on and, before or later, trained on counts as trained on.
    prints = {
        each.facts["fingerprint"]: "was trained on" if each.is_learnt else "was tuned on"
        for each in found
        if "fingerprint" in each.facts
    }
    if not prints:
        return ["What the encoder was trained on is unknown: its card names no data."]
    return [
        f"The {part} are the images that the encoder {prints[print_]}, by fingerprint."
        if (print_ := facts["fingerprint"]) in prints
        else f"The {part} as a whole are not what the encoder was trained or tuned on; whether "
        "some of their images were is unknown."
        for part, facts in record["datasets"].items()
    ]
