"""Model cards: generated from the configuration, with the notes written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

import soundgan
from soundgan.model_folder import read_config
from soundgan.training.export.model_card import CARD, NOTES, model_card

PRETRAINED = sorted(path.parent for path in (Path(soundgan.__file__).parent / "pretrained").glob("*/config.json"))
EVIL = '<b>"a & b" | {{ x }} `c`\''


@pytest.mark.parametrize("folder", PRETRAINED, ids=lambda folder: folder.name)
def test_cards_of_the_bundled_models_are_what_an_export_writes(folder: Path) -> None:
    notes = (folder / NOTES).read_text(encoding="utf-8")
    assert (folder / CARD).read_text(encoding="utf-8") == model_card(read_config(folder), notes, with_real=True)


def test_values_stand_in_the_card_unchanged() -> None:
    config = read_config(PRETRAINED[0]).model_copy(update={"attribution": EVIL, "labels": ("it's",)})
    card = model_card(config, EVIL, with_real=False)
    assert f"| attribution | {EVIL} |" in card and card.endswith(f"\n\n{EVIL}\n")
    assert "1 labels: it's." in card and """--label 'it'"'"'s' -o sounds""" in card and "all generated" in card


def test_what_is_unknown_is_stated() -> None:
    unknown = {"training": {}, "license": "", "attribution": "", "labels": ()}
    card = model_card(read_config(PRETRAINED[0]).model_copy(update=unknown), with_real=False)
    for expected in ("unknown: converted weights", "set `license` in the settings", "| not stated |", "no labels."):
        assert expected in card
