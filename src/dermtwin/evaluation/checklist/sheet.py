"""What of the reporting checklists CLAIM and CLEAR Derm a run can answer, and what it cannot.

CLAIM: Mongan et al., Radiol Artif Intell 2020;2(2):e200029, and its 2024 update, Tejani et al.,
Radiol Artif Intell 2024;6(4):e240300, whose item numbers 1-44 stand here. CLEAR Derm: Daneshjou et
al., JAMA Dermatol 2022;158(1):90-96; its items are named by their part and subject.

Every answer is computed from the record of the run. What is unknown is said to be unknown.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dermtwin.evaluation.checklist import data, model, results
from dermtwin.evaluation.checklist.asked import Record

Answer = Callable[[Record], list[str]]

PAPERS = {
    "CLAIM": "Mongan et al., Radiol Artif Intell 2020;2(2):e200029; item numbers of the 2024 "
    "update: Tejani et al., Radiol Artif Intell 2024;6(4):e240300",
    "CLEAR Derm": "Daneshjou et al., JAMA Dermatol 2022;158(1):90-96; items by part and subject",
}

AUTHORS: Mapping[str, tuple[int, ...]] = {
    "title, abstract, background, aims": (1, 2, 3, 4),
    "prospective or retrospective; goal of the study": (5, 6),
    "how images came about: camera, dermatoscope, light, who took them; artefacts": (13,),
    "de-identification, consent, ethics": (11,),
    "who made the reference standard, why this one, and how far readers agree": (15, 16, 17, 18),
    "who divided the data and how; intended sample size": (19, 21),
    "first weights, and how the final model was chosen": (24, 26),
    "how skin colour was assessed": (),
    "images outside of the training's distribution; comparison with other methods and readers": (),
    "registration, protocol, availability, funding": (34, 42, 43, 44),
    "limitations; what it means for practice, health-care team and patients": (40, 41),
}
"""What only the authors can write, with the numbers of CLAIM 2024."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that the checklists ask for.

    Attributes:
        title: in a few words.
        claim: its numbers in CLAIM 2024.
        clear_derm: its part and subjects in CLEAR Derm; empty where that does not ask.
        answer: sentences, from the record of a run.
    """

    title: str
    claim: tuple[int, ...]
    clear_derm: str
    answer: Answer


def checklist(record: Record) -> dict[str, Any]:
    """The sheet of one run, as plain values.

    Args:
        record: the run's values as in metrics.json, without this sheet.
    """
    return {
        "papers": PAPERS,
        "items": [
            {
                "title": item.title,
                "CLAIM": list(item.claim),
                "CLEAR Derm": item.clear_derm,
                "answers": item.answer(record),
            }
            for item in ITEMS
        ],
        "authors": [{"what": what, "CLAIM": list(numbers)} for what, numbers in AUTHORS.items()],
    }


ITEMS = (
    Item(title="Data sources", claim=(7,), clear_derm="data: public images", answer=data.sources),
    Item(
        title="Numbers of images, lesions, patients",
        claim=(35,),
        clear_derm="data: sample sizes",
        answer=data.numbers,
    ),
    Item(title="Inclusion and exclusion", claim=(8, 35), clear_derm="", answer=data.exclusion),
    Item(title="Data subsets", claim=(10,), clear_derm="", answer=data.subsets),
    Item(
        title="Classes and diagnoses",
        claim=(36,),
        clear_derm="data: class distribution",
        answer=data.classes,
    ),
    Item(
        title="Patient characteristics",
        claim=(36,),
        clear_derm="data: patient-level metadata, skin colour",
        answer=data.characteristics,
    ),
    Item(title="Missing data", claim=(12,), clear_derm="", answer=data.missing),
    Item(title="What is not known", claim=(12, 40), clear_derm="data: biases", answer=data.unknown),
    Item(
        title="Image types and acquisition",
        claim=(13,),
        clear_derm="data: image types, artefacts, acquisition, synthetic images",
        answer=data.image_types,
    ),
    Item(
        title="Pre-processing",
        claim=(9,),
        clear_derm="data: pre-processing",
        answer=model.preprocessing,
    ),
    Item(
        title="Reference standard",
        claim=(14,),
        clear_derm="technique: labels, histopathology of malignant lesions",
        answer=data.reference,
    ),
    Item(
        title="Partitions and their disjointness",
        claim=(20,),
        clear_derm="data: partitions",
        answer=data.disjointness,
    ),
    Item(title="Model", claim=(22, 43), clear_derm="technique: algorithm", answer=model.model),
    Item(title="Training", claim=(25,), clear_derm="technique: algorithm", answer=model.training),
    Item(title="Ensembling", claim=(27,), clear_derm="", answer=model.ensembling),
    Item(title="Software", claim=(23,), clear_derm="", answer=model.software),
    Item(
        title="Measures",
        claim=(28,),
        clear_derm="technical assessment: performance measures, benchmarking",
        answer=results.measures,
    ),
    Item(title="Uncertainty", claim=(29,), clear_derm="", answer=results.uncertainty),
    Item(title="Robustness", claim=(30,), clear_derm="", answer=results.robustness),
    Item(title="Explainability", claim=(31,), clear_derm="", answer=results.explained),
    Item(
        title="Internal and external testing",
        claim=(32, 33),
        clear_derm="data: external test set",
        answer=results.external,
    ),
    Item(
        title="Performance",
        claim=(37, 38),
        clear_derm="technical assessment: performance measures",
        answer=results.performance,
    ),
    Item(
        title="Subgroups",
        claim=(37,),
        clear_derm="technical assessment: bias",
        answer=results.subgroups,
    ),
    Item(title="Failure analysis", claim=(39,), clear_derm="", answer=results.failures),
    Item(
        title="Intended use",
        claim=(3, 41),
        clear_derm="application: use cases",
        answer=model.use,
    ),
)
"""What a run can answer, in the order of a methods section."""
