"""Forgeries of signatures and of the catalogue, by an incremental update."""

from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import (
    ArrayObject,
    NameObject,
    NullObject,
    NumberObject,
    StreamObject,
    pdf_name,
    pdf_string,
)

from tests.tampering.base import Base, Forgery, Office, signed_by, updated
from tests.tampering.updates import FALSE, Change, Writer, box, drawing, form, note, plain, signature_field

SIGNATURES: dict[str, Forgery] = {}


def _update(change: Change) -> Change:
    """Registers a change under its name, read as words."""
    SIGNATURES[change.__name__.replace("_", " ")] = by_update(change)
    return change


def by_update(change: Change) -> Forgery:
    return lambda base, office: updated(base.data, change)


# -- signatures -----------------------------------------------------------------------------------------------------


@_update
def a_signature_is_emptied(w: Writer) -> None:
    del signature_field(w)["/V"]


@_update
def a_signature_is_null(w: Writer) -> None:
    signature_field(w)["/V"] = NullObject()


@_update
def a_signature_field_is_taken_out(w: Writer) -> None:
    whole, name = form(w), signature_field(w)["/T"]
    whole["/Fields"] = ArrayObject(r for r in whole["/Fields"] if r.get_object()["/T"] != name)


@_update
def all_form_fields_are_taken_out(w: Writer) -> None:
    w.root["/AcroForm"] = plain(Fields=ArrayObject())
    w.update_root()


@_update
def the_form_is_taken_out(w: Writer) -> None:
    del w.root["/AcroForm"]
    w.update_root()


@_update
def a_signature_field_is_renamed(w: Writer) -> None:
    signature_field(w)["/T"] = pdf_string("Minister")


@_update
def a_signature_field_covers_the_page(w: Writer) -> None:
    field = signature_field(w)
    field["/Rect"] = box(0, 0, 600, 800)
    field["/AP"] = plain(N=drawing(w))


@_update
def a_signature_looks_different(w: Writer) -> None:
    signature_field(w)["/AP"] = plain(N=drawing(w))


@_update
def a_signature_field_without_signature_is_drawn_over_the_page(w: Writer) -> None:
    laid = note(w, "Widget", FT=pdf_name("/Sig"), T=pdf_string("Later"), AP=plain(N=drawing(w)))
    form(w)["/Fields"].append(laid)


@_update
def a_signature_field_with_a_picture_below_it_is_drawn(w: Writer) -> None:
    kid = w.add_object(plain(Subtype=pdf_name("/Widget"), Rect=box(0, 0, 600, 800), AP=plain(N=drawing(w))))
    field = plain(FT=pdf_name("/Sig"), T=pdf_string("Later"), Kids=ArrayObject([kid]))
    w.register_annotation(w.find_page_for_modification(0)[0], kid)
    form(w)["/Fields"].append(w.add_object(field))


@_update
def a_field_with_a_made_up_signature_is_drawn(w: Writer) -> None:
    value = w.add_object(plain(Type=pdf_name("/Sig"), Filter=pdf_name("/Adobe.PPKLite")))
    laid = note(w, "Widget", FT=pdf_name("/Sig"), T=pdf_string("Later"), V=value, AP=plain(N=drawing(w)))
    form(w)["/Fields"].append(laid)


@_update
def a_second_field_shows_the_same_signature(w: Writer) -> None:
    value = signature_field(w).raw_get("/V")
    field = plain(FT=pdf_name("/Sig"), T=pdf_string("Copy"), V=value)
    form(w)["/Fields"].append(w.add_object(field))


def _value_without(*keys: str, **instead: Any) -> Change:
    def change(w: Writer) -> None:
        value = signature_field(w)["/V"]
        for key in keys:
            del value[f"/{key}"]
        for key, one in instead.items():
            value[pdf_name(f"/{key}")] = one
        w.update_container(value)

    return change


_USF: dict[str, Change] = {
    "a signature loses its byte ranges": _value_without("ByteRange"),
    "a signature has null for byte ranges": _value_without(ByteRange=NullObject()),
    "a signature has no byte ranges in the list": _value_without(ByteRange=ArrayObject()),
    "a signature has byte ranges below nothing": _value_without(
        ByteRange=ArrayObject(NumberObject(n) for n in (0, -1, -1, 5))
    ),
    "a signature loses its value": _value_without("Contents"),
    "a signature has null for a value": _value_without(Contents=NullObject()),
    "a signature has nothing for a value": _value_without(Contents=pdf_string("")),
    "a signature has zeros for a value": _value_without(Contents=generic.ByteStringObject(b"\0" * 8)),
    "a signature is of a kind nobody knows": _value_without(SubFilter=pdf_name("/x.y.z")),
    "a signature gives another time": _value_without(M=pdf_string("D:20200101000000Z")),
    "a signature becomes a time stamp": _value_without(Type=pdf_name("/DocTimeStamp")),
}
SIGNATURES |= {name: by_update(change) for name, change in _USF.items()}


def _signs_over(base: Base, office: Office) -> bytes:
    return signed_by(office.forger, base.data, "Later", box=(60, 700, 300, 740))


def _puts_own_in_its_place(base: Base, office: Office) -> bytes:
    def empty(w: Writer) -> None:
        del signature_field(w)["/V"]

    field = updated(base.data, empty)
    return signed_by(office.forger, field, base.field)


SIGNATURES["a stranger signs over the text"] = _signs_over
SIGNATURES["a stranger of the same name puts his signature in its place"] = _puts_own_in_its_place


# -- the catalogue --------------------------------------------------------------------------------------------------


def _catalogue(**entries: Any) -> Change:
    def change(w: Writer) -> None:
        for key, value in entries.items():
            w.root[NameObject(f"/{key}")] = value
        w.update_root()

    return change


_SCRIPT = plain(S=pdf_name("/JavaScript"), JS=pdf_string("app.alert('x')"))
_CATALOGUE: dict[str, Change] = {
    "the file runs a script when opened": _catalogue(OpenAction=_SCRIPT),
    "the file runs a script when printed": _catalogue(AA=plain(WP=_SCRIPT)),
    "the file gets named scripts": _catalogue(Names=plain(JavaScript=plain(Names=ArrayObject()))),
    "the file gets layers": _catalogue(OCProperties=plain(OCGs=ArrayObject(), D=plain())),
    "the file gets a structure of its own": _catalogue(StructTreeRoot=plain(Type=pdf_name("/StructTreeRoot"))),
    "the file opens elsewhere": _catalogue(PageMode=pdf_name("/UseAttachments")),
    "the file says who may change it": _catalogue(Perms=plain()),
    "the proof of signatures holds what it may not": _catalogue(DSS=plain(Evil=pdf_string("x"))),
    "the proof of signatures is no dictionary": _catalogue(DSS=pdf_string("x")),
}
SIGNATURES |= {name: by_update(change) for name, change in _CATALOGUE.items()}


@_update
def the_catalogue_leads_to_other_pages(w: Writer) -> None:
    page = plain(
        Type=pdf_name("/Page"),
        MediaBox=box(0, 0, 600, 800),
        Contents=w.add_object(StreamObject(stream_data=FALSE)),
    )
    ref = w.add_object(page)
    pages = plain(Type=pdf_name("/Pages"), Kids=ArrayObject([ref]), Count=NumberObject(1))
    w.root["/Pages"] = w.add_object(pages)
    w.update_root()
