"""What tests of links and webhooks share: documents that were dispatched so, and what the carrier would do."""

import re
from typing import Any
from uuid import UUID

from docflow.bootstrap import Container
from docflow.domain.lifecycle import DeliveryState
from docflow.services import dispatch, portal
from docflow.services.carry import House
from docflow.services.parcels import parcels_of
from docflow.services.portal import LinkMail, Portal
from docflow.services.ports import OutgoingMail
from tests.conftest import District
from tests.moves import PDF, act, assigned

BY_LINK = {"name": "Công ty Bình Minh", "address": "giamdoc@binhminh.example", "channel": "portal"}
HOUSE = House("Ủy ban nhân dân huyện Bình Minh", "vanthu@uybandemo.example")


def sent_out(district: District, *recipients: dict[str, Any], pdf: bytes = PDF, **dispatched: Any) -> UUID:
    """A document with a file that was dispatched to these."""
    document = assigned(district, pdf=pdf, subject="Về việc thu hồi đất", number_symbol="15/QĐ-UBND")
    act(district, document, "ngansach2", "submit", proposal="Đã xử lý xong")
    act(district, document, "vanthu1", "dispatch", recipients=list(recipients), **dispatched)
    return document


def links(container: Container) -> Portal:
    return Portal(container.settings.base_url, container.address_key)


def delivery_of(district: District, document: UUID, kind: str = "document") -> Any:
    (row,) = district.query("SELECT * FROM delivery WHERE document_id = :d AND kind = :k", d=document, k=kind)
    return row


def befell(district: District, delivery: UUID) -> list[str]:
    rows = district.query("SELECT kind FROM delivery_event WHERE delivery_id = :d ORDER BY id", d=delivery)
    return [row["kind"] for row in rows]


def claimed(district: District) -> list[LinkMail]:
    container = district.container
    with container.sessions.begin() as session:
        ids = dispatch.claim_ids(session, ("portal",), "test", container.clock(), most=50)
        parcels = parcels_of(session, ids) if ids else []
        return portal.link_mails(session, links(container), parcels, container.clock())


def mailed(district: District) -> list[OutgoingMail]:
    """Carry everything that waits for the portal's mails, as the flow does."""
    container, mails = district.container, []
    for one in claimed(district):
        mails.append(portal.mail_of(one, HOUSE, links(container)))
        with container.sessions.begin() as session:
            if one.parcel.kind == "code":
                portal.settle_code(session, one.parcel, "test", DeliveryState.SENT, "250 ok", container.clock())
            else:
                asked = district.asked(None)
                sent = DeliveryState.SENT
                dispatch.settle(session, container.pictures, one.parcel, "test", sent, "250 ok", asked)
    return mails


def code_in(mail: OutgoingMail) -> str:
    found = re.search(r"^ {4}([0-9]{4} [0-9]{4})$", mail.body, re.MULTILINE)
    assert found is not None, mail.body
    return found[1]


def link_in(mail: OutgoingMail) -> str:
    found = re.search(r"^http\S+/portal/(\S+)$", mail.body, re.MULTILINE)
    assert found is not None, mail.body
    return found[1]
