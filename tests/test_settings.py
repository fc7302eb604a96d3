"""Settings: every value has a meaning, and every mistake gets one line that says where it is and what is allowed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from soundgan.errors import SettingsError
from soundgan.settings import (
    SECTION_OF,
    SECTIONS,
    Settings,
    check_settings,
    load_settings,
    settings_schema,
    with_options,
)
from soundgan.spectral.representation import Scale
from soundgan.spectral.stft import Window

CLASSIC = {
    "saveroot": "./save",
    "dataroot": "./data",
    "num_epochs": 300,
    "original_image_size": [775, 308],
    "image_size": [256, 256],
    "workers": 1,
    "batch_size": 32,
    "nc": 3,
    "nz": 100,
    "ngf": 128,
    "ndf": 128,
    "lr_G": 0.00005,
    "lr_D": 0.0001,
    "beta1": 0.5,
    "ngpu": 1,
    "initial_noise_std": 0.2,
    "noise_decay_rate": 0.997,
}

# What a physical quantity is called, and the unit that its description must then name.
UNITS = {
    "sample_rate": "Hz",
    "duration": " s;",
    "range_db": "dB",
    "minutes": "minutes",
    "snapshot_minutes": "Minutes",
    "image_size": "[bands, frames]",
    "original_image_size": "[bands, frames]",
}


def written(folder: Path, text: str) -> Path:
    path = folder / "gan_config.json"
    path.write_text(text, encoding="utf-8")
    return path


def field_of(name: str) -> FieldInfo:
    return SECTIONS[SECTION_OF[name]].model_fields[name]


def section_schema(section: str) -> dict[str, Any]:
    schema = settings_schema()
    return schema["$defs"][schema["properties"][section]["$ref"].removeprefix("#/$defs/")]


def entry_of(name: str) -> dict[str, Any]:
    return section_schema(SECTION_OF[name])["properties"][name]


def message(values: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        check_settings(values, source="here.json")
    return str(caught.value)


def test_the_defaults_are_settings_and_say_nothing_about_the_data() -> None:
    settings = check_settings({})
    assert settings == Settings()
    assert check_settings(settings.model_dump()) == settings
    assert check_settings(json.loads(settings.model_dump_json())) == settings
    assert (
        settings.spectrogram.sample_rate,
        settings.spectrogram.duration,
        settings.spectrogram.image_size,
        settings.spectrogram.range_db,
    ) == (None,) * 4


def test_the_classic_file_is_read_as_it_is(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, json.dumps(CLASSIC, indent=4)))
    known = {name: value for name, value in CLASSIC.items() if name != "workers"}  # read, and without effect
    assert {name: settings.flat()[name] for name in known} == known
    assert {name for name in SECTION_OF if settings.is_set(name)} == set(known)


def test_nested_file_gives_the_settings_of_the_flat_one(tmp_path: Path) -> None:
    nested: dict[str, dict[str, Any]] = {}
    for name, value in CLASSIC.items():
        if name != "workers":
            nested.setdefault(SECTION_OF[name], {})[name] = value
    assert load_settings(written(tmp_path, json.dumps(nested))) == check_settings(CLASSIC)
    mixed = {**nested, "model": {**nested["model"], "size": 16}, "seed": 3}
    settings = load_settings(written(tmp_path, json.dumps(mixed)))
    assert (settings.model.size, settings.run.seed, settings.model.nz) == (16, 3, 100)


def test_name_given_twice_is_refused() -> None:
    said = message({"nz": 8, "model": {"nz": 9}})
    assert said == "here.json: nz is given twice, at the top level and in model"


def test_setting_in_a_wrong_section_names_its_own() -> None:
    said = message({"run": {"dataroot": "sounds"}})
    assert said == 'here.json: "dataroot" is not a setting of run; did you mean data.dataroot?'
    assert "did you mean batch_size?" in message({"optim": {"batchsize": 4}})


def test_section_that_is_no_object_is_refused() -> None:
    assert message({"model": 3}).startswith("here.json: model = 3: ")
    assert message({"model": 3, "nz": 8}).startswith("here.json: model = 3: ")


def test_workers_is_accepted_and_ignored() -> None:
    assert check_settings({"workers": 4}) == Settings()


def test_settings_cannot_change_behind_ones_back() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().model.nz = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", SECTION_OF)
def test_every_setting_says_what_it_is(name: str) -> None:
    description = field_of(name).description
    assert description and description.endswith(".") and len(description) > 20
    assert UNITS.get(name, "") in description


# The schema


def test_the_schema_holds_every_setting_and_nothing_else() -> None:
    schema = settings_schema()
    assert schema["type"] == "object" and schema["additionalProperties"] is False
    assert list(schema["properties"]) == list(SECTIONS)
    assert json.loads(json.dumps(schema)) == schema
    for section, fields in SECTIONS.items():
        part = section_schema(section)
        assert "required" not in part, "everything has a default"
        assert part["additionalProperties"] is False and list(part["properties"]) == list(fields.model_fields)
    for name in SECTION_OF:
        assert entry_of(name)["description"] == field_of(name).description
        assert entry_of(name)["default"] == Settings().flat()[name]


def allowed(entry: dict[str, Any], value: Any) -> bool:
    """Just enough of JSON Schema to judge a value by an entry of ours; a keyword it does not know is an error."""
    known = {"title", "description", "default", "type", "enum", "anyOf", "minimum", "maximum", "multipleOf", "items"}
    known |= {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "prefixItems", "const"}
    assert set(entry) <= known
    if "anyOf" in entry:
        return any(allowed(one, value) for one in entry["anyOf"])
    kinds = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "array": list, "null": type(None)}
    if not isinstance(value, kinds[entry["type"]]) or (isinstance(value, bool) and entry["type"] != "boolean"):
        return False
    if isinstance(value, list):
        sides = entry.get("prefixItems") or [entry["items"]] * len(value)
        return len(value) == len(sides) and all(map(allowed, sides, value))
    if value not in entry.get("enum", [value]) or value != entry.get("const", value):
        return False
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return True
    return (
        value >= entry.get("minimum", value)
        and value <= entry.get("maximum", value)
        and ("exclusiveMinimum" not in entry or value > entry["exclusiveMinimum"])
        and ("exclusiveMaximum" not in entry or value < entry["exclusiveMaximum"])
        and ("multipleOf" not in entry or value % entry["multipleOf"] == 0)
    )


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-20, 5000),
    st.floats(-2, 40, allow_nan=False),
    st.sampled_from(["peak", "rms", "none", "residual", "dcgan", "float32", "8000", "yes", "", "a folder"]),
    st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    st.lists(st.one_of(st.integers(0, 20).map(lambda n: 16 * n), st.integers(0, 5000)), max_size=3),
    st.lists(st.sampled_from(["*.wav", "*_0.flac"]), max_size=3),
)


@given(name=st.sampled_from(list(SECTION_OF)), value=VALUES)
@example(name="batch_size", value="32")
@example(name="slice", value="yes")
@example(name="slice", value=1)
@example(name="threads", value=True)
@example(name="image_size", value=[250, 256])
@example(name="image_size", value=[256, 240])
@example(name="original_image_size", value=[775, 308])
@example(name="beta1", value=1)
@example(name="minutes", value="auto")
@example(name="minutes", value="for ever")
@example(name="augment_p", value=1.5)
@example(name="seed", value=2**32)
def test_schema_and_check_agree(name: str, value: Any) -> None:
    if allowed(entry_of(name), value):
        assert check_settings({name: value}).flat()[name] == value
    else:
        said = message({name: value})
        assert said.startswith(f"here.json: {name} = ") and "\n" not in said


# Mistakes


@pytest.mark.parametrize(
    "unknown, near",
    [("batchsize", "batch_size"), ("lr_g", "lr_G"), ("epochs", "num_epochs"), ("Dataroot", "dataroot"), ("nzz", "nz")],
)
def test_an_unknown_key_names_the_nearest(unknown: str, near: str) -> None:
    assert message({unknown: 1}) == f'here.json: "{unknown}" is not a setting; did you mean {near}?'


@given(st.sampled_from(list(SECTION_OF)), st.data())
def test_a_doubled_letter_is_understood(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(name) - 1))
    misspelt = name[:place] + name[place] + name[place:]
    said = message({misspelt: 1})
    assert any(said.endswith(f"did you mean {known}?") for known in (*SECTION_OF, *SECTIONS))
    if len(name) > 4:
        assert said.endswith(f"did you mean {name}?")


def test_a_key_like_nothing_points_to_the_list() -> None:
    said = message({"xyzzyqqq": 1})
    assert "xyzzyqqq" in said and "soundgan config --schema" in said and "did you mean" not in said


@pytest.mark.parametrize("key", ["a\nb", "", "\x1b[31m", "clé"])
def test_an_odd_key_stays_on_one_line(key: str) -> None:
    assert message({key: 1}).isprintable()


@pytest.mark.parametrize(
    "key, value, shown, rule",
    [
        ("level", "loud", '"loud"', "'peak', 'rms' or 'none'"),
        ("sample_rate", 48000, "48000", "8000, 16000, 22050 or 44100"),
        ("duration", 0.1, "0.1", "greater than or equal to 0.25"),
        ("duration", 10.5, "10.5", "less than or equal to 10"),
        ("batch_size", 0, "0", "greater than or equal to 2"),
        ("batch_size", 5, "5", "multiple of 2"),
        ("batch_size", 1.5, "1.5", "valid integer"),
        ("size", 50, "50", "multiple of 8"),
        ("image_size", [256, 250], "250", "multiple of 16"),
        ("image_size", "256", '"256"', "valid list"),
        ("exclude", "*.wav", '"*.wav"', "valid list"),
        ("lr_G", float("nan"), "NaN", "finite"),
        ("gradient_penalty", float("inf"), "Infinity", "finite"),
        ("dataroot", None, "null", "valid string"),
    ],
)
def test_a_wrong_value_says_where_what_and_what_is_allowed(key: str, value: Any, shown: str, rule: str) -> None:
    said = message({key: value})
    assert said.startswith(f"here.json: {key} = {shown}: ") and rule in said and said.isprintable()
    assert (field_of(key).description or "?").rstrip(".") in said


def test_all_mistakes_are_told() -> None:
    told = message({"nz": 0, "ngf": 0, "nope": 0})
    assert told.startswith('here.json: "nope" is not a setting;') and "; nz = 0: " in told and "; ngf = 0: " in told
    assert "\n" not in told


def test_a_mistake_is_told_once() -> None:
    for value in (-1, "x"):
        told = message({"minutes": value})
        assert told.count("minutes = ") == 1 and told.count(field_of("minutes").description or "?") <= 1
    assert "greater than 0 or 'auto' (" in message({"minutes": -1})
    assert len(message({"exclude": [0] * 200})) < 300


def test_options_are_told_by_their_flags() -> None:
    with pytest.raises(SettingsError, match=r"^command line: --sample-rate = 1: .*; --size = 9: "):
        with_options(Settings(), {"sample_rate": 1, "size": 9, "seed": None})


@pytest.mark.parametrize("text", ["", "{", "{'nz': 1}", '{"nz": 1,}', '{"nz": 1} // the latent'])
def test_a_file_that_is_not_json_says_where(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError, match=r": not JSON: .* at line 1, column \d+$") as caught:
        load_settings(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("text, kind", [("[]", "list"), ("3", "int"), ("null", "NoneType"), ('"a"', "str")])
def test_json_that_is_no_object_is_refused(text: str, kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError, match=rf"^{re.escape(str(path))}: must hold one JSON object .* not {kind}$"):
        load_settings(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"nz": ' + "1" * 5000 + "}"])
def test_hostile_json_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path)) and len(str(caught.value)) < 1000


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.json", "No such file"), (tmp_path, "directory")):
        with pytest.raises(SettingsError, match=reason) as caught:
            load_settings(path)
        assert str(caught.value).startswith(f"{path}: cannot be read")
    (tmp_path / "latin.json").write_bytes(b'{"dataroot": "\xe9"}')
    with pytest.raises(SettingsError, match=r"latin\.json: cannot be read: it is not UTF-8 text"):
        load_settings(tmp_path / "latin.json")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, '\ufeff{"nz": 7, "dataroot": "été 🎧"}')).data.dataroot == "été 🎧"


def test_a_file_names_itself_in_a_message(tmp_path: Path) -> None:
    path = written(tmp_path, '{"nz": "many"}')
    with pytest.raises(SettingsError, match=rf'^{re.escape(str(path))}: nz = "many": '):
        load_settings(str(path))


def test_settings_offer_just_what_there_is() -> None:
    """Said twice, so that reading settings imports no SciPy."""
    for name, kind in (("window", Window), ("scale", Scale)):
        (choices,) = (entry.get("enum") for entry in _choices(entry_of(name)))
        assert choices == list(get_args(kind))


def _choices(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in entry.get("anyOf", [entry]) if "enum" in one]
