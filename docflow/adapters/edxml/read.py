"""What an edXML message says, from its tree. Damage refuses the whole message; oddities are read with a remark."""

import re
import unicodedata
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from docflow.adapters.edxml.tree import Node, read_tree, unreadable
from docflow.adapters.mail.decode import safe_media_type, safe_name
from docflow.domain.edxml import Attached, Business, EdxmlMessage, Organ, Reference, Status

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
"""Times on the wire carry no zone."""
HEADER = "edXMLEnvelope/edXMLHeader/MessageHeader"
TRACES = "edXMLEnvelope/edXMLHeader/TraceHeaderList"
MANIFEST = "edXMLEnvelope/edXMLBody/edXMLManifest/Reference"
ATTACHMENTS = "AttachmentEncoded/Attachment"
MOST_UNKNOWN, LONGEST_UNKNOWN = 100, 1000
_DATE = re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})|(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
_TIME = re.compile(r"[T ]\s*(\d{1,2}):(\d{2})(?::(\d{2}))?")
_NUMBER = re.compile(r"\d{1,6}")


class SafeEdxmlReader:
    """Implements ``ports.EdxmlReader``."""

    def read(self, raw: Path, into: Path) -> EdxmlMessage:
        root = read_tree(raw, into)
        header = root.first(HEADER)
        if root.name != "edXML" or not header.children:
            raise unreadable("not_edxml", "It is XML, but no edXML message: it has no message header.")
        return _Reading(root, header).message()


class _Reading:
    def __init__(self, root: Node, header: Node) -> None:
        self._root = root
        self._header = header
        self._traces = root.first(TRACES)
        self._odd: list[str] = []

    def message(self) -> EdxmlMessage:
        sender = _organ(self._header.first("From"))
        if not sender.organ_id:
            raise unreadable("incomplete", "It does not say who sent it: From has no OrganId.")
        answers = tuple(self._reference(node) for node in self._header.all("ResponseFor"))
        if self._header.value("StatusCode"):
            return self._status(sender, answers)
        document_id = self._text("DocumentId")
        if not document_id:
            raise unreadable("incomplete", "It does not say which document it is: there is no DocumentId.")
        return self._document(sender, document_id, answers)

    def _status(self, sender: Organ, answers: tuple[Reference, ...]) -> EdxmlMessage:
        about = next(iter(answers), Reference(""))
        document_id = about.document_id or self._text("DocumentId") or about.code
        if not document_id:
            raise unreadable("incomplete", "It does not say which document's status it tells.")
        return EdxmlMessage(
            sender=sender,
            recipients=self._recipients(),
            document_id=document_id,
            status=_status_code(self._header.value("StatusCode")),
            status_text=self._text("Description"),
            answers=answers,
            staff=self._header.value("StaffInfo/Staff"),
            at=self._instant(self._text("Timestamp"), "Timestamp"),
            odd=tuple(self._odd),
            unknown=self._unknown(),
        )

    def _document(self, sender: Organ, document_id: str, answers: tuple[Reference, ...]) -> EdxmlMessage:
        promulgated = self._date(self._text("PromulgationInfo/PromulgationDate"), "PromulgationDate")
        traces = self._traces
        _texts(traces, "Business/ReplacementInfoList/ReplacementInfo/OrganIdList/OrganId")
        for passed in traces.all("TraceHeader/OrganId"):
            passed.read = _nfc(passed.text) == sender.organ_id
        return EdxmlMessage(
            sender=sender,
            recipients=self._recipients(),
            document_id=document_id,
            business=self._business(),
            number=self._number_of_code(),
            notation=self._text("Code/CodeNotation"),
            place=self._text("PromulgationInfo/Place"),
            promulgated=promulgated,
            type_code=self._text("DocumentType/Type"),
            type_name=self._text("DocumentType/TypeName"),
            subject=self._text("Subject"),
            content=self._text("Content"),
            signer=self._text("SignerInfo/FullName"),
            signer_position=self._text("SignerInfo/Position"),
            signer_competence=self._text("SignerInfo/Competence"),
            due=self._due(promulgated),
            priority=self._text("OtherInfo/Priority"),
            pages=self._count("OtherInfo/PageAmount"),
            copies=self._count("OtherInfo/PromulgationAmount"),
            answers=answers,
            concerns=_once(traces, "Business/DocumentId", "Business/ReplacementInfoList/ReplacementInfo/DocumentId"),
            reason=_nfc(traces.value("Business/BusinessDocReason")),
            staff=_nfc(traces.value("Business/StaffInfo/Staff")),
            at=self._instant(traces.value("TraceHeader/Timestamp"), "TraceHeader/Timestamp"),
            to_places=tuple(_texts(self._header, "ToPlaces/Place")),
            attachments=self._attachments(),
            odd=tuple(self._odd),
            unknown=self._unknown(),
        )

    def _text(self, path: str) -> str:
        return _nfc(self._header.value(path))

    def _recipients(self) -> tuple[Organ, ...]:
        return tuple(_organ(node) for node in self._header.all("To"))

    def _business(self) -> Business:
        told = self._traces.value("Business/BusinessDocType")
        if not told:
            self._odd.append("it has no BussinessDocType and is taken for a new document")
            return Business.NEW
        return _business_kind(told)

    def _number_of_code(self) -> str:
        number = self._text("Code/CodeNumber")
        if number and not number.isdecimal():
            self._odd.append(f"CodeNumber '{number[:50]}' is no number")
        return number

    def _due(self, promulgated: date | None) -> date | None:
        due = self._date(self._text("DueDate"), "DueDate")
        if due is not None and promulgated is not None and due < promulgated:
            self._odd.append(f"DueDate {due} lies before the document's own date and does not count")
            return None
        return due

    def _reference(self, node: Node) -> Reference:
        code = _nfc(node.value("Code")) or "/".join(
            part for part in (_nfc(node.value("Code/CodeNumber")), _nfc(node.value("Code/CodeNotation"))) if part
        )
        day = self._date(node.value("PromulgationDate"), "ResponseFor/PromulgationDate")
        return Reference(_nfc(node.value("OrganId")), _nfc(node.value("DocumentId")), code, day)

    def _date(self, text: str, name: str) -> date | None:
        found = _DATE.match(text)
        if found is None:
            if text:
                self._odd.append(f"{name} '{text[:50]}' is no date")
            return None
        year, month, day = found.group(1, 2, 3) if found.group(1) else found.group(6, 5, 4)
        try:
            return date(int(year), int(month), int(day))
        except ValueError:
            self._odd.append(f"{name} '{text[:50]}' is no possible date")
            return None

    def _instant(self, text: str, name: str) -> datetime | None:
        day = self._date(text, name)
        clock = _TIME.search(text)
        if day is None:
            return None
        hours, minutes, seconds = (int(part or 0) for part in clock.groups()) if clock else (0, 0, 0)
        try:
            return datetime(day.year, day.month, day.day, hours, minutes, seconds, tzinfo=ZONE)
        except ValueError:
            self._odd.append(f"{name} '{text[:50]}' is no possible time")
            return None

    def _count(self, path: str) -> int | None:
        text = self._text(path)
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            self._odd.append(f"{path} '{text[:50]}' is no number")
            return None
        return int(text)

    def _attachments(self) -> tuple[Attached, ...]:
        """The manifest and the files must agree, or something is missing."""
        listed = self._root.all(MANIFEST)
        sent = self._root.all(ATTACHMENTS)
        if sorted(map(_content_id, listed)) != sorted(map(_content_id, sent)):
            raise unreadable(
                "incomplete", f"It lists {len(listed)} files and holds {len(sent)}, and they are not the same."
            )
        if len({_content_id(node) for node in sent}) != len(sent):
            raise unreadable("incomplete", "Two of its files have the same ContentId.")
        by_id = {_content_id(node): node for node in sent}
        return tuple(_attached(by_id[_content_id(node)], node, n) for n, node in enumerate(listed, 1))

    def _unknown(self) -> dict[str, str]:
        """What nothing above has asked for. Signatures stay with the raw message."""
        found: dict[str, str] = {}
        for path, node in self._root.walk():
            if node.text and not node.read and "/Signature" not in path and len(found) < MOST_UNKNOWN:
                short = path.removeprefix("edXMLEnvelope/edXMLHeader/")
                key = short if short not in found else f"{short}[{sum(k.startswith(short) for k in found) + 1}]"
                found[key] = _nfc(node.text)[:LONGEST_UNKNOWN]
        return found


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _organ(node: Node) -> Organ:
    names = {
        "organ_id": "OrganId",
        "name": "OrganName",
        "email": "Email",
        "in_charge": "OrganizationInCharge",
        "address": "OrganAdd",
        "telephone": "Telephone",
        "fax": "Fax",
        "website": "Website",
    }
    return Organ(**{field: _nfc(node.value(name)) for field, name in names.items()})


def _texts(node: Node, path: str) -> list[str]:
    found = node.all(path)
    for one in found:
        one.read = True
    return [_nfc(one.text) for one in found if one.text]


def _once(node: Node, *paths: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for path in paths for text in _texts(node, path)))


def _status_code(told: str) -> Status:
    try:
        return Status(told.zfill(2))
    except ValueError as error:
        raise unreadable("not_edxml", f"Its StatusCode is '{told[:20]}', which nobody knows.") from error


def _business_kind(told: str) -> Business:
    try:
        return Business(int(told))
    except ValueError as error:
        raise unreadable("not_edxml", f"Its BussinessDocType is '{told[:20]}', which nobody knows.") from error


def _content_id(node: Node) -> str:
    return node.value("ContentId").removeprefix("cid:") or node.value("AttachmentName")


def _attached(sent: Node, listed: Node, number: int) -> Attached:
    decoded = sent.first("ContentTransferEncoded").decoded
    if decoded is None or decoded.size == 0:
        raise unreadable("incomplete", "One of its files has no bytes.")
    told = {name: listed.value(name) or sent.value(name) for name in ("ContentType", "AttachmentName", "Description")}
    for name in told:
        sent.value(name)
    media_type = safe_media_type(told["ContentType"])
    name = safe_name(told["AttachmentName"], media_type, number)
    return Attached(name, media_type, decoded.file, decoded.size, decoded.sha256, _nfc(told["Description"]))
