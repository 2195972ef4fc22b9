"""Time stamps: an authority that is slow, refuses, answers nonsense, or is not there."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import tsp
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.pades import PadesSigner
from docflow.adapters.signing.timestamps import HttpTransport
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Pkcs12Key, SignatureOrder, Signed, Trust
from tests.tsa import Behaviour, Tsa, answers, basic, require_tool, running, stays_silent

REFUSAL = tsp.PKIStatusInfo(
    {"status": "rejection", "status_string": ["quota is used up"], "fail_info": {"system_failure"}}
).dump()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> DemoAuthority:
    return DemoAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def key(authority: DemoAuthority) -> Pkcs12Key:
    return authority.issue("phuong.nt", "Nguyễn Thị Phượng", "UBND huyện Bình Minh")


@pytest.fixture
def tsa(tmp_path: Path) -> Iterator[Tsa]:
    require_tool("openssl", "openssl")
    (tmp_path / "tsa").mkdir()
    with running(Tsa(tmp_path / "tsa")) as server:
        yield server


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    canvas = Canvas(str(tmp_path / "letter.pdf"))
    canvas.drawString(72, 720, "Official letter")
    canvas.save()
    return tmp_path / "letter.pdf"


def stamped(url: str, letter: Path, key: Pkcs12Key, trust: Trust | None = None) -> Signed:
    transport = HttpTransport(url, seconds=0.4, pause=0.01)
    signer = PadesSigner(transport=transport, trust=(lambda: trust) if trust else None)
    order = SignatureOrder("docflow_phuong.nt_2", Level.B_T, "Phê duyệt", datetime.now(UTC))
    return signer.sign(letter, letter.with_name("signed.pdf"), key=key, order=order)


def refused(tsa: Tsa, letter: Path, key: Pkcs12Key, *behaviours: Behaviour) -> SigningFailed:
    tsa.behaviours.extend(behaviours)
    with pytest.raises(SigningFailed) as failure:
        stamped(tsa.url, letter, key)
    assert sorted(path.name for path in letter.parent.iterdir() if path.is_file()) == ["letter.pdf"]
    return failure.value


def test_a_stamp_comes_from_the_authority_and_protects_as_long_as_its_certificate(
    tsa: Tsa, letter: Path, key: Pkcs12Key
) -> None:
    made = stamped(tsa.url, letter, key)

    assert made.level is Level.B_T
    assert timedelta(days=364) < made.protected_until - datetime.now(UTC) < timedelta(days=366)
    assert len(tsa.queries) == 1


def test_user_and_password_of_the_address_are_sent(tsa: Tsa, letter: Path, key: Pkcs12Key) -> None:
    stamped(tsa.url.replace("http://", "http://docflow:m%E1%BA%ADt@"), letter, key)

    assert tsa.authorizations == [basic("docflow", "mật")]


def test_without_an_authority_the_failure_names_the_setting(letter: Path, key: Pkcs12Key) -> None:
    order = SignatureOrder("f", Level.B_LT, "", datetime.now(UTC))

    with pytest.raises(SigningFailed, match="DOCFLOW_TSA_URL") as failure:
        PadesSigner().sign(letter, letter, key=key, order=order)

    assert failure.value.details["code"] == "tsa_missing"


@pytest.mark.parametrize("trouble", [answers(503), answers(429), stays_silent])
def test_what_may_pass_is_tried_again(tsa: Tsa, letter: Path, key: Pkcs12Key, trouble: Behaviour) -> None:
    tsa.behaviours.extend([trouble, trouble])

    assert stamped(tsa.url, letter, key).level is Level.B_T
    assert len(tsa.queries) == 3


@pytest.mark.parametrize("trouble", [answers(503), stays_silent])
def test_after_three_tries_it_is_told_that_the_authority_does_not_answer(
    tsa: Tsa, letter: Path, key: Pkcs12Key, trouble: Behaviour
) -> None:
    failure = refused(tsa, letter, key, trouble, trouble, trouble)

    assert (failure.details["code"], len(tsa.queries)) == ("tsa_unavailable", 3)
    assert "3 tries" in failure.message


def test_an_authority_that_is_down_is_told(tsa: Tsa, letter: Path, key: Pkcs12Key, free_tcp_port: int) -> None:
    with pytest.raises(SigningFailed, match="does not answer") as failure:
        stamped(f"http://user:geheim@127.0.0.1:{free_tcp_port}/", letter, key)

    assert failure.value.details["code"] == "tsa_unavailable"
    assert "geheim" not in f"{failure.value.message}{failure.value.__cause__}"


def test_a_refusal_is_told_in_its_own_words_and_not_repeated(tsa: Tsa, letter: Path, key: Pkcs12Key) -> None:
    reply = b"\x30" + bytes([len(REFUSAL)]) + REFUSAL

    failure = refused(tsa, letter, key, answers(200, reply))

    assert (failure.details["code"], len(tsa.queries)) == ("tsa_refused", 1)
    assert "quota is used up" in failure.message


def test_an_authority_that_wants_a_password_is_told(tsa: Tsa, letter: Path, key: Pkcs12Key) -> None:
    failure = refused(tsa, letter, key, answers(401))

    assert (failure.details["code"], len(tsa.queries)) == ("tsa_refused", 1)
    assert "user:password@" in failure.message


@pytest.mark.parametrize(
    "nonsense",
    [
        answers(200, b"not ASN.1 at all"),
        answers(200, b""),
        answers(200, b"<html>portal</html>", "text/html"),
        answers(200, b"\x30\x80" * 200),
        answers(200, b"\0" * (300 * 1024)),
        answers(404),
        answers(302),
    ],
)
def test_nonsense_is_refused(tsa: Tsa, letter: Path, key: Pkcs12Key, nonsense: Behaviour) -> None:
    failure = refused(tsa, letter, key, nonsense)

    assert (failure.details["code"], len(tsa.queries)) == ("tsa_bad_reply", 1)


def changed_query(**entries: object) -> Behaviour:
    """Stamps a question of its own making, as one who replays or mixes up answers does."""

    def behave(tsa: Tsa, query: bytes) -> tuple[int, str, bytes]:
        own = tsp.TimeStampReq.load(query)
        fields = {name: own[name] for name in ("version", "message_imprint", "nonce", "cert_req")}
        changed = tsp.TimeStampReq({name: value for name, value in {**fields, **entries}.items() if value is not None})
        return 200, "application/timestamp-reply", tsa.honest(changed.dump())

    return behave


def test_a_stamp_for_another_question_is_refused(tsa: Tsa, letter: Path, key: Pkcs12Key) -> None:
    assert "another question" in refused(tsa, letter, key, changed_query(nonce=4711)).message


def test_a_stamp_over_something_else_is_refused(tsa: Tsa, letter: Path, key: Pkcs12Key) -> None:
    imprint = tsp.MessageImprint({"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": b"\1" * 32})

    assert "something else" in refused(tsa, letter, key, changed_query(message_imprint=imprint)).message


def test_a_stamp_that_brings_no_certificate_is_refused(tsa: Tsa, letter: Path, key: Pkcs12Key) -> None:
    assert refused(tsa, letter, key, changed_query(cert_req=False)).details["code"] == "tsa_bad_reply"


def test_a_stamp_whose_signature_was_damaged_is_refused(tsa: Tsa, letter: Path, key: Pkcs12Key) -> None:
    def damaged(tsa: Tsa, query: bytes) -> tuple[int, str, bytes]:
        reply = tsa.honest(query)
        return 200, "application/timestamp-reply", reply[:-10] + bytes([reply[-10] ^ 1]) + reply[-9:]

    assert "does not hold" in refused(tsa, letter, key, damaged).message


def test_a_certificate_that_has_expired_is_refused(tmp_path: Path, letter: Path, key: Pkcs12Key) -> None:
    require_tool("openssl", "openssl")
    (tmp_path / "old").mkdir()
    with running(Tsa(tmp_path / "old", valid=timedelta(minutes=-1))) as old:
        assert "valid from" in refused(old, letter, key).message


def test_an_authority_that_nobody_believes_is_refused(
    tsa: Tsa, letter: Path, key: Pkcs12Key, authority: DemoAuthority
) -> None:
    own = authority.root_certificate.read_text()

    with pytest.raises(SigningFailed, match=r"trust\.yaml"):
        stamped(tsa.url, letter, key, Trust("t", (own,), (own,)))
    assert stamped(tsa.url, letter, key, Trust("u", (own,), (own, tsa.root))).level is Level.B_T
