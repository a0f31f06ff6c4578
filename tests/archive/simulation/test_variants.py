from pathlib import Path
from typing import Any

import pytest
import yaml

from archive_assets.simulation import (
    AnomalousOverhead,
    ObservatoryOptions,
    SiteModel,
    Telescope,
    Variant,
)
from archive_assets.simulation.errors import VariantError
from archive_assets.simulation.variants import load_variants, variants_file


@pytest.fixture
def document() -> dict[str, Any]:
    """The built-in file, to be spoilt."""
    loaded: dict[str, Any] = yaml.safe_load(variants_file({}).read_text())
    return loaded


def written(document: Any, folder: Path) -> Path:
    path = folder / "variants.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_built_in_variants_are_those_of_operations() -> None:
    plans = load_variants(variants_file({}))

    simonyi = plans[Telescope.SIMONYI]
    assert [variant.name for variant in simonyi.variants] == [
        "nominal_noreward",
        "nominal",
        "delay240",
        "anom101_fraction",
        "anom101_seconds",
        "seeing044",
        "seeing130",
    ]
    assert simonyi.nights == plans[Telescope.AUXTEL].nights == 3
    assert simonyi.nominal.tags == ("prenight", "ideal", "nominal")
    assert simonyi.nominal.statistics == ()
    assert [v.observatory.seeing_arcsec for v in simonyi.variants] == [
        0.6, 0.6, 0.6, 0.6, 0.6, 0.44, 1.3,
    ]  # fmt: skip
    assert [v.name for v in plans[Telescope.AUXTEL].variants] == ["nominal"]
    assert all("prenight" in v.tags for p in plans.values() for v in p.variants)


def test_the_scale_is_given_once_as_fraction_and_once_in_seconds() -> None:
    by_name = {
        variant.name: variant
        for variant in load_variants(variants_file({}))[Telescope.SIMONYI].variants
    }

    assert by_name["anom101_fraction"].anomalous_overhead == AnomalousOverhead(
        seed=101, fraction=0.1
    )
    assert by_name["anom101_seconds"].anomalous_overhead == AnomalousOverhead(
        seed=101, seconds=10.0
    )


@pytest.mark.parametrize(
    ("bands", "complaint"),
    [
        (
            {"mounted": [["2026-01-01", ["r", "x"]]], "until": "2026-02-01"},
            "one to five",
        ),
        ({"mounted": [["2026-01-01", []]], "until": "2026-02-01"}, "not none"),
        ({"mounted": [["2026-01-01", ["r"]]]}, "given together"),
        ({"mounted": [["2026-01-01", ["r"]]], "until": "2026-01-01"}, "in order"),
        ({"moon_illumination": 140}, "0 to 100, not 140"),
    ],
)
def test_bands_that_cannot_be_mounted_are_refused(
    tmp_path: Path, document: dict[str, Any], bands: dict[str, Any], complaint: str
) -> None:
    document["telescopes"]["simonyi"]["variants"][0]["bands"] = bands

    with pytest.raises(VariantError, match=rf"nominal_noreward\.bands.*{complaint}"):
        load_variants(written(document, tmp_path))


def test_a_site_names_its_own_file(tmp_path: Path, document: dict[str, Any]) -> None:
    del document["telescopes"]["auxtel"]
    path = written(document, tmp_path)

    plans = load_variants(variants_file({"PRENIGHT_VARIANTS": str(path)}))

    assert list(plans) == [Telescope.SIMONYI]


def test_variants_are_chosen_by_name_in_the_files_order() -> None:
    plan = load_variants(variants_file({}))[Telescope.SIMONYI]

    chosen = plan.chosen(("seeing130", "nominal"))

    assert [variant.name for variant in chosen] == ["nominal", "seeing130"]
    assert plan.chosen() == plan.variants


def test_an_unknown_variant_is_told_with_the_known_ones() -> None:
    plan = load_variants(variants_file({}))[Telescope.AUXTEL]

    with pytest.raises(VariantError, match="no variant 'delay60': choose from nominal"):
        plan.chosen(("delay60",))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"anomalous_overhead": {"seed": 1, "fraction": 10.0}},
            r"nominal.anomalous_overhead: fraction is a fraction .* not 10",
        ),
        (
            {"anomalous_overhead": {"seed": 1}},
            "give the scale either as fraction or as seconds",
        ),
        (
            {"anomalous_overhead": {"seed": 1, "fraction": 0.1, "seconds": 1}},
            "give the scale either as fraction or as seconds",
        ),
        (
            {"anomalous_overhead": {"seed": 1, "seconds": -1}},
            "seconds must be above 0 and at most 600, not -1",
        ),
        ({"seeing": 0.7}, r"simonyi.variants.nominal.seeing: unknown key"),
        (
            {"label": None},
            r"simonyi.variants.nominal.label: .* a valid string",
        ),
        ({"label": " "}, "variant nominal has no label"),
        ({"delay_minutes": -5}, "delay_minutes must be 0 to 1440, not -5"),
        ({"observatory": {"seeing_arcsec": 44}}, "seeing_arcsec must be 0.1 to 5"),
        ({"observatory": {"clouds": "some"}}, "should be 'ideal' or 'model'"),
        ({"name": "no/good"}, "is not a word of letters"),
        ({"name": "delay240"}, "two variants are called delay240"),
    ],
)
def test_a_mistake_in_a_variant_is_named_with_its_place(
    tmp_path: Path, document: dict[str, Any], change: dict[str, Any], match: str
) -> None:
    document["telescopes"]["simonyi"]["variants"][1].update(change)

    with pytest.raises(VariantError, match=match):
        load_variants(written(document, tmp_path))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("- 1", "must hold version and telescopes"),
        ("version: 2", "version must be 1, not 2"),
        ("version: 1", "valid dictionary"),
        ("version: 1\ntelescopes: {}\nvariants: []", "unknown keys: variants"),
        ("version: 1\ntelescopes: {kecks: {nights: 1, variants: []}}", "kecks"),
        ("version: 1\ntelescopes: {auxtel: {nights: 1}}", "variants: is missing"),
        ("a: [", "is not plain YAML"),
        ("!!python/object/apply:os.system ['false']", "is not plain YAML"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "variants.yaml"
    path.write_text(text)

    with pytest.raises(VariantError, match=match):
        load_variants(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(VariantError, match=r"none.yaml cannot be read: No such file"):
        load_variants(tmp_path / "none.yaml")


def test_nominal_comes_first(tmp_path: Path, document: dict[str, Any]) -> None:
    document["telescopes"]["simonyi"]["variants"].reverse()
    document["telescopes"]["simonyi"]["variants"][0]["tags"] = ["prenight"]

    with pytest.raises(VariantError, match="seeing130, is not tagged nominal"):
        load_variants(written(document, tmp_path))


def test_a_variant_knows_which_site_models_it_reads() -> None:
    variant = Variant(
        name="real",
        label="Real weather",
        observatory=ObservatoryOptions(seeing_arcsec=None, clouds=SiteModel.MODEL),
    )

    assert variant.observatory.site_models == {"clouds", "seeing"}
