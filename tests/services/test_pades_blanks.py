"""Blanks for number and date: open after the person's signature, filled before the seal, closed for good by it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.generic import NameObject, pdf_string
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext
from reportlab.pdfgen.canvas import Canvas

from docflow.adapters.signing.blanks import add_blanks
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import Level
from docflow.services.signing_ports import Blank, Box
from tests.signing_office import DATE, FILLED, NUMBER, PERSON, SEAL, Office, open_office, pdfsig

VALID = "Signature is Valid."


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as opened:
        yield opened


@pytest.fixture
def signed(office: Office) -> Path:
    """By the person, with blanks for number and date."""
    return office.sign(office.letter(), blanks=(NUMBER, DATE))[0]


def fields(file: Path) -> dict[str, dict[str, Any]]:
    with file.open("rb") as stream:
        form = PdfFileReader(stream).root["/AcroForm"]["/Fields"]
        found = [ref.get_object() for ref in form]
        return {str(field["/T"]): {key: field.get(key) for key in ("/V", "/Ff")} for field in found}


def write_into(file: Path, field: str, text: str) -> None:
    """As any program that fills forms does."""
    with file.open("r+b") as stream:
        writer: Any = IncrementalPdfFileWriter(stream)
        found = next(f for f in (r.get_object() for r in writer.root["/AcroForm"]["/Fields"]) if f["/T"] == field)
        found[NameObject("/V")] = pdf_string(text)
        writer.update_container(found)
        writer.write_in_place()


@pytest.mark.parametrize("level", Level)
def test_the_person_s_signature_stays_good_when_blanks_are_filled_and_the_seal_is_added(
    office: Office, level: Level
) -> None:
    signed, _ = office.sign(office.letter(), blanks=(NUMBER, DATE), level=level)
    sealed, _ = office.seal(signed, level, filled=FILLED)

    reports = {report.field: report for report in office.verify(sealed)}
    assert {report.verdict for report in reports.values()} == {"trusted"}
    assert reports[PERSON].changes_after == "blanks"
    assert pdfsig(sealed) == [VALID, VALID]
    assert sealed.read_bytes().startswith(signed.read_bytes())


def test_the_library_s_own_rules_agree(office: Office, signed: Path) -> None:
    sealed, _ = office.seal(signed, filled=FILLED)

    with sealed.open("rb") as file:
        for signature in PdfFileReader(file).embedded_signatures:
            context = ValidationContext(trust_roots=list(load_certs_from_pemder_data(office.trust.signing[0].encode())))
            status = validate_pdf_signature(signature, context)
            assert status.bottom_line, status.pretty_print_details()


def test_filled_blanks_say_number_and_date_and_are_closed(office: Office, signed: Path) -> None:
    sealed, _ = office.seal(signed, filled=FILLED)

    assert fields(signed)[NUMBER.name] == {"/V": None, "/Ff": 0}
    filled = fields(sealed)
    assert [filled[name] for name, _ in FILLED] == [{"/V": text, "/Ff": 1} for _, text in FILLED]


def test_blanks_may_be_filled_before_somebody_seals_elsewhere(office: Office, signed: Path) -> None:
    numbered = signed.with_name("numbered.pdf")
    office.signer.fill(signed, numbered, FILLED)
    sealed, _ = office.seal(numbered)

    assert office.verdicts(numbered) == [(PERSON, "PAdES B-B", "trusted")]
    assert [verdict for _, _, verdict in office.verdicts(sealed)] == ["trusted", "trusted"]
    assert pdfsig(sealed) == [VALID, VALID]


def test_a_blank_that_is_changed_after_the_seal_spoils_the_seal(office: Office, signed: Path) -> None:
    sealed, _ = office.seal(signed, filled=FILLED)
    write_into(sealed, NUMBER.name, "16")

    assert "changed" in [verdict for _, _, verdict in office.verdicts(sealed)]


def test_a_blank_left_open_is_closed_by_the_seal(office: Office, signed: Path) -> None:
    sealed, _ = office.seal(signed, filled=FILLED[:1])
    write_into(sealed, DATE.name, "ngày 06 tháng 3 năm 2026")

    assert "changed" in [verdict for _, _, verdict in office.verdicts(sealed)]


def test_a_field_of_the_draft_stays_locked_while_blanks_are_open(office: Office) -> None:
    canvas = Canvas(str(office.folder / "form.pdf"), pageCompression=0)
    canvas.drawString(72, 720, "Pay")
    canvas.acroForm.textfield(name="amount", x=72, y=600, value="100")
    canvas.save()
    signed, _ = office.sign(office.folder / "form.pdf", blanks=(NUMBER,))
    write_into(signed, "amount", "900")

    assert office.verdicts(signed) == [(PERSON, "PAdES B-B", "changed")]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_blanks_on_a_turned_page_are_filled(office: Office, turn: int) -> None:
    canvas = Canvas(str(office.folder / "turned.pdf"), pageCompression=0)
    canvas.setPageRotation(turn)
    canvas.drawString(72, 720, "Turned")
    canvas.save()
    signed, _ = office.sign(office.folder / "turned.pdf", blanks=(NUMBER, DATE))
    sealed, _ = office.seal(signed, filled=FILLED)

    assert [verdict for _, _, verdict in office.verdicts(sealed)] == ["trusted", "trusted"]


def test_number_and_date_are_drawn_on_a_page_that_nobody_has_signed(office: Office) -> None:
    drawn = ((replace(NUMBER, name="docflow_blank_x"), "15"), (DATE, "ngày 05 tháng 3 năm 2026"))
    signed, _ = office.sign(office.letter(), drawn=drawn)
    sealed, _ = office.seal(signed)

    assert not [name for name in fields(signed) if name.startswith("docflow_blank_")]
    assert [verdict for _, _, verdict in office.verdicts(sealed)] == ["trusted", "trusted"]
    assert pdfsig(sealed) == [VALID, VALID]


def refused(office: Office, source: Path, why: str, **order: Any) -> None:
    before = sorted(office.folder.iterdir())
    with pytest.raises(SigningFailed, match=why):
        office.sign(source, **{"field": SEAL, **order})
    assert sorted(office.folder.iterdir()) == before


def test_a_blank_is_filled_once(office: Office, signed: Path) -> None:
    numbered = signed.with_name("numbered.pdf")
    office.signer.fill(signed, numbered, FILLED)

    refused(office, numbered, "filled already", filled=FILLED)
    with pytest.raises(SigningFailed, match="filled already"):
        office.signer.fill(numbered, signed.with_name("again.pdf"), FILLED)


def test_only_blanks_are_filled(office: Office, signed: Path) -> None:
    refused(office, signed, "no blank", filled=(("docflow_blank_other", "15"),))
    refused(office, signed, "no blank", filled=((PERSON, "15"),))


def test_nothing_is_drawn_or_left_open_once_somebody_has_signed(office: Office, signed: Path) -> None:
    more = replace(NUMBER, name="docflow_blank_more")
    refused(office, signed, "signed already and cannot be given blanks", blanks=(more,))
    refused(office, signed, "signed already and cannot be written on", drawn=((more, "15"),))


@pytest.mark.parametrize(
    ("blank", "why"),
    [
        (replace(NUMBER, name="amount"), "no name for a blank"),
        (Blank("docflow_blank_n", "number", Box(7, 0, 0, 10, 10)), "no page 7"),
        (Blank("docflow_blank_n", "number", Box(0, 0, 0, 10, 10)), "no page 0"),
    ],
)
def test_a_blank_that_cannot_be_made_is_refused(office: Office, blank: Blank, why: str) -> None:
    refused(office, office.letter(), why, blanks=(blank,))


def test_two_blanks_of_one_name_are_refused(office: Office) -> None:
    first = office.letter()
    with first.open("r+b") as stream:
        writer: Any = IncrementalPdfFileWriter(stream)
        add_blanks(writer, (NUMBER,))
        writer.write_in_place()

    refused(office, first, "holds a field", blanks=(NUMBER,))
