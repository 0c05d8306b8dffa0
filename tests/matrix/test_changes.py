"""``[changes.NAME]``: what a matrix file says of watched databases, and how its mistakes are told."""

from __future__ import annotations

import pytest

from tiercel.errors import ConfigurationError
from tiercel.matrix import Matrix

TEXT = """
[cache.stores]
shop = "postgres://u:secret@h/shop"
[entities.product]
regions = ["product:{id}"]
[changes.catalogue]
url = "shop"
lease = "2s"
max_lag_bytes = "1 GiB"
[changes.catalogue.tables."shop.products"]
tenant = "{tenant}"
entity = "product"
id = "{sku}"
tags = ["category:{category}"]
"""


def test_a_source_is_read_and_written_back() -> None:
    matrix = Matrix.from_text(TEXT)
    source = matrix.change_source("catalogue")
    assert (source.lease_s, source.max_lag_bytes, source.bulk_above) == (2.0, 1024**3, 1000)
    assert [rule.table for rule in source.rules] == ["shop.products"]
    assert matrix.change_url("catalogue") == "postgres://u:secret@h/shop"
    assert Matrix.from_text(matrix.to_toml()) == matrix
    assert "secret" not in repr(source)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (('url = "shop"', ""), "need url"),
        (('url = "shop"', 'url = "redis://h"'), "url: name a postgres://"),
        (('entity = "product"', 'entity = "produce"'), "no entity 'produce' in the matrix: did you mean 'product'"),
        (('lease = "2s"', 'lease = "1ms"'), "at least half a second"),
        (('lease = "2s"', 'leese = "2s"'), "did you mean 'lease'"),
        (('max_lag_bytes = "1 GiB"', "max_lag_bytes = 5"), "at least 1 MiB"),
        (('url = "shop"', 'url = "shop"\nslot = "Bad Slot"'), "slot='Bad Slot'"),
        (('entity = "product"\nid = "{sku}"\ntags = ["category:{category}"]', ""), "nothing falls"),
        (('tenant = "{tenant}"', 'tenant = ""'), "tenant is empty"),
        (('id = "{sku}"', 'id = "{sku"'), "'product:{sku' is no template|'{sku' is no template"),
    ],
)
def test_mistakes_are_named(wrong: tuple[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Matrix.from_text(TEXT.replace(*wrong))


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'catalogue'"):
        Matrix.from_text(TEXT).change_source("catalog")
