"""Settings: values, sections, and one-line errors that name the mistake and the rule."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from classic import CLASSIC
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from soundgan.errors import SettingsError
from soundgan.settings import SECTION_OF, SECTIONS, Settings, check_settings, load_settings, with_options

UNITS = {
    "sample_rate": "Hz",
    "duration": " s;",
    "range_db": "dB",
    "minutes": "minutes",
    "snapshot_minutes": "Minutes",
    "image_size": "[bands, frames]",
    "original_image_size": "[bands, frames]",
}


def write_settings(folder: Path, text: str) -> Path:
    path = folder / "gan_config.json"
    path.write_text(text, encoding="utf-8")
    return path


def field_of(name: str) -> FieldInfo:
    return SECTIONS[SECTION_OF[name]].model_fields[name]


def error_message(values: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        check_settings(values, source="here.json")
    return str(caught.value)


def test_defaults_are_valid_and_leave_the_representation_open() -> None:
    settings = check_settings({})
    assert settings == Settings()
    assert check_settings(settings.model_dump()) == settings
    assert check_settings(json.loads(settings.model_dump_json())) == settings
    for name in ("sample_rate", "duration", "image_size", "range_db"):
        assert getattr(settings.spectrogram, name) is None


def test_classic_file_keeps_its_values(tmp_path: Path) -> None:
    settings = load_settings(write_settings(tmp_path, json.dumps(CLASSIC, indent=4)))
    known = {name: value for name, value in CLASSIC.items() if name != "workers"}  # read, and without effect
    assert {name: settings.flat()[name] for name in known} == known
    assert {name for name in SECTION_OF if settings.is_set(name)} == set(known)


def test_nested_file_gives_the_settings_of_the_flat_one(tmp_path: Path) -> None:
    nested: dict[str, dict[str, Any]] = {}
    for name, value in CLASSIC.items():
        if name != "workers":
            nested.setdefault(SECTION_OF[name], {})[name] = value
    assert load_settings(write_settings(tmp_path, json.dumps(nested))) == check_settings(CLASSIC)
    mixed = {**nested, "model": {**nested["model"], "size": 16}, "seed": 3}
    settings = load_settings(write_settings(tmp_path, json.dumps(mixed)))
    assert (settings.model.size, settings.run.seed, settings.model.nz) == (16, 3, 100)


def test_name_given_twice_is_refused() -> None:
    message = error_message({"nz": 8, "model": {"nz": 9}})
    assert message == "here.json: nz is given twice, at the top level and in model"


@pytest.mark.parametrize("text", ['{"nz": 8, "nz": 9}', '{"model": {"nz": 8}, "model": {"size": 8}}'])
def test_repeated_key_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'"(nz|model)" is given twice'):
        load_settings(write_settings(tmp_path, text))


@pytest.mark.parametrize("values", [{"dataroot": "a\0b"}, {"run": {"saveroot": "\ud800"}}, {"exclude": ["\ud800"]}])
def test_text_that_no_file_can_hold_is_refused(values: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds a zero character or half of a surrogate pair"):
        load_settings(write_settings(tmp_path, json.dumps(values)))


def test_setting_in_a_wrong_section_names_its_own() -> None:
    message = error_message({"run": {"dataroot": "sounds"}})
    assert message == 'here.json: "dataroot" is not a setting of run; did you mean data.dataroot?'
    assert "did you mean batch_size?" in error_message({"optim": {"batchsize": 4}})


def test_section_other_than_an_object_is_refused() -> None:
    for values in ({"model": 3}, {"model": 3, "nz": 8}):
        assert error_message(values) == "here.json: model = 3: must be a JSON object of settings"


def test_workers_is_accepted_and_ignored() -> None:
    assert check_settings({"workers": 4}) == Settings()


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().model.nz = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", SECTION_OF)
def test_every_setting_has_a_description_with_its_unit(name: str) -> None:
    description = field_of(name).description
    assert description and description.endswith(".") and len(description) > 20
    assert UNITS.get(name, "") in description


@pytest.mark.parametrize(
    "unknown, suggestion",
    [("batchsize", "batch_size"), ("lr_g", "lr_G"), ("epochs", "num_epochs"), ("Dataroot", "dataroot"), ("nzz", "nz"),
     ("wrokers", "workers")],
)  # fmt: skip
def test_unknown_key_error_suggests_the_nearest(unknown: str, suggestion: str) -> None:
    assert error_message({unknown: 1}) == f'here.json: "{unknown}" is not a setting; did you mean {suggestion}?'


@given(st.sampled_from(list(SECTION_OF)), st.data())
def test_doubled_letter_error_suggests_a_setting(name: str, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(name) - 1))
    misspelled = name[:index] + name[index] + name[index:]
    message = error_message({misspelled: 1})
    assert any(message.endswith(f"did you mean {known}?") for known in (*SECTION_OF, *SECTIONS))
    if len(name) > 4:
        assert message.endswith(f"did you mean {name}?")


@pytest.mark.parametrize("values", [{"xyzzyqqq": 1}, {"checkpoint": 1}, {"run": {"workers": 4}}])
def test_error_of_a_key_far_from_all_others_refers_to_the_schema(values: dict[str, Any]) -> None:
    message = error_message(values)
    assert "is not a setting; see `soundgan config --schema`" in message and "did you mean" not in message


@pytest.mark.parametrize("key", ["a\nb", "", "\x1b[31m", "clé", "\ud800"])
def test_unprintable_key_is_escaped(key: str) -> None:
    assert error_message({key: 1}).isprintable()


@pytest.mark.parametrize(
    "key, value, formatted, rule",
    [
        ("level", "loud", '"loud"', "'peak', 'rms' or 'none'"),
        ("sample_rate", 96000, "96000", "8000, 16000, 22050, 44100 or 48000"),
        ("duration", 0.1, "0.1", "greater than or equal to 0.25"),
        ("duration", 10.5, "10.5", "less than or equal to 10"),
        ("batch_size", 0, "0", "greater than or equal to 2"),
        ("batch_size", 5, "5", "multiple of 2"),
        ("batch_size", 1.5, "1.5", "valid integer"),
        ("size", 50, "50", "multiple of 8"),
        ("image_size", [256, 250], "250", "multiple of 16"),
        ("image_size", 64, "64", "such as [64, 64]"),
        ("image_size", "256", '"256"', "valid list"),
        ("exclude", "*.wav", '"*.wav"', "valid list"),
        ("lr_G", float("nan"), "NaN", "finite"),
        ("gradient_penalty", float("inf"), "Infinity", "finite"),
        ("dataroot", None, "null", "valid string"),
    ],
)
def test_invalid_value_error_names_source_value_and_rule(key: str, value: Any, formatted: str, rule: str) -> None:
    message = error_message({key: value})
    assert message.startswith(f"here.json: {key} = {formatted}: ") and rule in message and message.isprintable()
    assert (field_of(key).description or "?").rstrip(".") in message


def test_error_lists_every_mistake() -> None:
    message = error_message({"nz": 0, "ngf": 0, "nope": 0})
    assert message.startswith('here.json: "nope" is not a setting;') and "\n" not in message
    assert "; nz = 0: " in message and "; ngf = 0: " in message


def test_error_lists_a_mistake_once() -> None:
    for value in (-1, "x"):
        message = error_message({"minutes": value})
        assert message.count("minutes = ") == 1 and message.count(field_of("minutes").description or "?") <= 1
    assert "greater than 0 or 'auto' (" in error_message({"minutes": -1})
    assert len(error_message({"exclude": [0] * 200})) < 300


@pytest.mark.parametrize("values", [{"nz": "x" * 10_000}, {"x" * 10_000: 1}])
def test_long_value_is_cut_in_the_error(values: dict[str, Any]) -> None:
    assert len(error_message(values)) < 400


def test_option_errors_name_the_flags() -> None:
    with pytest.raises(SettingsError, match=r"^command line: --sample-rate = 1: .*; --size = 9: "):
        with_options(Settings(), {"sample_rate": 1, "size": 9, "seed": None})


@pytest.mark.parametrize("text", ["", "{", "{'nz': 1}", '{"nz": 1,}', '{"nz": 1} // the latent'])
def test_invalid_json_error_has_line_and_column(text: str, tmp_path: Path) -> None:
    path = write_settings(tmp_path, text)
    with pytest.raises(SettingsError, match=r": not JSON: .* at line 1, column \d+$") as caught:
        load_settings(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("text, kind", [("[]", "list"), ("3", "int"), ("null", "NoneType"), ('"a"', "str")])
def test_json_other_than_an_object_is_refused(text: str, kind: str, tmp_path: Path) -> None:
    path = write_settings(tmp_path, text)
    with pytest.raises(SettingsError, match=rf"^{re.escape(str(path))}: must hold one JSON object .* not {kind}$"):
        load_settings(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"nz": ' + "1" * 5000 + "}"])
def test_hostile_json_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write_settings(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path)) and len(str(caught.value)) < 1000


def test_unreadable_file_error_has_the_reason(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.json", "No such file"), (tmp_path, "directory")):
        with pytest.raises(SettingsError, match=reason) as caught:
            load_settings(path)
        assert str(caught.value).startswith(f"{path}: cannot be read")
    (tmp_path / "latin.json").write_bytes(b'{"dataroot": "\xe9"}')
    with pytest.raises(SettingsError, match=r"latin\.json: cannot be read: it is not UTF-8 text"):
        load_settings(tmp_path / "latin.json")


def test_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    assert load_settings(write_settings(tmp_path, '\ufeff{"nz": 7, "dataroot": "été 🎧"}')).data.dataroot == "été 🎧"


def test_error_names_the_settings_file(tmp_path: Path) -> None:
    path = write_settings(tmp_path, '{"nz": "many"}')
    with pytest.raises(SettingsError, match=rf'^{re.escape(str(path))}: nz = "many": '):
        load_settings(str(path))
