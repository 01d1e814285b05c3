from collections.abc import Callable
from pathlib import Path

import pytest

from dermtwin.datasets import FaultKind, read_dataset
from dermtwin.errors import DatasetError
from dermtwin.vocabulary import CHALLENGE_DIAGNOSES

Put = Callable[..., Path]


def write(path: Path, *lines: str, ending: str = "\n", encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((ending.join(lines) + ending).encode(encoding))
    return path


def test_the_archives_download(tmp_path: Path, put_image: Put) -> None:
    for name in ("ISIC_0000001.jpg", "ISIC_0000002.png", "ISIC_0000003.TIF"):
        put_image(tmp_path / name)
    write(
        tmp_path / "metadata.csv",
        "isic_id,attribution,copyright_license,age_approx,diagnosis_1,diagnosis_2,mel_thick_mm,sex",
        "ISIC_0000001,Someone,CC-0,85+,Malignant,"
        "Malignant melanocytic proliferations (Melanoma),1.2 mm,Female",
        "ISIC_0000002,Someone,CC-BY,45.0,Benign,,,",
        "ISIC_0000003,Someone,CC-BY,,,,,unknown",
    )
    write(tmp_path / "attribution.txt", "Someone")
    write(tmp_path / "licenses" / "CC-0.txt", "text")
    (tmp_path / ".isic-partial.ISIC_0000009.jpg").write_bytes(b"half")
    read = read_dataset(tmp_path)
    assert not read.faults
    assert not read.warnings
    first, second, third = (row.case for row in read)
    assert (first.age_approx, first.sex, first.is_malignant) == (85, "female", True)
    assert first.extra == {"mel_thick_mm": "1.2 mm"}
    assert (second.age_approx, second.sex, second.diagnosis_2) == (45, None, None)
    assert (third.is_malignant, third.sex, third.age_approx) == (None, None, None)
    assert [row.line for row in read] == [2, 3, 4]
    assert [row.image.name for row in read] == [
        "ISIC_0000001.jpg",
        "ISIC_0000002.png",
        "ISIC_0000003.TIF",
    ]


def test_an_unpacked_snapshot(tmp_path: Path, put_image: Put) -> None:
    put_image(tmp_path / "images" / "ISIC_1.jpg")
    write(tmp_path / "metadata.csv", "isic_id,note,diagnosis_1", 'ISIC_1,"\t-5 = a",Benign')
    (row,) = read_dataset(tmp_path)
    assert row.case.extra == {"note": "-5 = a"}
    assert row.image == tmp_path / "images" / "ISIC_1.jpg"


@pytest.mark.parametrize(
    ("levels", "general"),
    [
        ("Head and neck,Head,Face,,", "head/neck"),
        ("Trunk,Lateral trunk,,,", "lateral torso"),
        ("Trunk,,,,", None),
        ("Upper extremity,Hand,Palm of hand,Central palm,", "palms/soles"),
        ("Lower extremity,Foot,Dorsum of foot,,", "lower extremity"),
        ("Anogenital region,Perianal region,,,", None),
        ("Anogenital region,Genital region,Vulva,,", "oral/genital"),
    ],
)
def test_site_levels(tmp_path: Path, put_image: Put, levels: str, general: str | None) -> None:
    put_image(tmp_path / "A.jpg")
    header = ",".join(f"anatom_site_{level}" for level in range(1, 6))
    write(tmp_path / "metadata.csv", f"isic_id,{header}", f"A,{levels}")
    read = read_dataset(tmp_path)
    assert read.rows[0].case.anatom_site_general == general
    assert read.rows[0].case.extra["anatom_site_1"] == levels.partition(",")[0]
    assert not read.warnings


def test_the_general_site_of_the_table_goes_before_the_levels(
    tmp_path: Path, put_image: Put
) -> None:
    put_image(tmp_path / "A.jpg")
    write(
        tmp_path / "metadata.csv",
        "isic_id,anatom_site_general,anatom_site_1",
        "A,palms/soles,Lower extremity",
    )
    assert read_dataset(tmp_path).rows[0].case.anatom_site_general == "palms/soles"


def test_ham10000(tmp_path: Path, put_image: Put) -> None:
    for number in range(1, 8):
        put_image(tmp_path / f"HAM10000_images_part_{1 + number % 2}" / f"ISIC_{number}.jpg")
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"
    codes = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    lines = [
        f"HAM_{number},ISIC_{number},{code},histo,50.0,unknown,trunk,rosendahl"
        for number, code in enumerate(codes, start=1)
    ]
    write(tmp_path / "HAM10000_metadata.csv", header, *lines)
    read = read_dataset(tmp_path)
    assert not read.faults
    assert not read.warnings
    for code, row in zip(codes, read, strict=True):
        for level, word in CHALLENGE_DIAGNOSES[code].items():
            assert getattr(row.case, level) == word
        assert row.case.is_malignant == (code in ("akiec", "bcc", "mel"))
        assert row.case.diagnosis_confirm_type == "histopathology"
        assert (row.case.age_approx, row.case.sex) == (50, None)
        assert row.case.anatom_site_general is None
        assert row.case.extra["localization"] == "trunk"
        assert row.case.extra["dataset"] == "rosendahl"
        assert row.case.copyright_license == "CC-BY-NC"
        assert "Tschandl" in row.case.attribution


def test_the_licence_of_ham10000_is_given_to_no_other_table(tmp_path: Path, put_image: Put) -> None:
    put_image(tmp_path / "A.jpg")
    header = "lesion_id,image_id,dx,dx_type,dataset"
    write(tmp_path / "metadata.csv", header, "L,A,nv,histo,our clinic")
    (row,) = read_dataset(tmp_path)
    assert row.case.copyright_license is None
    assert row.case.attribution is None


def test_a_challenge_with_its_sister_tables(tmp_path: Path, put_image: Put) -> None:
    for name in ("ISIC_1", "ISIC_2", "ISIC_3"):
        put_image(tmp_path / "ISIC_2019_Training_Input" / f"{name}.jpg")
    write(
        tmp_path / "ISIC_2019_Training_GroundTruth.csv",
        "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK",
        "ISIC_1,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0",
        "ISIC_2,0.0,0.0,0.0,1.0,0.0,0.0,0.0,0.0,0.0",
        "ISIC_3,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0",
    )
    write(
        tmp_path / "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex",
        "ISIC_2,70,head/neck,L2,male",
        "ISIC_1,55,anterior torso,L1,female",
    )
    read = read_dataset(tmp_path)
    first, second, third = (row.case for row in read)
    assert (first.lesion_id, first.age_approx, first.is_malignant) == ("L1", 55, True)
    assert (second.lesion_id, second.diagnosis_1) == ("L2", "Indeterminate")
    assert (third.is_malignant, third.diagnosis_1, third.lesion_id) == (None, None, None)
    assert first.extra["MEL"] == "1.0"
    assert not read.faults


TRUTH, FURTHER = "ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv"


@pytest.fixture
def challenge(tmp_path: Path, put_image: Put) -> Path:
    """Two images of a challenge, without the set's further table."""
    for name in ("ISIC_1", "ISIC_2"):
        put_image(tmp_path / f"{name}.jpg")
    write(tmp_path / TRUTH, "image,MEL,NV", "ISIC_1,1,0", "ISIC_2,0,1")
    return tmp_path


@pytest.mark.parametrize(
    ("lines", "lesions", "fault"),
    [
        (["ISIC_1,L1", "ISIC_2,L2,1"], ["L1", None], "3: it has 3 cells"),
        (["ISIC_1,L1", "ISIC_1,L9", "ISIC_2,L2"], ["L1", "L2"], "3: ISIC_1 stands in line 2"),
        (["ISIC_1,L1", ",L3", "ISIC_2,L2"], ["L1", "L2"], "3: it has no image"),
        (["ISIC_1 ,L1", "ISIC_2.jpg,L2"], ["L1", "L2"], None),
    ],
)
def test_the_rows_of_a_sister_table_are_checked_too(
    challenge: Path, lines: list[str], lesions: list[str | None], fault: str | None
) -> None:
    sister = write(challenge / FURTHER, "image,lesion_id", *lines)
    read = read_dataset(challenge)
    assert [row.case.lesion_id for row in read] == lesions
    assert bool(read.faults) == (fault is not None)
    for each in read.faults:
        assert f"{sister}:{fault}" in str(each)
        with pytest.raises(DatasetError, match=f"{FURTHER}: 1 rows"):
            read.refuse_faults()
    alone = [f"{sister}: no row for 1 images of the set: ISIC_2"] if None in lesions else []
    assert list(read.warnings) == alone


def test_what_is_noticed_in_a_sister_table_is_told(challenge: Path) -> None:
    write(challenge / FURTHER, "image,note", "ISIC_1,é", "ISIC_2,", encoding="latin-1")
    (warning,) = read_dataset(challenge).warnings
    assert f"{FURTHER}:2: not UTF-8" in warning
    write(challenge / FURTHER, "name,lesion_id", "ISIC_1,L1")
    (warning,) = read_dataset(challenge).warnings
    assert f"{FURTHER} has no column that names the images" in warning


def test_one_hot_rows_that_are_none(tmp_path: Path, put_image: Put) -> None:
    for name in "ABCD":
        put_image(tmp_path / f"{name}.jpg")
    table = write(tmp_path / "truth.csv", "image,MEL,NV", "A,1,1", "B,0,0", "C,0.7,0.3", "D,0,1")
    read = read_dataset(table)
    assert [row.case.isic_id for row in read] == ["D"]
    assert [(fault.kind, fault.line) for fault in read.faults] == [
        (FaultKind.BROKEN, line) for line in (2, 3, 4)
    ]
    assert "'0.7'" in str(read.faults[2])


def test_two_folders_also_nested(tmp_path: Path, put_image: Put) -> None:
    put_image(tmp_path / "train" / "benign" / "1.jpg")
    put_image(tmp_path / "train" / "malignant" / "1.jpg")
    put_image(tmp_path / "test" / "Malignant" / "2.PNG")
    (tmp_path / "test" / "Malignant" / "._2.png").write_bytes(b"")
    read = read_dataset(tmp_path)
    found = {row.case.isic_id: row.case.is_malignant for row in read}
    assert found == {"train/benign/1": False, "train/malignant/1": True, "test/Malignant/2": True}


def test_linked_folders_are_read_and_none_inside_itself(tmp_path: Path, put_image: Put) -> None:
    put_image(tmp_path / "set" / "benign" / "1.jpg")
    put_image(tmp_path / "store" / "2.jpg")
    (tmp_path / "set" / "all").symlink_to("benign")
    (tmp_path / "set" / "malignant").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "back").symlink_to(tmp_path / "set")
    (tmp_path / "store" / "nowhere").symlink_to("none")
    found = {row.case.isic_id: row.case.is_malignant for row in read_dataset(tmp_path / "set")}
    assert found == {"benign/1": False, "malignant/2": True}


def test_the_image_column(tmp_path: Path, put_image: Put) -> None:
    elsewhere = put_image(tmp_path / "elsewhere" / "x.jpg")
    put_image(tmp_path / "set" / "sub" / "y.jpg")
    write(
        tmp_path / "set" / "metadata.csv",
        "isic_id,image",
        f"A,{elsewhere}",
        "B,sub/y.jpg",
        "C,../elsewhere/x.jpg",
        "D,../elsewhere/none.jpg",
        f"E,{'e' * 300}.jpg",
        "F,\0.jpg",
    )
    read = read_dataset(tmp_path / "set" / "metadata.csv")
    assert [row.image for row in read] == [
        elsewhere,
        tmp_path / "set" / "sub" / "y.jpg",
        elsewhere,
    ]
    assert {fault.kind for fault in read.faults} == {FaultKind.NO_FILE}
    assert [fault.line for fault in read.faults] == [5, 6, 7]


def test_a_table_with_only_paths(tmp_path: Path, put_image: Put) -> None:
    put_image(tmp_path / "sub" / "y.jpg")
    write(tmp_path / "metadata.csv", "image,diagnosis_1", "sub/y.jpg,Benign")
    (row,) = read_dataset(tmp_path)
    assert row.case.isic_id == "sub/y"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_dialects(
    tmp_path: Path, put_image: Put, encoding: str, delimiter: str, ending: str
) -> None:
    put_image(tmp_path / "A.jpg")
    put_image(tmp_path / "B.jpg")
    lines = ["isic_id,note,diagnosis_1", 'A,"two', 'lines, é",Benign', "", ",,", "B,x,Malignant"]
    if delimiter != ",":
        lines = [line.replace(",", delimiter) for line in lines]
    write(tmp_path / "metadata.csv", *lines, ending=ending, encoding=encoding)
    read = read_dataset(tmp_path)
    assert not read.faults
    assert [(row.case.isic_id, row.line) for row in read] == [("A", 2), ("B", 6)]
    assert read.rows[0].case.extra["note"] == f"two{ending}lines{delimiter} é"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_of_any_dialect_is_found_in_its_folder(
    tmp_path: Path, put_image: Put, encoding: str, delimiter: str
) -> None:
    put_image(tmp_path / "A.jpg")
    lines = [line.replace(",", delimiter) for line in ("", "image,MEL,NV", "A,1,0")]
    table = write(tmp_path / "truth.csv", *lines, encoding=encoding)
    assert read_dataset(tmp_path).table == table


def test_what_is_only_named_like_a_table_is_passed_over(tmp_path: Path, put_image: Put) -> None:
    put_image(tmp_path / "benign" / "1.jpg")
    (tmp_path / "old.csv").symlink_to("gone")
    (tmp_path / "tables.csv").mkdir()
    write(tmp_path / "other.csv", 'a,"b')
    write(tmp_path / "wide.csv", "x" * 2**18)
    assert read_dataset(tmp_path).table == tmp_path


def test_latin_1_is_read_and_told(tmp_path: Path, put_image: Put) -> None:
    put_image(tmp_path / "A.jpg")
    write(tmp_path / "metadata.csv", "isic_id,note", "A,Königsberg", encoding="latin-1")
    read = read_dataset(tmp_path)
    assert read.rows[0].case.extra["note"] == "Königsberg"
    (warning,) = read.warnings
    assert "metadata.csv:2: not UTF-8" in warning


def test_rows_of_another_width_are_faults(tmp_path: Path, put_image: Put) -> None:
    for name in "ABC":
        put_image(tmp_path / f"{name}.jpg")
    write(tmp_path / "metadata.csv", "isic_id,sex", "A,male,1", "B", "C,male,,")
    read = read_dataset(tmp_path)
    assert [row.case.isic_id for row in read] == ["C"]
    assert [fault.line for fault in read.faults] == [2, 3]
    assert "3 cells where the header has 2" in str(read.faults[0])


def test_a_quote_never_closed_is_one_fault(tmp_path: Path, put_image: Put) -> None:
    put_image(tmp_path / "A.jpg")
    write(tmp_path / "metadata.csv", "isic_id,note", "A,fine", 'B,"open', "C,x", "D,y")
    read = read_dataset(tmp_path)
    assert [row.case.isic_id for row in read] == ["A"]
    (fault,) = read.faults
    assert fault.line == 3
    assert "never closed" in str(fault)


def test_refused_values_are_kept_and_told_with_line_and_column(
    tmp_path: Path, put_image: Put
) -> None:
    for number in range(6):
        put_image(tmp_path / f"{number}.jpg")
    write(
        tmp_path / "metadata.csv",
        "isic_id,age_approx,sex,diagnosis_1,fitzpatrick_skin_type",
        "0,old,male,Benign,II",
        "1,50,m,Benign,II",
        "2,50,male,Benignant,II",
        "3,50,male,Benign,9",
        "4,50,male,Benign,8",
        "5,-5,male,Benign,7",
    )
    read = read_dataset(tmp_path)
    assert not read.faults
    old, short, typo, *_ = (row.case for row in read)
    assert (old.age_approx, old.extra["age_approx"]) == (None, "old")
    assert short.sex == "m"
    assert (typo.diagnosis_1, typo.is_malignant) == ("Benignant", None)
    told = "\n".join(read.warnings)
    assert "2 values of age_approx" in told
    assert "line 2: 'old'" in told
    assert "line 7: '-5'" in told
    assert "line 3: 'm'" in told
    assert "line 4: 'Benignant'" in told
    assert "3 values of fitzpatrick_skin_type" in told


def test_an_age_that_nobody_reaches_is_unknown_and_told(tmp_path: Path, put_image: Put) -> None:
    ages = ("99999999999999999999", "9" * 5000, "151.0", "inf", "150")
    for number, _ in enumerate(ages):
        put_image(tmp_path / f"{number}.jpg")
    rows = [f"{number},{age}" for number, age in enumerate(ages)]
    write(tmp_path / "metadata.csv", "isic_id,age_approx", *rows)
    read = read_dataset(tmp_path)
    assert not read.faults
    assert [row.case.age_approx for row in read] == [None] * 4 + [150]
    assert [row.case.extra.get("age_approx") for row in read] == [*ages[:4], None]
    (told,) = read.warnings
    assert "4 values of age_approx" in told
    assert "line 2: '99999999999999999999' (nobody is older than 150)" in told


def test_all_faults_are_told_at_once(tmp_path: Path, put_image: Put) -> None:
    for name in ("A", "B", "C", "D", "extra1", "extra2"):
        put_image(tmp_path / f"{name}.jpg")
    write(
        tmp_path / "metadata.csv",
        "isic_id,lesion_id,patient_id",
        "A,L1,P1",
        "B,L1,P2",
        "A,L3,P3",
        "gone,L4,P4",
        ",L5,P5",
        "C,L6,P6",
        "D,L7,P6",
    )
    read = read_dataset(tmp_path)
    assert [row.case.isic_id for row in read] == ["A", "C", "D"]
    assert [(fault.line, fault.kind) for fault in read.faults] == [
        (3, FaultKind.PATIENTS),
        (4, FaultKind.DUPLICATE),
        (5, FaultKind.NO_FILE),
        (6, FaultKind.BROKEN),
    ]
    (warning,) = read.warnings
    assert "2 image files have no row" in warning
    assert "extra1.jpg, extra2.jpg" in warning
    with pytest.raises(DatasetError) as told:
        read.refuse_faults()
    for fault in read.faults:
        assert str(fault) in str(told.value)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["isic_id,sex"], "is empty"),
        ([""], "is empty"),
        (["name,sex", "A,male"], "no column isic_id or image"),
        (["isic_id,sex,sex", "A,male,male"], "names sex more than once"),
        (['isic_id,"sex', "A,male"], "header cannot be read"),
        (["isic_id,sex", "gone,male"], "no row that can be used"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, lines: list[str], sentence: str) -> None:
    write(tmp_path / "metadata.csv", *lines)
    with pytest.raises(DatasetError, match=sentence):
        read_dataset(tmp_path)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        read_dataset(tmp_path / "none")
    with pytest.raises(DatasetError, match="does not exist"):
        read_dataset(tmp_path / ("n" * 300))
    with pytest.raises(DatasetError, match=r"no metadata\.csv"):
        read_dataset(tmp_path)
    write(tmp_path / "a.csv", "isic_id")
    write(tmp_path / "b.csv", "isic_id")
    with pytest.raises(DatasetError, match=r"several tables \(a\.csv, b\.csv\)"):
        read_dataset(tmp_path)


def test_unnamed_columns_are_kept(tmp_path: Path, put_image: Put) -> None:
    put_image(tmp_path / "A.jpg")
    write(tmp_path / "metadata.csv", ",isic_id", "0,A")
    assert read_dataset(tmp_path).rows[0].case.extra == {"column_1": "0"}


def test_real_images(real_data: Path) -> None:
    read = read_dataset(real_data)
    assert not read.faults
    assert not read.warnings
    assert {row.case.is_malignant for row in read} == {True, False}
    assert not read.is_drawn
