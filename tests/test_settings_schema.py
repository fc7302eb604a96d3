"""JSON schema of the settings: it agrees with their validation."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from soundgan.errors import SettingsError
from soundgan.settings import SECTION_OF, SECTIONS, Settings, check_settings
from soundgan.spectral.representation import Scale
from soundgan.spectral.stft import Window


def section_schema(section: str) -> dict[str, Any]:
    schema = Settings.model_json_schema()
    return schema["$defs"][schema["properties"][section]["$ref"].removeprefix("#/$defs/")]


def entry_of(name: str) -> dict[str, Any]:
    return section_schema(SECTION_OF[name])["properties"][name]


def test_schema_contains_exactly_the_settings() -> None:
    schema = Settings.model_json_schema()
    assert schema["type"] == "object" and schema["additionalProperties"] is False
    assert list(schema["properties"]) == list(SECTIONS)
    assert json.loads(json.dumps(schema)) == schema
    for section, fields in SECTIONS.items():
        part = section_schema(section)
        assert "required" not in part, "everything has a default"
        assert part["additionalProperties"] is False and list(part["properties"]) == list(fields.model_fields)
    for name in SECTION_OF:
        assert entry_of(name)["description"] == SECTIONS[SECTION_OF[name]].model_fields[name].description
        assert entry_of(name)["default"] == Settings().flat()[name]


def allowed(entry: dict[str, Any], value: Any) -> bool:
    """Validate a value by the part of JSON Schema that the settings use; other keywords are an error."""
    known = {"title", "description", "default", "type", "enum", "anyOf", "minimum", "maximum", "multipleOf", "items"}
    known |= {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "prefixItems", "const"}
    assert set(entry) <= known
    if "anyOf" in entry:
        return any(allowed(choice, value) for choice in entry["anyOf"])
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
@example(name="minutes", value="forever")
@example(name="augment_p", value=1.5)
@example(name="seed", value=2**32)
def test_schema_and_check_agree_on_every_value(name: str, value: Any) -> None:
    if allowed(entry_of(name), value):
        assert check_settings({name: value}).flat()[name] == value
    else:
        with pytest.raises(SettingsError, match=rf"^here\.json: {name} = ") as caught:
            check_settings({name: value}, source="here.json")
        assert "\n" not in str(caught.value)


def test_choices_match_the_types_of_spectral() -> None:
    """Settings repeat the choices, so that reading them imports no SciPy."""
    for name, kind in (("window", Window), ("scale", Scale)):
        alternatives = entry_of(name).get("anyOf", [entry_of(name)])
        (choices,) = (entry["enum"] for entry in alternatives if "enum" in entry)
        assert choices == list(get_args(kind))
