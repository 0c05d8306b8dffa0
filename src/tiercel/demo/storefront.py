"""
The storefront: a shop as an application would write it on Tiercel; every data type of the matrix has its use here.

==========  =====================================================================  ==============================
data type   here                                                                   how
==========  =====================================================================  ==============================
session     cart and user of a visit                                               Redis, written through
profile     the user's settings and counters                                       local and Redis, written behind
product     the catalogue                                                          local and Redis, written through
search      keys found for search words                                            Redis, written behind
query       category lists, a decorated function                                   local
api         the JSON of a product page, made from the product                      CDN, published behind
static      style sheets, scripts, pages                                           CDN, published through
analytics   views per product and minute                                           Redis, written behind
==========  =====================================================================  ==============================
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tiercel import MISS, AsyncCache, AsyncTenant
from tiercel._core.clock import SystemClock
from tiercel.demo.catalogue import STATIC_FILES, SearchIndex, Shape, sku_of
from tiercel.demo.workload import Request


class Shop:
    """
    One tenant's shop.

    Args:
        tenant: Its scope in the cache.
        index: The search engine.
    """

    def __init__(self, tenant: AsyncTenant, index: SearchIndex) -> None:
        self.tenant = tenant
        self._index = index
        self.sessions = tenant.region("session")
        self.profiles = tenant.region("profile")
        self.products = tenant.region("product")
        self.searches = tenant.region("search")
        self.pages = tenant.region("static")
        self.api = tenant.region("api")
        self.analytics = tenant.region("analytics")
        self.category = tenant.region("query").cached("category:{name}", tags=["category:{name}"])(self._category)
        self._views: Counter[str] = Counter()

    async def _category(self, name: str) -> list[str]:
        return await asyncio.to_thread(self._index.category, self.tenant.name, name)

    async def login(self, session: str, user: int) -> None:
        """Open a visit; a user's profile is read and counts the visit."""
        await self.sessions.write(session, {"user": user, "cart": []})
        await self.pages.get_or_load("css/site.css", lambda: STATIC_FILES["css/site.css"])
        if user >= 0:
            profile = await self.profiles.read(str(user), {})
            await self.profiles.write(str(user), {**profile, "visits": profile.get("visits", 0) + 1})

    async def detail(self, session: str, sku: str) -> dict[str, Any] | None:
        """Show a product; its page's JSON is published at the CDN and falls with the product."""
        await self.sessions.read(session)
        page: dict[str, Any] | None = await self.api.get_or_load(f"products/{sku}", lambda: self._product_page(sku))
        await self.count_view(sku)
        return page

    async def _product_page(self, sku: str) -> dict[str, Any] | None:
        found = await self.products.read(sku)
        if found is MISS:
            return None
        return {"sku": sku, "name": found["name"], "price": found["price_cents"] / 100, "rating": found["rating"]}

    async def cards(self, skus: Sequence[str]) -> list[dict[str, Any]]:
        """Return the products of a list page: one bulk read."""
        return list((await self.products.read_many(skus)).values())

    async def search(self, words: str) -> list[dict[str, Any]]:
        """Search; what was found is derived data, written in the background."""
        found = await self.searches.get(words)
        if found is MISS:
            found = await asyncio.to_thread(self._index.search, self.tenant.name, words)
            await self.searches.write(words, found, tags=["search"])
        return await self.cards(found)

    async def browse(self, category: str) -> list[dict[str, Any]]:
        """Show a category, with how often its first product was viewed."""
        skus = await self.category(category)
        cards = await self.cards(skus)
        return [{**card, "views": await self.popular(card["sku"])} for card in cards[:1]] + cards[1:]

    async def add_to_cart(self, session: str, sku: str) -> None:
        """Put a product into the visit's cart."""
        visit = await self.sessions.read(session, {"user": -1, "cart": []})
        await self.sessions.write(session, {**visit, "cart": [*visit["cart"][-20:], sku]})

    async def order(self, session: str, sku: str) -> None:
        """Buy: the stock goes down, the cart is emptied."""
        bought = await self.products.read(sku, consistency="strong")
        if bought is not MISS:
            await self.products.write(sku, {**bought, "stock": max(0, bought["stock"] - 1)})
        visit = await self.sessions.read(session, {"user": -1})
        await self.sessions.write(session, {**visit, "cart": []})

    async def count_view(self, sku: str) -> None:
        """Count a view; every tenth is written."""
        self._views[sku] += 1
        if self._views[sku] % 10 == 1:
            await self.analytics.write(f"views:{sku}", {"metric": "views", "sku": sku, "value": self._views[sku]})

    async def popular(self, sku: str) -> int:
        """Return how often a product was viewed, as the reports see it."""
        found = await self.analytics.read(f"views:{sku}", {"value": 0})
        return int(found["value"])

    async def reprice(self, sku: str, factor: float) -> None:
        """Change a price as an editor does: everything that shows it falls, in every tier."""
        found = await self.products.read(sku, consistency="strong")
        if found is MISS:
            return
        changed = {**found, "price_cents": max(99, int(found["price_cents"] * factor))}
        await self.products.write(sku, changed)
        await asyncio.to_thread(self._index.add, self.tenant.name, [changed])
        await self.tenant.invalidate("product", sku)
        await self.tenant.invalidate_tags(f"category:{changed['category']}")

    async def feed(self, skus: Sequence[str], rng: random.Random) -> int:
        """Take over a burst of new stock figures from a feed: one bulk read, one bulk write."""
        found = await self.products.read_many(skus)
        await self.products.write_many({sku: {**row, "stock": rng.randrange(500)} for sku, row in found.items()})
        return len(found)


class Storefront:
    """
    All shops of the platform.

    Args:
        cache: The cache.
        shape: How large the shops are.
        index: The search engine.
    """

    def __init__(self, cache: AsyncCache, shape: Shape, index: SearchIndex) -> None:
        self.cache = cache
        self.shape = shape
        self.index = index
        self.shops = [Shop(cache.tenant(name), index) for name in shape.names()]
        self._clock = SystemClock()
        self._pages: dict[str, Callable[[Shop, Request], Any]] = {
            "login": lambda shop, request: shop.login(request.session, request.user),
            "detail": lambda shop, request: shop.detail(request.session, request.argument),
            "crawl": lambda shop, request: shop.products.read(request.argument),
            "search": lambda shop, request: shop.search(request.argument),
            "category": lambda shop, request: shop.browse(request.argument),
            "cart": lambda shop, request: shop.add_to_cart(request.session, request.argument),
            "order": lambda shop, request: shop.order(request.session, request.argument),
            "profile": lambda shop, request: shop.profiles.read(str(request.user)),
            "logout": lambda shop, request: shop.sessions.delete(request.session),
        }

    async def publish(self) -> None:
        """Publish every shop's static files."""
        for shop in self.shops:
            await shop.pages.write_many(STATIC_FILES)

    async def serve(self, request: Request) -> float:
        """Answer one request; return the seconds that it took."""
        started = self._clock.monotonic()
        await self._pages[request.kind](self.shops[request.tenant], request)
        return self._clock.monotonic() - started

    async def check(self, samples: int) -> dict[str, int]:
        """
        Compare what the cache says with what the stores hold, for random products and profiles.

        Returns:
            How many were compared, and how many differed.
        """
        rng = random.Random(self.shape.seed)
        compared = wrong = 0
        for _ in range(samples):
            number = rng.randrange(len(self.shops))
            shop = self.shops[number]
            for region, key in (
                (shop.products, sku_of(rng.randrange(self.shape.products_of(number)))),
                (shop.profiles, str(rng.randrange(self.shape.users_of(number)))),
            ):
                store = region.place.core.store
                row = await store.read(shop.tenant.name, key) if store is not None else None
                compared += 1
                wrong += (MISS if row is None else row.value) != await region.read(key)
        return {"compared": compared, "wrong": wrong}
