"""A PDF that would hang its reader is a file like any other: stored, kept, and read by nobody in this process."""

from time import monotonic

from tests.api.conftest import Http
from tests.api.test_bad_input import HOSTILE
from tests.api.test_documents import form


def test_a_hostile_pdf_is_stored_at_once_and_costs_the_api_nothing(http: Http) -> None:
    began = monotonic()
    answer = http.post("vanthu1", "/documents", **form(HOSTILE))
    assert answer.status_code == 201, answer.text
    assert monotonic() - began < 5
    signatures = http.get("vanthu1", answer.json()["links"]["signatures"])
    assert signatures.status_code in (200, 422)
