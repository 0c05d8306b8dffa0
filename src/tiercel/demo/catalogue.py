"""
The catalogue: what each tenant sells, and to whom; made from a seed, the same on every machine.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CATEGORIES = (
    "shoes", "hats", "coats", "lamps", "chairs", "books", "games", "bikes", "tents", "watches",
    "cameras", "garden", "kitchen", "toys", "music", "sport", "office", "travel", "beauty", "pets",
)  # fmt: skip
ADJECTIVES = ("red", "light", "classic", "small", "warm", "silent", "solid", "green", "fine", "quick")
STATIC_FILES = {
    "css/site.css": "body{font:16px system-ui;margin:0}" + ".card{padding:1rem}" * 40,
    "js/cart.js": "export const add=(sku)=>fetch('/cart/'+sku,{method:'POST'});" * 20,
    "img/logo.svg": "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 10 10'><circle r='5'/></svg>",
    "about.html": "<!doctype html><title>About</title><p>We sell things." + " Really." * 200,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """
    How large the shops are.

    Args:
        tenants: Shops; the first is the largest (50 %), the last ones small.
        products: Products of all shops together.
        users: Users of all shops together.
        seed: Where everything random begins.
    """

    tenants: int = 4
    products: int = 6_000
    users: int = 3_000
    seed: int = 1

    def names(self) -> list[str]:
        """Return the tenants' names."""
        return [f"shop-{number}" for number in range(1, self.tenants + 1)]

    def share(self, tenant: int) -> float:
        """Return the part of products, users and traffic that tenant number *tenant* has: one half, then ever less."""
        weights = [0.5 if number == 0 else 0.5 / (number + 1) ** 1.2 for number in range(self.tenants)]
        return weights[tenant] / sum(weights)

    def products_of(self, tenant: int) -> int:
        """Return how many products a tenant sells, 20 at least."""
        return max(20, int(self.products * self.share(tenant)))

    def users_of(self, tenant: int) -> int:
        """Return how many users a tenant has, 10 at least."""
        return max(10, int(self.users * self.share(tenant)))


def product(rng: random.Random, sku: str) -> dict[str, Any]:
    """Return a product: a document of one to four kilobytes."""
    category = CATEGORIES[rng.randrange(len(CATEGORIES))]
    name = f"{ADJECTIVES[rng.randrange(len(ADJECTIVES))]} {category.removesuffix('s')}"
    size = int(min(4000, max(400, rng.lognormvariate(7.2, 0.5))))
    return {
        "sku": sku,
        "name": f"{name} {sku}",
        "category": category,
        "price_cents": rng.randrange(199, 99_900),
        "stock": rng.randrange(0, 500),
        "rating": round(rng.uniform(2.5, 5.0), 1),
        "description": (f"A {name}. " * (size // (len(name) + 4))).strip(),
    }


def user(rng: random.Random, user_id: str) -> dict[str, Any]:
    """Return a user's profile."""
    return {
        "id": user_id,
        "name": f"User {user_id}",
        "language": rng.choice(["en", "de", "fr"]),
        "orders": 0,
        "visits": 0,
    }


def sku_of(number: int) -> str:
    """Return the key of a tenant's product number *number*."""
    return f"sku-{number}"


def products_of(shape: Shape, tenant: int) -> Iterator[dict[str, Any]]:
    """Make a tenant's products, one after the other."""
    rng = random.Random(f"{shape.seed}/products/{tenant}")
    for number in range(shape.products_of(tenant)):
        yield product(rng, sku_of(number))


class SearchIndex:
    """
    The shops' own search engine: full scans over names in SQLite, slow enough to be worth caching.

    Attributes:
        queries: How often it was asked.
    """

    def __init__(self) -> None:
        self.queries = 0
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE TABLE product"
            " (tenant TEXT, sku TEXT, name TEXT, category TEXT, price INT, PRIMARY KEY (tenant, sku))"
        )

    def add(self, tenant: str, rows: list[dict[str, Any]]) -> None:
        """Index products, in place of what was known of them."""
        with self._lock:
            self._database.executemany(
                "INSERT OR REPLACE INTO product VALUES (?, ?, ?, ?, ?)",
                [(tenant, row["sku"], row["name"], row["category"], row["price_cents"]) for row in rows],
            )

    def search(self, tenant: str, words: str) -> list[str]:
        """Return the keys of the ten cheapest products whose name holds *words*."""
        return self._ask("name LIKE ? ORDER BY price, sku LIMIT 10", tenant, f"%{words}%")

    def category(self, tenant: str, name: str) -> list[str]:
        """Return the keys of the twelve cheapest products of a category."""
        return self._ask("category = ? ORDER BY price, sku LIMIT 12", tenant, name)

    def _ask(self, condition: str, tenant: str, argument: str) -> list[str]:
        with self._lock:
            self.queries += 1
            rows = self._database.execute(
                f"SELECT sku FROM product WHERE tenant = ? AND {condition}",  # the two conditions above
                (tenant, argument),
            ).fetchall()
        return [sku for (sku,) in rows]

    def close(self) -> None:
        """Release the database."""
        self._database.close()
