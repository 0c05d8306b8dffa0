"""
Signed URLs and cookies: what they permit, and that no changed one permits anything.
"""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tiercel.cdn.signing import AccessPolicy, Algorithm, Signer, Verifier, read_policy, split_signed
from tiercel.errors import ConfigurationError

NOW = 1_900_000_000
URL = "https://shop.example/private/invoice.pdf?customer=7"
RSA_KEY = rsa.generate_private_key(65_537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


SHORT_KEY = private_pem(rsa.generate_private_key(65_537, 1024))
VERIFIER = Verifier({"KRSA": public_pem(RSA_KEY), "KEC": public_pem(EC_KEY)})
SIGNERS = {
    "rsa-sha256": Signer("KRSA", private_pem(RSA_KEY)),
    "rsa-sha1": Signer("KRSA", private_pem(RSA_KEY), algorithm="SHA1"),
    "ecdsa": Signer("KEC", private_pem(EC_KEY)),
}
POLICIES = {
    "canned": AccessPolicy(resource=URL, expires_s=NOW + 60),
    "custom": AccessPolicy(
        resource="https://shop.example/private/*", expires_s=NOW + 60, starts_s=NOW - 60, address="10.0.0.0/8"
    ),
}


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_a_signature_permits_until_it_ends(signer: Signer, policy: AccessPolicy) -> None:
    url = signer.sign_url(URL, policy)
    assert VERIFIER.permits_url(url, NOW, "10.1.2.3")
    assert not VERIFIER.permits_url(url, NOW + 60, "10.1.2.3")
    assert VERIFIER.permits_cookies(URL, signer.cookies(policy), NOW, "10.1.2.3")
    assert not VERIFIER.permits_cookies(URL, signer.cookies(policy), NOW + 61, "10.1.2.3")


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_every_bit_flip_of_a_url_is_rejected(signer: Signer, policy: AccessPolicy) -> None:
    raw = signer.sign_url(URL, policy).encode()
    survivors = []
    for place in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[place // 8] ^= 1 << (place % 8)
        if VERIFIER.permits_url(flipped.decode("latin-1"), NOW, "10.1.2.3"):
            survivors.append(bytes(flipped))
    if policy.is_canned:
        assert survivors == []
    # A custom policy permits other files below its wildcard: those, and nothing else, may differ.
    for survivor in survivors:
        bare, signed = split_signed(survivor.decode("latin-1"))
        assert signed == split_signed(raw.decode())[1]
        assert bare is not None
        assert bare.startswith("https://shop.example/private/")


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_every_bit_flip_of_a_cookie_is_rejected(signer: Signer, policy: AccessPolicy) -> None:
    cookies = signer.cookies(policy)
    for name, value in cookies.items():
        for place in range(len(value) * 8):
            flipped = bytearray(value.encode())
            flipped[place // 8] ^= 1 << (place % 8)
            changed = {**cookies, name: flipped.decode("latin-1")}
            assert not VERIFIER.permits_cookies(URL, changed, NOW, "10.1.2.3"), (name, place)


def test_accepting_any_base64_would_let_flipped_bits_pass() -> None:
    """The naive way: base64 ignores the spare bits of its last character, so several texts are one signature."""
    for signer in SIGNERS.values():
        text = split_signed(signer.sign_url(URL, expires_s=NOW + 60))[1]["Signature"].translate(
            str.maketrans("-_~", "+=/")
        )
        if text.endswith("="):
            last = text.rstrip("=")[-1]
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            twin = text.rstrip("=")[:-1] + alphabet[alphabet.index(last) ^ 1] + "=" * text.count("=")
            assert base64.b64decode(twin) == base64.b64decode(text)
            return
    pytest.fail("no signature had spare bits")


@pytest.mark.parametrize(
    "url",
    [
        URL + "&Expires=1",
        URL.replace("shop", "evil"),
        URL.replace("7", "8"),
        URL.replace("invoice", "../invoice"),
        URL + "#x",
    ],
)
def test_a_signature_moved_to_another_url_is_rejected(url: str) -> None:
    signed = SIGNERS["ecdsa"].sign_url(URL, expires_s=NOW + 60)
    query = signed.removeprefix(URL)
    assert not VERIFIER.permits_url(url + query, NOW)


def test_a_doubled_parameter_is_rejected() -> None:
    signed = SIGNERS["ecdsa"].sign_url(URL, expires_s=NOW + 60)
    assert not VERIFIER.permits_url(signed + f"&Expires={NOW + 9_999}", NOW)


def test_a_custom_policy_holds_for_its_place_and_time_only() -> None:
    policy = POLICIES["custom"]
    cookies = SIGNERS["rsa-sha256"].cookies(policy)
    assert not VERIFIER.permits_cookies(URL, cookies, NOW - 61, "10.1.2.3")
    assert not VERIFIER.permits_cookies(URL, cookies, NOW, "11.1.2.3")
    assert not VERIFIER.permits_cookies(URL, cookies, NOW, "nonsense")
    assert not VERIFIER.permits_cookies("https://shop.example/other", cookies, NOW, "10.1.2.3")
    assert not VERIFIER.permits_cookies(URL, {}, NOW, "10.1.2.3")


def test_the_canned_policy_is_spelled_as_cloudfront_documents_it() -> None:
    text = AccessPolicy(resource="http://d.example/a.jpg?s=1", expires_s=1_357_034_400).text()
    statement = '{"Resource":"http://d.example/a.jpg?s=1","Condition":{"DateLessThan":{"AWS:EpochTime":1357034400}}}'
    assert text == '{"Statement":[' + statement + "]}"


def test_botocores_signer_agrees() -> None:
    signers = pytest.importorskip("botocore.signers")
    from datetime import UTC, datetime

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    def rsa_sign(message: bytes) -> bytes:
        return RSA_KEY.sign(message, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - what CloudFront's default is

    theirs = signers.CloudFrontSigner("KRSA", rsa_sign)
    url = theirs.generate_presigned_url(URL, date_less_than=datetime.fromtimestamp(NOW + 60, UTC))
    assert VERIFIER.permits_url(url, NOW)
    assert split_signed(url)[1] == split_signed(SIGNERS["rsa-sha1"].sign_url(URL, expires_s=NOW + 60))[1]


def test_keys_rotate_without_a_gap() -> None:
    old, new = SIGNERS["rsa-sha256"], SIGNERS["ecdsa"]
    links = [old.sign_url(URL, expires_s=NOW + 60), new.sign_url(URL, expires_s=NOW + 60)]
    assert all(VERIFIER.permits_url(link, NOW) for link in links)
    after = Verifier({"KEC": public_pem(EC_KEY)})
    assert [after.permits_url(link, NOW) for link in links] == [False, True]


@pytest.mark.parametrize(
    "pem",
    [
        b"nonsense",
        private_pem(ec.generate_private_key(ec.SECP384R1())),
        SHORT_KEY,
    ],
)
def test_a_key_that_cloudfront_would_refuse_is_refused(pem: bytes) -> None:
    with pytest.raises(ConfigurationError):
        Signer("K1", pem)


def test_contradictions_are_refused() -> None:
    signer = SIGNERS["ecdsa"]
    with pytest.raises(ConfigurationError):
        signer.sign_url(URL)
    with pytest.raises(ConfigurationError):
        signer.sign_url(URL + "&Policy=x", expires_s=NOW)
    with pytest.raises(ConfigurationError):
        AccessPolicy(resource="/relative", expires_s=NOW)
    with pytest.raises(ConfigurationError):
        AccessPolicy(resource=URL, expires_s=NOW, starts_s=NOW)
    with pytest.raises(ConfigurationError):
        AccessPolicy(resource=URL, expires_s=NOW, address="not an address")
    with pytest.raises(ConfigurationError):
        Signer("K 1", private_pem(EC_KEY))


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"\xff", json.dumps({"Statement": [{}]}).encode(), b'{"Statement":[{"Resource":"x"}]}']
)
def test_a_strange_policy_reads_as_none(text: bytes) -> None:
    assert read_policy(text) is None


def test_algorithms_cannot_be_mixed() -> None:
    algorithm: Algorithm = "SHA1"
    url = SIGNERS["ecdsa"].sign_url(URL, expires_s=NOW + 60).replace("&Hash-Algorithm=SHA256", "")
    assert not VERIFIER.permits_url(url, NOW)
    assert Signer("KEC", private_pem(EC_KEY), algorithm=algorithm).algorithm == "SHA256"
