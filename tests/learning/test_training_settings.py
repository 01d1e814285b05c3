import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from dermtwin.errors import SettingsError
from dermtwin.learning.configuration import flat_settings, read_settings
from dermtwin.learning.settings import TrainingSettings

PAPER = Path(__file__).parents[2] / "configs" / "paper.toml"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.toml"
    path.touch()
    return path


def test_paper_config_spells_out_every_setting_at_its_default() -> None:
    spelt = read_settings(PAPER)
    assert spelt == TrainingSettings()
    written = tomllib.loads(PAPER.read_text())
    defaults = asdict(TrainingSettings())
    assert written.keys() == defaults.keys()
    for group, values in written.items():
        if isinstance(values, dict):
            assert values.keys() == defaults[group].keys()


def test_paper_config_is_the_papers() -> None:
    paper = read_settings(PAPER)
    assert paper.input.size == 100
    assert paper.network.outputs == 5
    assert len(paper.network.strides) == 5
    assert len(paper.network.hidden) == 2


def test_overrides_win_and_are_typed_by_their_field(empty: Path) -> None:
    empty.write_text("[loss]\nmargin = 3\n")
    chosen = ["loss.margin=2", "name=other one", "network.strides=[1,1,2,1,1]", "seed = 7"]
    settings = read_settings(empty, overrides=chosen)
    assert settings.loss.margin == 2.0
    assert isinstance(settings.loss.margin, float)
    assert settings.name == "other one"
    assert settings.network.strides == (1, 1, 2, 1, 1)
    assert settings.seed == 7


def test_flat_settings_name_every_value() -> None:
    flat = flat_settings(TrainingSettings())
    assert flat["loss.margin"] == TrainingSettings().loss.margin
    assert flat["network.channels"] == TrainingSettings().network.channels
    assert not any(isinstance(value, dict) for value in flat.values())


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("loss.margn=1", "loss.margn is no setting; the nearest is loss.margin"),
        ("epoch=1", "the nearest is optimiser.epochs"),
        ("loss.margin", "is not key=value"),
        ("=1", "is not key=value"),
        ("loss.margin=wide", "loss.margin must be a number, got 'wide'"),
        ("loss.margin=nan", "loss.margin must be a number"),
        ("loss.margin=true", "loss.margin must be a number"),
        ("loss.margin=0", "loss.margin must be above 0, got 0.0"),
        ("loss.margin=-1", "loss.margin must be above 0, got -1.0"),
        ("optimiser.epochs=2.5", "optimiser.epochs must be a whole number"),
        ("optimiser.epochs=0", "optimiser.epochs must be 1"),
        ("optimiser.kind=sgd", "optimiser.kind must be one of 'adam'"),
        ("optimiser.batch_pairs=1", "optimiser.batch_pairs must be"),
        ("optimiser.learning_rate=2", "optimiser.learning_rate must be above 0, at most 1"),
        ("optimiser.weight_decay=-1", "optimiser.weight_decay must be from 0 to 1"),
        ("pairs.per_epoch=6", "pairs.per_epoch must be 0 or a multiple of four"),
        ("network.channels=[4]", "network.channels must be 4 whole numbers"),
        ("network.channels=4", "network.channels must be a list, each a whole number"),
        ("network.strides=[0,1,1,1,1]", "network.strides must be 5 whole numbers from 1"),
        ("network.hidden=[0,5]", "network.hidden must be 2 whole numbers from 1"),
        ("network.outputs=0", "network.outputs must be 1"),
        ("input.size=90", "needs a multiple of 25"),
        ("input.size=4000", "input size 4000 lies outside"),
        ("input.resize=squash", "input.resize must be one of 'centre-square', 'stretch'"),
        ("input.mean=[0.5,0.5,0.5]", "input.std must be given where input.mean is"),
        ("seed=-1", "seed must be from 0"),
        ("name=", "name must be a name"),
    ],
)
def test_bad_values_are_refused_in_words(empty: Path, override: str, told: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_settings(empty, overrides=[override])
    assert told in str(error.value)


def test_strides_that_leave_nothing_to_mirror_are_refused(empty: Path) -> None:
    with pytest.raises(SettingsError, match=r"input\.size must be larger for network\.strides"):
        read_settings(empty, overrides=["input.size=16", "network.strides=[4,4,4,4,1]"])


def test_unknown_key_of_the_file_names_the_file(empty: Path) -> None:
    empty.write_text("[los]\nmargin = 1\n")
    with pytest.raises(
        SettingsError, match=r"empty\.toml: los\.margin is no setting; .*loss\.margin"
    ):
        read_settings(empty)


def test_text_that_is_not_toml_names_the_line(empty: Path) -> None:
    empty.write_text("name = 'a'\nseed 3\n")
    with pytest.raises(SettingsError, match=r"empty\.toml is not TOML: .*line 2"):
        read_settings(empty)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read: no such file"):
        read_settings(tmp_path / "none.toml")


def test_settings_are_read_without_torch() -> None:
    code = "import sys, dermtwin.learning.configuration; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
