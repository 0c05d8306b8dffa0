"""
The workload: visitors of the shops, as a stream of requests; pure, and the same for the same seed.

The shape follows what is published about shops: popularity after Zipf-Mandelbrot (alpha 0.9, q 10), a page mix of 48
% detail, 22 % search, 20 % category and 10 % cart pages, short visits (1 + geometric, 7 pages on average), one
visitor in a hundred a crawler that reads hundreds of consecutive products, ranks that drift, and flash sales in which
twenty products take 15 % of the detail views. Facts of scale (one big tenant with half of everything) are
assumptions.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from tiercel.demo.catalogue import ADJECTIVES, CATEGORIES, Shape, sku_of

ALPHA, PLATEAU = 0.9, 10
CRAWLERS = 0.01
CRAWL_PAGES = 120
MEAN_PAGES = 7
SALE_ITEMS, SALE_SHARE = 20, 0.15
DRIFT_EVERY = 2_000
DRIFT_SHARE = 0.003
SALE_PERIOD, SALE_LENGTH = 20_000, 5_000
ORDER_SHARE = 0.08

Kind = Literal["login", "detail", "search", "category", "cart", "order", "profile", "crawl", "logout"]


@dataclass(frozen=True, slots=True)
class Request:
    """
    One page asked for.

    Attributes:
        kind: Which page.
        tenant: Number of the shop.
        session: The visit it belongs to; distinct over the whole run.
        user: Number of the user, -1 for a guest.
        argument: Product key, search words or category; empty where the page has none.
    """

    kind: Kind
    tenant: int
    session: str
    user: int
    argument: str = ""


class Popularity:
    """
    Which product of a tenant is asked for next.

    Args:
        count: Products.
        rng: Source of randomness.
    """

    def __init__(self, count: int, rng: random.Random) -> None:
        self._rng = rng
        self._cumulative = list(accumulate(1.0 / (rank + PLATEAU) ** ALPHA for rank in range(1, count + 1)))
        self._product_of_rank = list(range(count))
        rng.shuffle(self._product_of_rank)
        self._sale: list[int] = []
        self._views = 0

    def next(self) -> int:
        """Return a product's number."""
        self._views += 1
        if self._views % DRIFT_EVERY == 0:
            self._drift()
        phase = self._views % SALE_PERIOD
        if phase == 1:
            self._sale = self._rng.sample(self._product_of_rank, min(SALE_ITEMS, len(self._product_of_rank)))
        if phase < SALE_LENGTH and self._rng.random() < SALE_SHARE:
            return self._rng.choice(self._sale) if self._sale else self._product_of_rank[0]
        at = bisect.bisect_left(self._cumulative, self._rng.random() * self._cumulative[-1])
        return self._product_of_rank[at]

    def _drift(self) -> None:
        ranks = len(self._product_of_rank)
        for _ in range(max(1, int(ranks * DRIFT_SHARE))):
            one, other = self._rng.randrange(ranks), self._rng.randrange(ranks)
            order = self._product_of_rank
            order[one], order[other] = order[other], order[one]


class Visitors:
    """
    The visitors of all shops.

    Args:
        shape: How large the shops are.
        stream: Several drivers take different streams of the same seed.
    """

    def __init__(self, shape: Shape, stream: int = 0) -> None:
        self._shape = shape
        self._stream = stream
        self._rng = random.Random(f"{shape.seed}/visitors/{stream}")
        self._shares = list(accumulate(shape.share(tenant) for tenant in range(shape.tenants)))
        self._popularity = [Popularity(shape.products_of(tenant), self._rng) for tenant in range(shape.tenants)]
        self._visits = 0

    def visit(self) -> Iterator[Request]:
        """Return the requests of one visit, from the first page to the last."""
        rng = self._rng
        self._visits += 1
        session = f"s{self._stream}-{self._visits}"
        tenant = min(bisect.bisect_left(self._shares, rng.random()), self._shape.tenants - 1)
        if rng.random() < CRAWLERS:
            yield from self._crawl(tenant, session)
            return
        user = int(self._shape.users_of(tenant) * rng.random() ** 1.6) if rng.random() < 0.6 else -1
        yield Request("login", tenant, session, user)
        pages = 1
        while rng.random() > 1 / MEAN_PAGES:
            pages += 1
        for _ in range(pages):
            yield self._page(tenant, session, user)
        if user >= 0 and rng.random() < 0.3:
            yield Request("logout", tenant, session, user)

    def _page(self, tenant: int, session: str, user: int) -> Request:
        rng = self._rng
        mix = rng.random()
        if mix < 0.48:
            return Request("detail", tenant, session, user, sku_of(self._popularity[tenant].next()))
        if mix < 0.70:
            return Request("search", tenant, session, user, self._words())
        if mix < 0.90:
            return Request("category", tenant, session, user, CATEGORIES[int(len(CATEGORIES) * rng.random() ** 1.5)])
        if mix < 0.90 + 0.1 * ORDER_SHARE:
            return Request("order", tenant, session, user, sku_of(self._popularity[tenant].next()))
        if user >= 0 and mix > 0.99:
            return Request("profile", tenant, session, user)
        return Request("cart", tenant, session, user, sku_of(self._popularity[tenant].next()))

    def _words(self) -> str:
        """Return search words: half of them common, half typed once."""
        rng = self._rng
        if rng.random() < 0.55:
            return ADJECTIVES[int(len(ADJECTIVES) * rng.random() ** 2)]
        return f"{rng.choice(ADJECTIVES)} {rng.choice(CATEGORIES)[:3]} {rng.randrange(10_000)}"

    def _crawl(self, tenant: int, session: str) -> Iterator[Request]:
        count = self._shape.products_of(tenant)
        first = self._rng.randrange(count)
        for step in range(min(CRAWL_PAGES, count)):
            yield Request("crawl", tenant, session, -1, sku_of((first + step) % count))
