"""A folder of DICOM files into a casebook: pictures and fields come in, nobody's name does."""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from small_casebooks import contents, make_cases, write_dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "images"))

pytest.importorskip("pydicom", reason="the extra 'dicom' is not installed")

from dicom_files import SECRETS, dicom_file

from dermtwin.datasets import draw_lesion, read_dataset
from dermtwin.errors import DatasetError, SettingsError
from dermtwin.verbs.add import add
from dermtwin.verbs.check import check
from dermtwin.verbs.encode import encode
from dermtwin.verbs.find import find
from dermtwin.verbs.prepare import prepare
from dermtwin.verbs.pseudonyms import read_to_write
from dermtwin.verbs.split import split

HEADER = {
    "PatientSex": "F",
    "PatientAge": "047Y",
    "BodyPartExamined": "BACK",
    "Manufacturer": "Acme",
    "ManufacturerModelName": "Scope 3",
    "ContactMethod": "NON_CONTACT",
    "LightSourcePolarization": "POLARIZED",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two pictures of one patient, one of another, each named after its patient."""
    below = tmp_path / "data" / "series"
    below.mkdir(parents=True)
    for number, patient in enumerate((SECRETS[1], SECRETS[1], "PID-0815")):
        dicom_file(
            below / f"{SECRETS[0]} {number}.dcm",
            pixels=np.ascontiguousarray(draw_lesion(number).rgb),
            PatientID=patient,
            SOPInstanceUID=f"{SECRETS[4]}.{number}",
            **HEADER,
        )
    return tmp_path / "data"


def test_the_header_tells_what_a_row_would(folder, tmp_path, encoder_file) -> None:
    report = add(folder, casebook=tmp_path / "book", encoder=encoder_file)
    assert (report.added, report.faults) == (3, ())
    cases = list(contents(tmp_path / "book").values())
    for case in cases:
        assert (case.sex, case.age_approx, case.image_type) == ("female", 45, "dermoscopic")
        assert case.anatom_site_general == "posterior torso"
        assert case.extra == {
            "localization": "back",
            "manufacturer": "Acme",
            "manufacturer_model": "Scope 3",
            "contact_method": "NON_CONTACT",
            "light_source_polarization": "POLARIZED",
            "dermoscopic_type": "non-contact polarized",
        }
    patients = [case.patient_id for case in cases]
    assert len(set(patients)) == 2
    assert None not in patients
    # Again: the same names by the casebook's own key.
    again = add(folder, casebook=tmp_path / "book")
    assert (again.added, again.already_there) == (0, 3)
    # Another casebook has another key, so that its patients cannot be told to be the same.
    add(folder, casebook=tmp_path / "other", encoder=encoder_file)
    others = contents(tmp_path / "other").values()
    assert not {case.patient_id for case in others} & set(patients)
    assert check(casebook=tmp_path / "book").problems == ()


def test_no_byte_of_the_casebook_tells_who_it_was(folder, tmp_path, encoder_file) -> None:
    add(folder, casebook=tmp_path / "book", encoder=encoder_file)
    secrets = [each.encode() for each in (*SECRETS, "PID-0815")]
    files = [path for path in (tmp_path / "book").rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        data = path.read_bytes()
        assert not [each for each in secrets if each in data], path


def test_a_key_that_is_given_names_patients_alike(folder, tmp_path, encoder_file) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"a secret of sixteen bytes or more")
    for book in ("one", "two"):
        add(folder, casebook=tmp_path / book, encoder=encoder_file, pseudonym_key=key)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    key.write_bytes(b"short")
    with pytest.raises(SettingsError, match="5 bytes"):
        add(folder, casebook=tmp_path / "one", pseudonym_key=key)


def test_the_casebook_keeps_a_key_that_is_given_and_takes_no_other(
    folder, tmp_path, encoder_file
) -> None:
    keys = [tmp_path / name for name in ("key", "other")]
    for key in keys:
        key.write_bytes(f"a secret of sixteen bytes or more: {key.name}".encode())
    book = tmp_path / "book"
    add(folder, casebook=book, encoder=encoder_file, pseudonym_key=keys[0])
    assert add(folder, casebook=book).already_there == 3
    with pytest.raises(SettingsError, match="by another key"):
        add(folder, casebook=book, pseudonym_key=keys[1])
    assert len(find(min(folder.rglob("*.dcm")), casebook=book).hits) == 1


@pytest.fixture
def key(tmp_path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(b"a secret of sixteen bytes or more")
    return path


@pytest.fixture
def classes(folder) -> Path:
    """The three pictures, one of each patient in `malignant/`, the other in `benign/`."""
    for number, name in enumerate(("malignant", "benign", "malignant")):
        (folder / name).mkdir(exist_ok=True)
        min((folder / "series").iterdir()).rename(folder / name / f"{number}.dcm")
    return folder


def test_patients_of_a_split_are_those_that_find_knows(
    classes, key, tmp_path, encoder_file
) -> None:
    parted = split(classes, tmp_path / "parts", test_share=0.5, seed=1, pseudonym_key=key)
    for part in (parted.train, parted.test):
        add(part, casebook=tmp_path / "book", encoder=encoder_file, pseudonym_key=key)
    add(classes, casebook=tmp_path / "direct", encoder=encoder_file, pseudonym_key=key)
    patients, directly = (
        {case.isic_id: case.patient_id for case in contents(tmp_path / name).values()}
        for name in ("book", "direct")
    )
    assert patients == directly
    answer = find(classes / "malignant" / "0.dcm", casebook=tmp_path / "book")
    assert len(answer.hits) == 1


def test_no_pseudonym_is_written_that_nobody_could_make_again(classes, key, tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="prepare needs the extra 'evaluate'")
    out = tmp_path / "out"
    for verb in (partial(split, out=out, test_share=0.5), partial(prepare, out=out)):
        with pytest.raises(SettingsError, match="--pseudonym-key"):
            verb(classes)
        assert not out.exists()
    # Names that a table gives are no pseudonyms of this reading.
    parted = split(classes, out, test_share=0.5, seed=1, pseudonym_key=key)
    for part in (parted.train, parted.test):
        assert read_to_write(part, key_file=None).rows == read_dataset(part).rows


def test_a_table_goes_before_the_header(folder) -> None:
    (case,) = make_cases(1)
    write_dataset(folder, [case], pictures=False)
    files = sorted(folder.rglob("*.dcm"))
    files[0].rename(folder / f"{case.isic_id}.dcm")
    files[1].rename(folder / "alone.dcm")
    first, second = read_dataset(folder).rows
    assert first.case.isic_id == case.isic_id
    assert (first.case.sex, first.case.age_approx) == (case.sex or "female", case.age_approx or 45)
    assert first.case.patient_id == (case.patient_id or first.case.patient_id)
    assert first.case.extra["manufacturer"] == "Acme"
    assert second.case.isic_id.startswith("DICOM_")


def test_broken_files_are_told_and_the_rest_goes_in(folder, tmp_path, encoder_file) -> None:
    files = sorted(folder.rglob("*.dcm"))
    files[0].write_bytes(b"no DICOM")
    dicom_file(files[1], pixels=None, SOPInstanceUID="1.2.3")
    report = add(folder, casebook=tmp_path / "book", encoder=encoder_file)
    assert report.added == 1
    assert sorted(str(files[place]) in str(report.faults) for place in range(3)) == [0, 1, 1]
    for path in files:
        path.write_bytes(b"no DICOM")
    with pytest.raises(DatasetError, match="no row that can be used"):
        read_dataset(folder)


@pytest.mark.parametrize("digits", [4, 399, 5001])
def test_an_age_of_more_digits_than_the_standard_has_is_unknown(folder, digits) -> None:
    file = min(folder.rglob("*.dcm"))
    age = b"9" * digits + b"Y"
    told = b"AS" + len(age).to_bytes(2, "little") + age
    file.write_bytes(file.read_bytes().replace(b"AS\x04\x00047Y", told))
    assert [row.case.age_approx for row in read_dataset(folder).rows] == [None, 45, 45]


def test_find_and_encode_take_them(folder, tmp_path, encoder_file) -> None:
    add(folder, casebook=tmp_path / "book", encoder=encoder_file)
    query = min(folder.rglob("*.dcm"))
    (encoded,) = encode([query], encoder=encoder_file)
    assert np.isfinite(encoded.code).all()
    # Neither its own image, nor the other of its patient.
    answer = find(query, casebook=tmp_path / "book")
    assert len(answer.hits) == 1
    # A new picture of that patient: both are left out.
    new = dicom_file(
        tmp_path / "new.dcm", pixels=np.ascontiguousarray(draw_lesion(9).rgb), **HEADER
    )
    assert len(find(new, casebook=tmp_path / "book").hits) == 1
