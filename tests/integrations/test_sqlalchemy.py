"""What a session commits falls, of the old and of the new row; what it rolls back does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

sqlalchemy = pytest.importorskip("sqlalchemy")

from sqlalchemy import ForeignKey, create_engine, delete, insert, update  # noqa: E402  # after the check that it is there
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker  # noqa: E402

from tiercel import MISS, AsyncCache, Cache  # noqa: E402
from tiercel._core.changeoptions import ChangeRule  # noqa: E402
from tiercel._process import Process  # noqa: E402
from tiercel.errors import ConfigurationError  # noqa: E402
from tiercel.integrations.sqlalchemy import invalidate_on_commit  # noqa: E402
from tiercel.matrix import Matrix  # noqa: E402

RULE = ChangeRule(
    table="products", tenant="{tenant}", regions=("product:{sku}",), tags=("category:{category}",), version="revision"
)
CATEGORIES = ("a", "b", "c")


class Base(DeclarativeBase):
    """The mapped classes of this file."""


class Product(Base):
    __tablename__ = "products"

    number: Mapped[int] = mapped_column("number", primary_key=True)
    sku: Mapped[str]
    tenant: Mapped[str]
    category: Mapped[str | None]
    version: Mapped[int] = mapped_column("revision", default=0)


class Review(Base):
    __tablename__ = "reviews"

    number: Mapped[int] = mapped_column(primary_key=True)
    product: Mapped[int] = mapped_column(ForeignKey("products.number"))


@pytest.fixture
def cache() -> Iterator[Cache]:
    with Cache(Matrix.defaults(), process=Process.shared("sessions")) as made:
        yield made


@pytest.fixture
def sessions(cache: Cache) -> Iterator[sessionmaker[Session]]:
    engine = create_engine("sqlite://", poolclass=sqlalchemy.StaticPool, connect_args={"check_same_thread": False})
    Base.metadata.create_all(engine)
    made = sessionmaker(engine)
    with made.begin() as session:
        session.add_all([Product(sku=f"p{n}", tenant="acme", category=CATEGORIES[n % 3]) for n in range(6)])
    watch = invalidate_on_commit(cache, made, [RULE], bulk_above=4)
    yield made
    watch.remove()
    engine.dispose()


@pytest.fixture
def fallen(cache: Cache) -> Callable[[], set[str]]:
    """Fill the tiers now; the function says what has fallen since."""
    tenant = cache.tenant("acme")
    for number in range(6):
        tenant.region("product").set(f"p{number}", number)
    for category in CATEGORIES:
        tenant.region("search").set(category, category, tags=[f"category:{category}"])

    def look() -> set[str]:
        gone = {f"p{n}" for n in range(6) if tenant.region("product").get(f"p{n}") is MISS}
        return gone | {each for each in CATEGORIES if tenant.region("search").get(each) is MISS}

    return look


def product(session: Session, sku: str) -> Product:
    return session.query(Product).filter_by(sku=sku).one()


def test_a_move_clears_both_categories(sessions: sessionmaker[Session], fallen: Callable[[], set[str]]) -> None:
    with sessions.begin() as session:
        product(session, "p0").category = "b"
        session.flush()
        assert fallen() == set()  # not before the commit: it would be loaded again as it was
    assert fallen() == {"p0", "a", "b"}


def test_what_is_rolled_back_stays(sessions: sessionmaker[Session], fallen: Callable[[], set[str]]) -> None:
    with sessions() as session:
        product(session, "p0").category = "b"
        session.flush()
        session.rollback()
        session.commit()
    assert fallen() == set()


def test_a_savepoint_rolled_back_takes_its_changes_along(
    sessions: sessionmaker[Session], fallen: Callable[[], set[str]]
) -> None:
    with sessions.begin() as session:
        with session.begin_nested():
            product(session, "p1").version = 5
        savepoint = session.begin_nested()
        product(session, "p0").category = "c"
        session.flush()
        savepoint.rollback()
    assert fallen() == {"p1", "b"}


def test_the_old_value_is_asked_for_where_the_object_forgot_it(
    sessions: sessionmaker[Session], fallen: Callable[[], set[str]]
) -> None:
    with sessions() as session:
        changed = product(session, "p0")
        session.commit()  # expires the object: its old category is unknown to it
        changed.category = "c"
        session.commit()
    assert fallen() == {"p0", "a", "c"}


def test_inserts_and_deletes(sessions: sessionmaker[Session], fallen: Callable[[], set[str]]) -> None:
    with sessions.begin() as session:
        session.delete(product(session, "p2"))
        session.add(Product(sku="new", tenant="acme", category="b"))
    assert fallen() == {"p2", "c", "b"}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (update(Product).where(Product.sku == "p0").values(category="b"), {"p0", "a", "b"}),
        (update(Product).where(Product.category == "a").values(category="c"), {"p0", "p3", "a", "c"}),
        (delete(Product).where(Product.sku == "p4"), {"p4", "b"}),
        (insert(Product).values(sku="n", tenant="acme", category="b", version=0), None),
    ],
)
def test_statements(
    sessions: sessionmaker[Session], fallen: Callable[[], set[str]], statement: Any, expected: set[str] | None
) -> None:
    with sessions.begin() as session:
        session.execute(statement)
    assert fallen() == (expected if expected is not None else {f"p{n}" for n in range(6)} | set(CATEGORIES))


def test_an_insert_with_rows_of_its_own_is_exact(
    sessions: sessionmaker[Session], fallen: Callable[[], set[str]]
) -> None:
    rows = [{"sku": f"n{n}", "tenant": "acme", "category": "b", "version": 0} for n in range(2)]
    with sessions.begin() as session:
        session.execute(insert(Product), rows)
    assert fallen() == {"b"}


def test_a_statement_over_many_rows_makes_everything_fall_that_it_may_concern(
    sessions: sessionmaker[Session], fallen: Callable[[], set[str]]
) -> None:
    with sessions.begin() as session:
        session.execute(update(Product).values(version=7))
    assert fallen() == {f"p{n}" for n in range(6)} | set(CATEGORIES)


def test_other_tables_make_nothing_fall(sessions: sessionmaker[Session], fallen: Callable[[], set[str]]) -> None:
    with sessions.begin() as session:
        session.add(Review(product=product(session, "p0").number))
        session.execute(update(Review).values(product=2))
    assert fallen() == set()


def test_an_unknown_column_is_named(cache: Cache, sessions: sessionmaker[Session]) -> None:
    watch = invalidate_on_commit(cache, sessions, [ChangeRule(table="reviews", regions=("product:{sku}",))])
    try:
        with pytest.raises(ConfigurationError, match="table reviews has no column sku"), sessions.begin() as session:
            session.add(Review(product=1))
    finally:
        watch.remove()


def test_rules_come_from_the_matrix() -> None:
    matrix = Matrix.defaults()
    with Cache(matrix, process=Process.shared("sessions")) as cache, pytest.raises(ConfigurationError, match="shop"):
        invalidate_on_commit(cache, Session, "shop")


async def test_sessions_of_asyncio(postgres_url: str) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

    class OwnSession(Session):
        """A class of its own, so that the events of other tests' sessions are not heard."""

    engine = create_async_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    made = async_sessionmaker(engine, class_=AsyncSession, sync_session_class=OwnSession)
    async with AsyncCache(Matrix.defaults(), process=Process.shared("awaiting sessions")) as cache:
        products = cache.tenant("acme").region("product")
        watch = invalidate_on_commit(cache, OwnSession, [RULE])
        try:
            async with made.begin() as session:
                session.add(Product(sku="p0", tenant="acme", category="a"))
            await products.set("p0", 1)
            async with made() as session:
                await session.execute(update(Product).values(category="b"))
                await session.rollback()
                assert await products.get("p0") == 1
                await session.execute(update(Product).values(category="b"))
                await session.commit()
            assert await products.get("p0") is MISS
        finally:
            watch.remove()
            await engine.dispose()
