"""edXML read and written: what we write reads back equal, oddities get a remark, damage refuses the whole message."""

import base64
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docflow.adapters.edxml.read import SafeEdxmlReader
from docflow.adapters.edxml.write import write_message
from docflow.domain.edxml import Attached, Business, EdxmlMessage, Organ, Reference, Status, is_news
from docflow.domain.errors import UnsupportedFile

NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
PDF = b"%PDF-1.4 made for a test"
HEADER = """
<From><OrganId>G09</OrganId><OrganName>So Noi vu</OrganName><Email>snv@tinh.example</Email></From>
<To><OrganId>H99.15</OrganId></To>
<DocumentId>G09,2026/03/02,15/QD-SNV</DocumentId>
<Code><CodeNumber>15</CodeNumber><CodeNotation>QD-SNV</CodeNotation></Code>
<PromulgationInfo><PromulgationDate>2026/03/02</PromulgationDate></PromulgationInfo>
<DocumentType><Type>2</Type><TypeName>Quyết định</TypeName></DocumentType>
<Subject>Về việc kiểm tra</Subject>
"""
NEW = "<Bussiness><BussinessDocType>0</BussinessDocType></Bussiness>"
REFERENCE = "<Reference><ContentId>cid:a</ContentId><AttachmentName>a.pdf</AttachmentName></Reference>"


def attachment(data: bytes | str = PDF, content_id: str = "cid:a") -> str:
    encoded = data if isinstance(data, str) else base64.encodebytes(data).decode()
    return (
        f"<Attachment><ContentId>{content_id}</ContentId><ContentType>application/pdf</ContentType>"
        f"<AttachmentName>a.pdf</AttachmentName><ContentTransferEncoded>{encoded}</ContentTransferEncoded></Attachment>"
    )


def wire(
    header: str = HEADER, traces: str = NEW, listed: str = REFERENCE, sent: str | None = None, before: str = ""
) -> str:
    body = f"<edXMLBody><edXMLManifest>{listed}</edXMLManifest></edXMLBody>" if listed else ""
    files = attachment() if sent is None else sent
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{before}<edXML xmlns="{NAMESPACE}"><edXMLEnvelope><edXMLHeader>'
        f"<MessageHeader>{header}</MessageHeader><TraceHeaderList>{traces}</TraceHeaderList></edXMLHeader>{body}"
        f"</edXMLEnvelope><AttachmentEncoded>{files}</AttachmentEncoded></edXML>"
    )


Read = Callable[[str | bytes], EdxmlMessage]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(text: str | bytes) -> EdxmlMessage:
        raw = tmp_path / "raw"
        raw.write_bytes(text.encode() if isinstance(text, str) else text)
        (tmp_path / "parts").mkdir(exist_ok=True)
        return SafeEdxmlReader().read(raw, tmp_path / "parts")

    return reading


def refused(read: Read, text: str | bytes) -> str:
    with pytest.raises(UnsupportedFile) as raised:
        read(text)
    return str(raised.value.details["reason"])


def test_a_new_document_is_read_with_its_files(read: Read, tmp_path: Path) -> None:
    message = read(wire())
    assert (message.business, message.status, message.sender.organ_id) == (Business.NEW, None, "G09")
    assert (message.number_symbol, message.promulgated) == ("15/QD-SNV", date(2026, 3, 2))
    assert (message.type_name, message.subject, message.odd) == ("Quyết định", "Về việc kiểm tra", ())
    (file,) = message.attachments
    assert (file.name, file.media_type, file.size) == ("a.pdf", "application/pdf", len(PDF))
    assert file.sha256 == sha256(PDF).hexdigest()
    assert (tmp_path / "parts" / file.file).read_bytes() == PDF


@pytest.mark.parametrize(
    "spelt",
    [
        lambda text: text.replace("Bussiness", "Business"),
        lambda text: text.replace(f' xmlns="{NAMESPACE}"', ""),
        lambda text: text.replace("</", "</x:").replace("<", "<x:").replace("<x:/x:", "</x:").replace("<x:?", "<?"),
    ],
    ids=["the amendment's spelling", "no namespace", "a prefix nobody declared"],
)
def test_the_same_is_read_however_it_is_spelt(read: Read, spelt: Callable[[str], str]) -> None:
    assert read(spelt(wire())) == read(wire())


def test_impossible_values_are_remarked_on_and_do_not_count(read: Read) -> None:
    header = HEADER.replace("2026/03/02</Prom", "2026/02/30</Prom").replace("<CodeNumber>15", "<CodeNumber>15bis")
    header += "<DueDate>soon</DueDate><OtherInfo><PageAmount>hai</PageAmount></OtherInfo>"
    message = read(wire(header))
    assert (message.promulgated, message.due, message.pages, message.number) == (None, None, None, "15bis")
    assert len(message.odd) == 4
    assert any("2026/02/30" in odd for odd in message.odd)


def test_a_due_date_before_the_documents_own_does_not_count(read: Read) -> None:
    message = read(wire(HEADER + "<DueDate>2026/03/01</DueDate>"))
    assert message.due is None
    assert "before" in message.odd[0]


def test_elements_nobody_expected_are_kept_by_their_path(read: Read) -> None:
    message = read(wire(HEADER + "<Mood><Colour>blue</Colour></Mood><Mood><Colour>red</Colour></Mood>"))
    assert message.unknown == {"MessageHeader/Mood/Colour": "blue", "MessageHeader/Mood/Colour[2]": "red"}


def test_a_status_tells_of_the_document_it_answers(read: Read) -> None:
    header = """<From><OrganId>H99.15</OrganId></From><StatusCode>3</StatusCode><Description>Đã vào sổ</Description>
      <ResponseFor><OrganId>G09</OrganId><Code>15/QD-SNV</Code><DocumentId>G09,1</DocumentId></ResponseFor>
      <Timestamp>2026/03/02 10:02:11</Timestamp>"""
    message = read(wire(header, traces="", listed="", sent=""))
    assert (message.status, message.business, message.document_id) == (Status.REGISTERED, None, "G09,1")
    assert message.at == datetime(2026, 3, 2, 3, 2, 11, tzinfo=UTC)
    assert message.answers == (Reference("G09", "G09,1", "15/QD-SNV"),)


REFUSED: dict[str, tuple[str, str | bytes]] = {
    "cut short": ("broken_xml", wire()[:-200]),
    "an element left open": ("broken_xml", wire().replace("</From>", "")),
    "bytes of no encoding": ("broken_xml", wire().encode().replace(b"UTF-8", b"x-none")),
    "not XML": ("broken_xml", b"%PDF-1.4"),
    "other XML": ("not_edxml", "<invoice><MessageHeader><From/></MessageHeader></invoice>"),
    "an unknown kind": ("not_edxml", wire(traces=NEW.replace(">0<", ">9<"))),
    "a kind that is no number": ("not_edxml", wire(traces=NEW.replace(">0<", ">new<"))),
    "an unknown status": ("not_edxml", wire(HEADER + "<StatusCode>77</StatusCode>")),
    "no sender": ("incomplete", wire(HEADER.replace("<OrganId>G09</OrganId>", ""))),
    "no DocumentId": ("incomplete", wire(HEADER.replace("DocumentId", "Other"))),
    "a listed file that is missing": ("incomplete", wire(sent="")),
    "a file that is not listed": ("incomplete", wire(listed="")),
    "another file than is listed": ("incomplete", wire(sent=attachment(content_id="cid:b"))),
    "two files of one id": ("incomplete", wire(listed=REFERENCE * 2, sent=attachment() * 2)),
    "a file without bytes": ("incomplete", wire(sent=attachment(b""))),
    "damaged base64": ("bad_attachment", wire(sent=attachment("JVBERi0xLjQ$"))),
    "base64 that breaks off": ("bad_attachment", wire(sent=attachment("JVBERi0xLjQ"))),
    "base64 that goes on after its end": ("bad_attachment", wire(sent=attachment("JVBERg==JVBE"))),
    "letters that are no base64": ("bad_attachment", wire(sent=attachment("tệp"))),
    "elements within a file": ("bad_attachment", wire(sent=attachment("<b>JVBE</b>"))),
    "a document type": ("hostile_xml", wire(before="<!DOCTYPE edXML SYSTEM 'http://127.0.0.1:9/x.dtd'>")),
    "entities": ("hostile_xml", wire(before='<!DOCTYPE edXML [<!ENTITY a "aaaa">]>')),
    "a thousand levels": ("hostile_xml", wire(HEADER + "<a>" * 1000 + "</a>" * 1000)),
    "too many elements": ("hostile_xml", wire(HEADER + "<a/>" * 30_000)),
    "too many files": ("hostile_xml", wire(sent=attachment() * 300)),
    "a tag without an end": ("hostile_xml", wire(before="<!--" + "x" * 3_000_000 + "-->")),
    "a novel in the subject": ("hostile_xml", wire(HEADER + f"<Content>{'x' * 3_000_000}</Content>")),
}


@pytest.mark.parametrize(("reason", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_damage_refuses_the_whole_message(read: Read, reason: str, text: str | bytes) -> None:
    assert refused(read, text) == reason


def test_a_file_name_cannot_lead_out_of_its_folder(read: Read) -> None:
    message = read(wire(listed=REFERENCE.replace("a.pdf", "../../etc/passwd")))
    assert message.attachments[0].name == "passwd"


def test_a_large_file_costs_little_memory(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(range(256)) * 10_000)
    (tmp_path / "parts").mkdir()
    file = Attached("a.bin", "application/octet-stream", "001", 2_560_000, "")
    message = EdxmlMessage(Organ("G09"), (), "G09,1", business=Business.NEW, attachments=(file,))
    tracemalloc.start()
    try:
        with (tmp_path / "raw").open("wb") as target:
            write_message(message, [tmp_path / "large"], target)
        found = SafeEdxmlReader().read(tmp_path / "raw", tmp_path / "parts")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "parts" / found.attachments[0].file).read_bytes() == (tmp_path / "large").read_bytes()
    assert peak < 1_000_000


# -- what we write reads back equal ---------------------------------------------------------------------------------

LETTERS = st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"))
TEXT = st.text(LETTERS, max_size=30).map(lambda text: " ".join(text.split()))
NFC = TEXT.map(lambda text: normalize("NFC", text))
WORDS = NFC.filter(bool)
DAYS = st.dates(date(1000, 1, 1))
INSTANTS = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
ORGANS = st.builds(Organ, WORDS, NFC, NFC, NFC, NFC, NFC, NFC, NFC)
REFERENCES = st.builds(Reference, WORDS, WORDS, NFC, st.none() | DAYS)
COUNTS = st.none() | st.integers(0, 999_999)


@st.composite
def documents(draw: st.DrawFn) -> EdxmlMessage:
    business = draw(st.sampled_from(Business))
    first = draw(DAYS)
    return EdxmlMessage(
        sender=draw(ORGANS),
        recipients=tuple(draw(st.lists(ORGANS, max_size=3))),
        document_id=draw(WORDS),
        business=business,
        number=draw(st.just("") | st.integers(1, 9999).map(str)),
        notation=draw(NFC),
        place=draw(NFC),
        promulgated=first,
        type_code=draw(NFC),
        type_name=draw(NFC),
        subject=draw(NFC),
        content=draw(NFC),
        signer=draw(NFC),
        signer_position=draw(NFC),
        signer_competence=draw(NFC),
        due=draw(st.none() | st.dates(first)),
        priority=draw(NFC),
        pages=draw(COUNTS),
        copies=draw(COUNTS),
        answers=tuple(draw(st.lists(REFERENCES, max_size=2))),
        concerns=tuple(draw(st.lists(WORDS, max_size=3 if business is Business.REPLACE else 1, unique=True))),
        reason=draw(WORDS),
        staff=draw(NFC),
        at=draw(st.none() | INSTANTS),
        to_places=tuple(draw(st.lists(WORDS, max_size=3))),
    )


@st.composite
def statuses(draw: st.DrawFn) -> EdxmlMessage:
    about = draw(REFERENCES)
    return EdxmlMessage(
        sender=draw(ORGANS),
        recipients=tuple(draw(st.lists(ORGANS, max_size=2))),
        document_id=about.document_id,
        status=draw(st.sampled_from(Status)),
        status_text=draw(NFC),
        answers=(about, *draw(st.lists(REFERENCES, max_size=1))),
        staff=draw(NFC),
        at=draw(st.none() | INSTANTS),
    )


@given(message=documents() | statuses(), files=st.lists(st.binary(min_size=1, max_size=200), max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_we_write_we_read_back_equal(message: EdxmlMessage, files: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        paths, attached = [], []
        for number, data in enumerate(files if message.status is None else [], 1):
            paths.append(Path(folder) / f"file{number}")
            paths[-1].write_bytes(data)
            digest = sha256(data).hexdigest()
            attached.append(Attached(f"{number}.pdf", "application/pdf", f"{number:03}", len(data), digest, "tệp"))
        sent = replace(message, attachments=tuple(attached))
        (Path(folder) / "parts").mkdir()
        with (Path(folder) / "raw").open("wb") as target:
            write_message(sent, paths, target)
        read_back = SafeEdxmlReader().read(Path(folder) / "raw", Path(folder) / "parts")
        decoded = [(Path(folder) / "parts" / a.file).read_bytes() for a in read_back.attachments]
    assert read_back == sent
    assert read_back.content_key == sent.content_key
    assert decoded == (files if message.status is None else [])


def test_what_xml_cannot_hold_is_left_out(read: Read, tmp_path: Path) -> None:
    message = EdxmlMessage(Organ("G09"), (), "G09,1", business=Business.NEW, subject="a\x0bb\r\nc\ud800<&>", reason="r")
    with (tmp_path / "raw").open("wb") as target:
        write_message(message, [], target)
    assert read((tmp_path / "raw").read_bytes()).subject == "ab\nc<&>"


def test_what_tells_messages_apart_is_id_sender_and_kind() -> None:
    new = EdxmlMessage(Organ("G09"), (), "G09,1", business=Business.NEW, subject="a")
    others: list[dict[str, Any]] = [
        {"business": Business.REVOKE},
        {"sender": Organ("G10")},
        {"document_id": "G09,2"},
        {"business": None, "status": Status.ARRIVED},
        {"business": None, "status": Status.REGISTERED},
        {"business": None, "status": Status.REGISTERED, "at": datetime(2026, 3, 2, tzinfo=UTC)},
    ]
    keys = {new.content_key, *(replace(new, **other).content_key for other in others)}
    assert len(keys) == len(others) + 1
    assert replace(new, subject="b", sender=Organ("g09")).content_key == new.content_key


@pytest.mark.parametrize(
    ("known", "told", "news"),
    [("", "01", True), ("01", "03", True), ("04", "03", False), ("06", "06", False), ("06", "02", True)],
)
def test_a_status_that_was_overtaken_is_no_news(known: str, told: str, news: bool) -> None:
    assert is_news(known, Status(told)) is news
