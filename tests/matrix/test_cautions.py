"""Cautions: what is allowed, works, and is probably not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiercel.matrix import Matrix

PLATFORM = Path(__file__).parent / "platform.toml"
QUIET = '[cache]\nredis = "redis://h"\ncdn = "folder:///edge"\n'


def _cautions(text: str) -> list[str]:
    return [f"{caution.subject}: {caution.message}" for caution in Matrix.from_text(QUIET + text).warnings()]


def test_the_built_in_matrix_with_its_servers_is_quiet() -> None:
    assert _cautions("") == []


def test_undefined_regions_of_the_example_fall_as_tags() -> None:
    cautions = [
        caution.message for caution in Matrix.from_toml(PLATFORM).warnings() if caution.subject == "entities.user"
    ]
    assert cautions == [
        "'preferences:{id}': no region 'preferences' in the matrix, so it falls as the tag 'preferences:{id}'",
        "'orders:{id}': no region 'orders' in the matrix, so it falls as the tag 'orders:{id}'",
    ]


def test_a_matrix_without_servers_says_so_once() -> None:
    subjects = [caution.subject for caution in Matrix.defaults().warnings()]
    assert subjects == ["cache", "regions.static", "regions.api"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[regions.session]\nstrategy = "write-behind"', "a logout reaches the store late"),
        ('[regions.session]\ntiers = ["local", "redis"]', "other nodes see a logout only after"),
        ('[regions.product]\nmax_staleness = "2h"', "max_staleness=2h exceeds ttl=1h"),
        ('[regions.product]\nnegative_ttl = "2h"', "negative_ttl=2h exceeds ttl=1h"),
        ('[regions.product]\nconsistency = "strong"', "each read asks Redis"),
        ("[regions.search.journal]\nbatch_size = 5", "journal is set but store is not"),
        ('[regions.profile]\nstore = "shop#users"', "[cache.stores] does not have"),
        (
            '[regions.profile]\nstore = "sqlite:///x#u"\n[regions.profile.journal]\nkind = "memory"',
            "acknowledged writes are lost",
        ),
        ("[regions.product]\nearly_refresh_beta = 1", "early_refresh_beta is set but grace is 0"),
        ('[regions.product]\nsoft_timeout = "1s"', "never a stale copy to fall back to"),
        ("[entities.thing]", "nothing falls with this entity"),
        ('[entities.thing]\nregions = ["product"]', "has no key after a colon"),
        ('[entities.thing]\nregions = ["produkt:{id}"]', "did you mean 'product'?"),
        ('[[alerts]]\nname="a"\nmetric="hit_rate"\nbelow=0.5\nregion="serch"', "did you mean 'search'?"),
    ],
)
def test_each_caution_is_raised_once(text: str, words: str) -> None:
    found = [caution for caution in _cautions(text) if words in caution]
    assert len(found) == 1
