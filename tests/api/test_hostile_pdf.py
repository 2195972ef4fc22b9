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


def test_the_signatures_of_a_hostile_pdf_are_answered_in_words(http: Http) -> None:
    document = http.post("vanthu1", "/documents", **form(HOSTILE)).json()

    answer = http.get("vanthu1", document["links"]["signatures"])

    assert answer.status_code == 200, answer.text
    (item,) = answer.json()["items"]
    assert item["signatures"] == []
    assert item["verdict"] in ("none", "failed")
    assert bool(item["reason"]) is (item["verdict"] == "failed")
