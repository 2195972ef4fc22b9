"""What is made of the reports on a file's signatures together."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from docflow.adapters.config_files import load
from docflow.adapters.signing.verdict import after_all, removed, unreadable
from docflow.domain.signing_settings import TrustAnchor
from docflow.services.signing_ports import SignatureReport
from docflow.services.trust import trust_of, until_of
from docflow.services.verification import is_stale, judged, plain

CONFIG = Path(__file__).parents[2] / "config"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def report(field: str, verdict: str = "trusted") -> SignatureReport:
    trusted = verdict == "trusted"
    return SignatureReport(
        field, "An", None, "PAdES B-B", True, trusted, False, "none", verdict, f"It is {verdict}.", "UBND"
    )


def test_a_file_is_worth_what_its_worst_signature_is() -> None:
    order = ["trusted", "untrusted", "changed", "broken"]
    for worst, verdict in enumerate(order):
        found = judged("key", [report(f"s{n}", v) for n, v in enumerate(order[: worst + 1])])
        assert (found.verdict, found.reason) == (verdict, f"It is {verdict}.")


def test_a_file_without_signatures_is_worth_nothing_and_says_so() -> None:
    assert judged("key", []).verdict == "none"


@pytest.mark.parametrize("verdict", ["changed", "broken"])
def test_what_spoils_a_later_signature_spoils_the_earlier_ones(verdict: str) -> None:
    person, agency = after_all([report("person"), report("seal", verdict)])

    assert (person.verdict, person.trusted, person.changes_after) == ("changed", False, "disallowed")
    assert "'seal'" in person.reason
    assert agency.verdict == verdict


def test_an_unknown_later_signer_spoils_nothing() -> None:
    assert [r.verdict for r in after_all([report("person"), report("seal", "untrusted")])] == ["trusted", "untrusted"]


def test_a_broken_earlier_signature_leaves_the_later_ones_as_they_are() -> None:
    assert [r.verdict for r in after_all([report("person", "broken"), report("seal")])] == ["broken", "trusted"]


def test_reports_without_a_signer_say_what_to_do() -> None:
    for one in (unreadable("a"), removed("a")):
        assert not one.trusted
        assert one.reason.endswith("send it again.")


def test_what_certificates_say_can_be_stored() -> None:
    odd = replace(report("a"), signer="An\0\ud800" + "x" * 5000)

    stored = plain(odd)["signer"]

    assert "\0" not in stored
    assert stored.encode()
    assert len(stored) == 2_000


def test_nobody_s_look_and_that_by_another_list_are_stale() -> None:
    assert is_stale(None, "key")


def test_the_day_that_ends_an_authority_goes_with_its_certificates() -> None:
    anchor = TrustAnchor(name="Root", certificates=PEM, until=date(2027, 5, 1))
    configuration = load(CONFIG)
    ended = configuration.model_copy(update={"trust": (anchor,)})
    open_ended = configuration.model_copy(update={"trust": (anchor.model_copy(update={"until": None}),)})

    trust = trust_of(ended, PEM)

    assert [until_of(text) for text in trust.signing] == [None, date(2027, 5, 1)]
    assert [until_of(text) for text in trust.timestamp] == [None, date(2027, 5, 1)]
    assert trust.key != trust_of(open_ended, PEM).key
