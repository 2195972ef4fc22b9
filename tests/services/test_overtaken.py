import threading
from io import BytesIO
from uuid import UUID

from docflow.domain.lifecycle import State
from docflow.services import stages
from docflow.services.advance import take_step
from docflow.services.intake import Envelope, receive, take_in
from tests.conftest import District
from tests.services.test_cli import mail


def test_an_advance_that_is_overtaken_gives_its_number_back(district: District) -> None:
    container = district.container
    confirmed = b"Authentication-Results: mx.binhminh.example; dkim=pass header.d=snv.tinh.example\n"
    raw = BytesIO(confirmed + mail("Giấy phép", "q"))
    taken = take_in(container.intake_tools, raw, Envelope("api"))
    with container.sessions.begin() as session:
        document = receive(session, container.pictures, taken, district.asked(None)).document_id
    assert document is not None
    event = int(district.query("SELECT id FROM outbox WHERE topic = 'advance'")[0]["id"])
    entered = threading.Event()
    other = threading.Thread(target=_step, args=(district, document, event, entered))
    with container.sessions.begin() as first:
        asked = district.asked(None)
        step = stages.register_stage
        take_step(first, container.pictures, document, State.REGISTER, step, asked, event_id=event, worker="x")
        other.start()
        entered.wait(timeout=10)
        other.join(timeout=1)
    other.join()
    assert district.query("SELECT last_number FROM register_counter")[0]["last_number"] == 1
    assert [row["number"] for row in district.query("SELECT number FROM register_entry")] == [1]


def _step(district: District, document: UUID, event: int, entered: threading.Event) -> None:
    container = district.container
    with container.sessions.begin() as session:
        entered.set()
        asked = district.asked(None)
        step = stages.register_stage
        take_step(session, container.pictures, document, State.REGISTER, step, asked, event_id=event, worker="y")
