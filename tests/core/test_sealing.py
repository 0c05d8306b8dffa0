"""Sealed payloads: known answers, what a ciphertext is bound to, rings and where they come from."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from tiercel._core.frame import Flag, Frame, State
from tiercel._core.sealing import KeyRing, bound_to, derived_key, schema_of, unpack_envelope
from tiercel._core.subjects import SubjectBook, split_subject
from tiercel.codecs.aead import Aead
from tiercel.codecs.keychain import Keychain
from tiercel.codecs.sealer import Sealer, open_for_subject, seal_for_subject
from tiercel.errors import ConfigurationError, DecodeError, KeyRefused
from tiercel.options import EntityRule, KeyOptions


def ring(*ids: str) -> str:
    return "\n".join(f"{each}:{base64.b64encode(each.encode().ljust(32, b'.')).decode()}" for each in ids)


def sealer(*ids: str) -> Sealer:
    return Sealer(Keychain(KeyOptions(name="k", provider=lambda tenant: ring(*ids))))


NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"


@pytest.mark.parametrize(
    ("key", "bound", "expected"),
    [
        (b"\x01", b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\x03", b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_cipher_gives_the_published_answers(key: bytes, bound: bytes, expected: str) -> None:
    nonce, sealed = Aead(key * 32).seal(b"XAES-256-GCM", bound, NONCE)
    assert (nonce, sealed.hex()) == (NONCE, expected)
    assert Aead(key * 32).open(NONCE, sealed, bound) == b"XAES-256-GCM"


PLACES = [
    (tenant, purpose, name, schema)
    for tenant in ("acme", "acme2")
    for purpose in ("entry", "journal")
    for name in (b"n{}:acme:r=k", b"n{}:acme:r=k2", b"n{}:acme:rk=", b"n{}:acme2:r=k")
    for schema in (b"", b"\x01")
]


def test_no_two_swapped_ciphertexts_open() -> None:
    box = sealer("a")
    sealed = {place: box.seal(*place, b"the same value") for place in PLACES}
    opened = 0
    for place in PLACES:
        for other in PLACES:
            try:
                assert box.open(*place, sealed[other]) == b"the same value"
            except DecodeError:
                continue
            opened += 1
            assert place == other
    assert opened == len(PLACES)


def test_every_flipped_bit_is_refused() -> None:
    box = sealer("a")
    place = PLACES[0]
    sealed = box.seal(*place, b"value")
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecodeError):
            box.open(*place, bytes(changed))
    for length in range(len(sealed)):
        with pytest.raises(DecodeError):
            box.open(*place, sealed[:length])


def test_two_seals_of_one_value_differ() -> None:
    box = sealer("a")
    assert box.seal(*PLACES[0], b"v") != box.seal(*PLACES[0], b"v")


def test_schema_holds_what_no_script_changes() -> None:
    frame = Frame(State.LIVE, 7, codec=1, version=5, tags=((1, 2),))
    changes = (
        frame._replace(codec=2),
        frame._replace(flags=Flag.COMPRESSED),
        frame._replace(version=6),
        frame._replace(tags=((1, 3),)),
    )
    assert len({schema_of(frame), *map(schema_of, changes)}) == 5
    assert schema_of(frame._replace(state=State.STALE, floor=9, fresh_until_ms=4)) == schema_of(frame)


def test_parts_of_a_place_cannot_run_into_each_other() -> None:
    assert bound_to("entry", b"ab", b"c") != bound_to("entry", b"a", b"bc")


def test_old_keys_open_and_the_first_seals() -> None:
    before, after = sealer("old"), sealer("new", "old")
    sealed = before.seal(*PLACES[0], b"v")
    assert after.open(*PLACES[0], sealed) == b"v"
    assert unpack_envelope(after.seal(*PLACES[0], b"v")).key_id == "new"
    with pytest.raises(DecodeError, match="no id 'old'"):
        sealer("new").open(*PLACES[0], sealed)


def test_a_node_that_missed_a_rotation_reads_the_ring_again(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    path.write_text(ring("old"))
    node = Sealer(Keychain(KeyOptions(name="k", source=f"file:{path}")))
    assert unpack_envelope(node.seal(*PLACES[0], b"v")).key_id == "old"
    path.write_text(ring("new", "old"))
    node.keychain._rings[""] = (node.keychain._rings[""][0] - 1.0, node.keychain._rings[""][1])
    assert node.open(*PLACES[0], sealer("new").seal(*PLACES[0], b"v")) == b"v"


def test_a_tenants_ring_that_is_gone_takes_its_data_with_it(tmp_path: Path) -> None:
    chain = Keychain(KeyOptions(name="k", source=f"file:{tmp_path}/{{tenant}}.ring"))
    (tmp_path / "acme.ring").write_text(ring("a"))
    box = Sealer(chain)
    place = ("acme", "entry", b"n", b"")
    sealed = box.seal(*place, b"v")
    (tmp_path / "acme.ring").unlink()
    chain._rings.clear()
    with pytest.raises(DecodeError, match="gives no ring"):
        box.open(*place, sealed)


def test_environment_and_function_give_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RING_acme", ring("env"))
    assert Keychain(KeyOptions(name="k", source="env:RING_{tenant}")).ring("acme").ids == ("env",)
    source = "call:tests.core.test_sealing:ring"
    assert Keychain(KeyOptions(name="k", source=source)).ring("acme").ids == ("acme",)
    with pytest.raises(ConfigurationError, match="no function"):
        Keychain(KeyOptions(name="k", source="call:tests.core.test_sealing:nothing"))


def test_a_source_that_fails_for_a_moment_leaves_the_last_ring() -> None:
    answers: list[str] = [ring("a")]
    chain = Keychain(KeyOptions(name="k", provider=lambda tenant: answers.pop()))
    assert chain.ring("t").ids == ("a",)
    assert chain.ring("t", age_s=0.0).ids == ("a",)


def test_a_ring_that_is_being_written_leaves_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    path.write_text(ring("a"))
    chain = Keychain(KeyOptions(name="k", source=f"file:{path}"))
    assert chain.ring().ids == ("a",)
    path.write_text(ring("b", "a")[:20])
    assert chain.ring(age_s=0.0).ids == ("a",)
    with pytest.raises(DecodeError, match="line 1"):
        Keychain(KeyOptions(name="k", source=f"file:{path}")).ring()


def test_a_function_that_fails_is_not_quoted() -> None:
    def fail(tenant: str) -> str:
        raise RuntimeError("the secret is hunter2")

    with pytest.raises(DecodeError) as caught:
        Keychain(KeyOptions(name="k", provider=fail)).ring("t")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# none", "a:short", "a b:" + "A" * 44, ring("a") + "\n" + ring("a")])
def test_what_is_no_ring_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyRing(text, "key 'k'")
    assert not any(part and part in str(caught.value) for part in text.partition(":")[2:] if len(part) > 8)


def test_no_repr_shows_a_key() -> None:
    secret = base64.b64encode(b"a".ljust(32, b".")).decode()
    box = sealer("a")
    box.seal(*PLACES[0], b"v")
    shown = repr((box, box.keychain, box.keychain.options, KeyRing(ring("a"), "w"), Aead(os.urandom(32))))
    assert secret not in shown
    assert "a...." not in shown


def test_subjects_key_opens_only_its_own() -> None:
    key, other = os.urandom(32), os.urandom(32)
    sealed = seal_for_subject(key, "entry", b"n", b"", b"v")
    assert open_for_subject(key, "entry", b"n", b"", sealed) == b"v"
    with pytest.raises(DecodeError):
        open_for_subject(other, "entry", b"n", b"", sealed)
    with pytest.raises(DecodeError):
        sealer("a").open(*PLACES[0], sealed)


def test_tenants_have_keys_of_their_own() -> None:
    key = os.urandom(32)
    assert derived_key(key, "tenant", "a") != derived_key(key, "tenant", "b") != derived_key(key, "file", "b")


def test_subject_of_reads_the_graph_backwards() -> None:
    book = SubjectBook(
        [EntityRule(name="user", regions=("profile:{id}", "session:user:{id}", "home:all", "orders:{id}/{id}"))]
    )
    assert book.subject_of("profile", "42") == "user:42"
    assert book.subject_of("session", "user:42") == "user:42"
    assert book.subject_of("session", "guest:42") is None
    assert book.subject_of("orders", "4/4") == "user:4"
    assert book.subject_of("orders", "4/5") is None
    assert book.subject_of("home", "all") is None
    assert book.subject_of("profile", b"42") is None


def test_split_subject() -> None:
    assert split_subject("user:a:b") == ("user", "a:b")
    for wrong in ("user", "user:", ":42"):
        with pytest.raises(KeyRefused):
            split_subject(wrong)


def test_a_region_at_the_cdn_cannot_be_encrypted() -> None:
    from tiercel.options import RegionOptions

    with pytest.raises(ConfigurationError, match="cdn"):
        RegionOptions(name="r", tiers=("cdn",), encrypt="k")
