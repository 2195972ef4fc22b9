"""An edXML message as its bytes, piece by piece: no attachment is held in memory."""

import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape

from docflow.adapters.edxml.read import ZONE
from docflow.domain.edxml import Attached, Business, EdxmlMessage, Organ, Reference

NAMESPACE = "http://www.mic.gov.vn/TBT/QCVN_102_2016"
REASONS = {
    Business.NEW: "Văn bản mới",
    Business.REVOKE: "Thu hồi văn bản",
    Business.UPDATE: "Cập nhật văn bản",
    Business.REPLACE: "Thay thế văn bản",
}
_LINE = 57 * 1024  # bytes that make whole base64 lines of 76 characters
_NOT_XML = re.compile("[^\t\n\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_message(message: EdxmlMessage, files: Sequence[Path], target: IO[bytes]) -> None:
    """``files`` are those of ``message.attachments``, in their order. Characters that XML cannot hold are left out."""
    _Writing(target).message(message, files)


class _Writing:
    def __init__(self, target: IO[bytes]) -> None:
        self._target = target

    def message(self, message: EdxmlMessage, files: Sequence[Path]) -> None:
        self._put(f'<?xml version="1.0" encoding="UTF-8"?>\n<edXML xmlns="{NAMESPACE}">\n')
        with self._within("edXMLEnvelope"):
            with self._within("edXMLHeader"):
                if message.status is not None:
                    self._status(message)
                else:
                    self._header(message)
                    self._traces(message)
            if message.attachments:
                with self._within("edXMLBody"), self._within("edXMLManifest"):
                    for number, attached in enumerate(message.attachments, 1):
                        with self._within("Reference"):
                            self._told(attached, number)
        if message.attachments:
            self._files(message.attachments, files)
        self._put("</edXML>\n")

    def _status(self, message: EdxmlMessage) -> None:
        assert message.status is not None, "asked by whoever calls"
        with self._within("MessageHeader"):
            self._organ("From", message.sender)
            for organ in message.recipients:
                self._organ("To", organ)
            for reference in message.answers:
                self._reference(reference)
            self._staff(message.staff)
            self._leaf("StatusCode", message.status.value)
            self._leaf("Description", message.status_text)
            self._leaf("Timestamp", _instant(message.at))

    def _header(self, message: EdxmlMessage) -> None:
        with self._within("MessageHeader"):
            self._organ("From", message.sender)
            for organ in message.recipients:
                self._organ("To", organ)
            self._leaf("DocumentId", message.document_id)
            self._group("Code", CodeNumber=message.number, CodeNotation=message.notation)
            self._group("PromulgationInfo", Place=message.place, PromulgationDate=_day(message.promulgated))
            self._group("DocumentType", Type=message.type_code, TypeName=message.type_name)
            self._leaf("Subject", message.subject)
            self._leaf("Content", message.content)
            self._group(
                "SignerInfo",
                Competence=message.signer_competence,
                Position=message.signer_position,
                FullName=message.signer,
            )
            self._leaf("DueDate", _day(message.due))
            self._other(message)
            for reference in message.answers:
                self._reference(reference)
            if message.to_places:
                with self._within("ToPlaces"):
                    for place in message.to_places:
                        self._leaf("Place", place)

    def _other(self, message: EdxmlMessage) -> None:
        self._group(
            "OtherInfo",
            Priority=message.priority,
            PromulgationAmount="" if message.copies is None else str(message.copies),
            PageAmount="" if message.pages is None else str(message.pages),
        )

    def _traces(self, message: EdxmlMessage) -> None:
        business = message.business if message.business is not None else Business.NEW
        with self._within("TraceHeaderList"):
            self._group("TraceHeader", OrganId=message.sender.organ_id, Timestamp=_instant(message.at))
            with self._within("Bussiness"):
                if business is not Business.REPLACE:
                    self._leaf("DocumentId", next(iter(message.concerns), ""))
                self._leaf("BussinessDocType", str(int(business)))
                self._leaf("BussinessDocReason", message.reason or REASONS[business])
                self._staff(message.staff)
                if business is Business.REPLACE and message.concerns:
                    self._replaced(message)

    def _replaced(self, message: EdxmlMessage) -> None:
        with self._within("ReplacementInfoList"):
            for document_id in message.concerns:
                with self._within("ReplacementInfo"):
                    self._leaf("DocumentId", document_id)
                    with self._within("OrganIdList"):
                        for organ in message.recipients:
                            self._leaf("OrganId", organ.organ_id)

    def _organ(self, name: str, organ: Organ) -> None:
        self._group(
            name,
            OrganId=organ.organ_id,
            OrganizationInCharge=organ.in_charge,
            OrganName=organ.name,
            OrganAdd=organ.address,
            Email=organ.email,
            Telephone=organ.telephone,
            Fax=organ.fax,
            Website=organ.website,
        )

    def _reference(self, reference: Reference) -> None:
        self._group(
            "ResponseFor",
            OrganId=reference.organ_id,
            Code=reference.code,
            PromulgationDate=_day(reference.promulgated),
            DocumentId=reference.document_id,
        )

    def _staff(self, name: str) -> None:
        if name:
            self._group("StaffInfo", Staff=name)

    def _files(self, attachments: Sequence[Attached], files: Sequence[Path]) -> None:
        with self._within("AttachmentEncoded"):
            for number, (attached, path) in enumerate(zip(attachments, files, strict=True), 1):
                with self._within("Attachment"):
                    self._told(attached, number)
                    with self._within("ContentTransferEncoded"):
                        self._encoded(path)

    def _told(self, attached: Attached, number: int) -> None:
        self._leaf("ContentId", f"cid:{number}")
        self._leaf("ContentType", attached.media_type)
        self._leaf("Description", attached.description)
        self._leaf("AttachmentName", attached.name)

    def _encoded(self, path: Path) -> None:
        with path.open("rb") as source:
            while piece := source.read(_LINE):
                self._target.write(base64.encodebytes(piece))

    @contextmanager
    def _within(self, name: str) -> Iterator[None]:
        self._put(f"<{name}>\n")
        yield
        self._put(f"</{name}>\n")

    def _group(self, name: str, **leaves: str) -> None:
        with self._within(name):
            for leaf, text in leaves.items():
                self._leaf(leaf, text)

    def _leaf(self, name: str, text: str) -> None:
        if text:
            self._put(f"<{name}>{_escaped(text)}</{name}>\n")

    def _put(self, text: str) -> None:
        self._target.write(text.encode())


def _escaped(text: str) -> str:
    return escape(_NOT_XML.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def _day(day: date | None) -> str:
    return f"{day.year:04}/{day.month:02}/{day.day:02}" if day else ""


def _instant(at: datetime | None) -> str:
    """On the wire times carry no zone: they are Vietnam's."""
    if at is None:
        return ""
    local = at.astimezone(ZONE)
    return f"{_day(local.date())} {local:%H:%M:%S}"
