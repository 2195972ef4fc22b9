"""Forgeries by an incremental update: every byte that was signed is still there, and something else is shown."""

from collections.abc import Callable
from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import (
    ArrayObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NullObject,
    NumberObject,
    StreamObject,
    pdf_name,
    pdf_string,
)
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from tests.tampering.base import Base, Forgery, Office, signed_by, updated

Writer = IncrementalPdfFileWriter
Change = Callable[[Writer], object]
UPDATES: dict[str, Forgery] = {}

FALSE = b"BT /F1 12 Tf 72 720 Td (Pay 999 to me.) Tj ET"


def _update(change: Change) -> Change:
    """Registers a change under its name, read as words."""
    UPDATES[change.__name__.strip("_").replace("_", " ")] = lambda base, office: updated(base.data, change)
    return change


def _dict(**entries: Any) -> DictionaryObject:
    return DictionaryObject({pdf_name(f"/{key}"): value for key, value in entries.items()})


def _box(*numbers: int) -> ArrayObject:
    return ArrayObject(FloatObject(n) for n in numbers)


def _page(w: Writer, number: int = 0) -> DictionaryObject:
    page = w.find_page_for_modification(number)[0].get_object()
    w.update_container(page)
    return page


def _field(w: Writer, name: str) -> DictionaryObject:
    for ref in w.root["/AcroForm"]["/Fields"]:
        field = ref.get_object()
        if field["/T"] == name:
            w.update_container(field)
            return field
    raise AssertionError(f"no field {name}")


def _signature_field(w: Writer) -> DictionaryObject:
    """The last one that holds a signature."""
    fields = [ref.get_object() for ref in w.root["/AcroForm"]["/Fields"]]
    field = [f for f in fields if f.get("/FT") == "/Sig" and "/V" in f][-1]
    w.update_container(field)
    return field


def _form(w: Writer) -> DictionaryObject:
    form = w.root["/AcroForm"]
    w.update_container(form)
    return form


def _drawing(w: Writer, code: bytes = FALSE, **more: Any) -> Any:
    entries = _dict(Type=pdf_name("/XObject"), Subtype=pdf_name("/Form"), BBox=_box(0, 0, 600, 800), **more)
    return w.add_object(StreamObject(entries, stream_data=code))


def _note(w: Writer, kind: str, **more: Any) -> Any:
    """An annotation laid over the first page."""
    note = _dict(Type=pdf_name("/Annot"), Subtype=pdf_name(f"/{kind}"), Rect=_box(60, 700, 300, 740), **more)
    ref = w.add_object(note)
    w.register_annotation(w.find_page_for_modification(0)[0], ref)
    return ref


def _override(w: Writer, ref: Any, stream: StreamObject) -> None:
    w.objects[(ref.generation, ref.idnum)] = stream
    stream.container_ref = generic.Reference(ref.idnum, ref.generation, w)


# -- pages ----------------------------------------------------------------------------------------------------------


@_update
def a_page_is_added(w: Writer) -> None:
    page = DictionaryObject(dict(_page(w).items()))
    page["/Parent"] = w.root.raw_get("/Pages")
    pages = w.root["/Pages"]
    pages["/Kids"].append(w.add_object(page))
    pages["/Count"] = NumberObject(3)
    w.update_container(pages)


@_update
def a_page_is_taken_out(w: Writer) -> None:
    pages = w.root["/Pages"]
    del pages["/Kids"][1]
    pages["/Count"] = NumberObject(1)
    w.update_container(pages)


@_update
def pages_change_places(w: Writer) -> None:
    pages = w.root["/Pages"]
    kids = pages["/Kids"]
    kids[0], kids[1] = kids.raw_get(1), kids.raw_get(0)
    w.update_container(pages)


@_update
def text_is_drawn_over_a_page(w: Writer) -> None:
    w.add_stream_to_page(0, w.add_object(StreamObject(stream_data=FALSE)))


@_update
def a_page_is_given_other_contents(w: Writer) -> None:
    _page(w)["/Contents"] = w.add_object(StreamObject(stream_data=FALSE))


@_update
def the_contents_of_a_page_are_overwritten(w: Writer) -> None:
    _override(w, _page(w).raw_get("/Contents"), StreamObject(stream_data=FALSE))


@_update
def a_font_is_overwritten(w: Writer) -> None:
    font = _page(w)["/Resources"]["/Font"]["/F1"]
    font["/BaseFont"] = pdf_name("/Symbol")
    w.update_container(font)


@_update
def a_page_is_given_other_resources(w: Writer) -> None:
    _page(w)["/Resources"] = _dict(Font=_dict(F1=_dict(Type=pdf_name("/Font"), BaseFont=pdf_name("/Symbol"))))


@_update
def a_picture_is_overwritten(w: Writer) -> None:
    pictures = _page(w)["/Resources"]["/XObject"]
    ref = pictures.raw_get(next(iter(pictures)))
    entries = _dict(Type=pdf_name("/XObject"), Subtype=pdf_name("/Image"), Width=NumberObject(1))
    _override(w, ref, StreamObject(entries, stream_data=b"\0"))


@_update
def a_page_is_cut(w: Writer) -> None:
    _page(w)["/CropBox"] = _box(0, 0, 100, 100)


@_update
def a_page_is_moved_under_its_frame(w: Writer) -> None:
    _page(w)["/MediaBox"] = _box(300, 300, 600, 600)


@_update
def a_page_is_turned(w: Writer) -> None:
    _page(w)["/Rotate"] = NumberObject(180)


@_update
def a_page_is_measured_in_other_units(w: Writer) -> None:
    _page(w)["/UserUnit"] = NumberObject(10)


@_update
def a_page_runs_a_script_when_shown(w: Writer) -> None:
    _page(w)["/AA"] = _dict(O=_dict(S=pdf_name("/JavaScript"), JS=pdf_string("app.alert('x')")))


# -- what lies over pages -------------------------------------------------------------------------------------------


@_update
def free_text_is_laid_over_a_page(w: Writer) -> None:
    _note(w, "FreeText", Contents=pdf_string("Pay 999"), DA=pdf_string("/Helv 12 Tf"))


@_update
def a_redaction_hides_text(w: Writer) -> None:
    _note(w, "Redact", IC=_box(1, 1, 1), OverlayText=pdf_string("Pay 999"))


@_update
def a_rubber_stamp_is_laid_over_a_page(w: Writer) -> None:
    _note(w, "Stamp", AP=_dict(N=_drawing(w)))


@_update
def a_white_square_hides_text(w: Writer) -> None:
    _note(w, "Square", IC=_box(1, 1, 1), C=_box(1, 1, 1))


@_update
def a_remark_is_added(w: Writer) -> None:
    _note(w, "Text", Contents=pdf_string("void"))


@_update
def a_highlight_is_added(w: Writer) -> None:
    _note(w, "Highlight", QuadPoints=_box(60, 700, 300, 700, 60, 740, 300, 740))


@_update
def ink_is_drawn_over_a_page(w: Writer) -> None:
    _note(w, "Ink", InkList=ArrayObject([_box(60, 700, 300, 740)]))


@_update
def a_file_is_pinned_to_a_page(w: Writer) -> None:
    _note(w, "FileAttachment", FS=_dict(Type=pdf_name("/Filespec"), F=pdf_string("evil.exe")))


@_update
def a_button_is_laid_over_a_page(w: Writer) -> None:
    _note(w, "Widget", FT=pdf_name("/Btn"), Ff=NumberObject(65536), AP=_dict(N=_drawing(w)))


@_update
def a_watermark_is_laid_over_a_page(w: Writer) -> None:
    _note(w, "Watermark", AP=_dict(N=_drawing(w)))


@_update
def a_link_leads_elsewhere(w: Writer) -> None:
    link = next(note for ref in _page(w)["/Annots"] if (note := ref.get_object())["/Subtype"] == "/Link")
    link["/A"] = _dict(S=pdf_name("/URI"), URI=pdf_string("https://evil.example/"))
    w.update_container(link)


@_update
def a_link_is_taken_off(w: Writer) -> None:
    page = _page(w)
    kept = [ref for ref in page["/Annots"] if ref.get_object()["/Subtype"] != "/Link"]
    page["/Annots"] = ArrayObject(kept)


# -- form fields ----------------------------------------------------------------------------------------------------


@_update
def a_field_is_filled_with_another_value(w: Writer) -> None:
    field = _field(w, "amount")
    field["/V"] = pdf_string("999")
    field["/AP"] = _dict(N=_drawing(w))


@_update
def a_field_says_another_value_than_it_shows(w: Writer) -> None:
    _field(w, "amount")["/V"] = pdf_string("999")


@_update
def a_field_shows_another_value_than_it_says(w: Writer) -> None:
    _field(w, "amount")["/AP"] = _dict(N=_drawing(w))


@_update
def the_look_of_a_field_is_overwritten(w: Writer) -> None:
    look = _field(w, "amount")["/AP"].raw_get("/N")
    entries = _dict(Subtype=pdf_name("/Form"), BBox=_box(0, 0, 200, 40))
    _override(w, look, StreamObject(entries, stream_data=FALSE))


@_update
def a_field_is_hidden(w: Writer) -> None:
    _field(w, "amount")["/F"] = NumberObject(2)


@_update
def a_field_is_moved(w: Writer) -> None:
    _field(w, "amount")["/Rect"] = _box(60, 700, 300, 740)


@_update
def a_field_runs_a_script(w: Writer) -> None:
    _field(w, "amount")["/AA"] = _dict(C=_dict(S=pdf_name("/JavaScript"), JS=pdf_string("event.value='999'")))


@_update
def a_field_is_added(w: Writer) -> None:
    note = _note(w, "Widget", FT=pdf_name("/Tx"), T=pdf_string("more"), V=pdf_string("999"))
    _form(w)["/Fields"].append(note)


@_update
def a_blank_is_added(w: Writer) -> None:
    note = _note(w, "Widget", FT=pdf_name("/Tx"), T=pdf_string("docflow_blank_number"), AP=_dict(N=_drawing(w)))
    _form(w)["/Fields"].append(note)


@_update
def a_field_is_taken_out(w: Writer) -> None:
    form = _form(w)
    form["/Fields"] = ArrayObject(r for r in form["/Fields"] if r.get_object()["/T"] != "amount")


@_update
def programs_are_told_to_draw_fields_anew(w: Writer) -> None:
    _form(w)["/NeedAppearances"] = generic.BooleanObject(True)


@_update
def a_second_form_is_put_in(w: Writer) -> None:
    _form(w)["/XFA"] = w.add_object(StreamObject(stream_data=b"<xdp/>"))


# -- signatures -----------------------------------------------------------------------------------------------------


@_update
def a_signature_is_emptied(w: Writer) -> None:
    del _signature_field(w)["/V"]


@_update
def a_signature_is_null(w: Writer) -> None:
    _signature_field(w)["/V"] = NullObject()


@_update
def a_signature_field_is_taken_out(w: Writer) -> None:
    form, name = _form(w), _signature_field(w)["/T"]
    form["/Fields"] = ArrayObject(r for r in form["/Fields"] if r.get_object()["/T"] != name)


@_update
def all_form_fields_are_taken_out(w: Writer) -> None:
    w.root["/AcroForm"] = _dict(Fields=ArrayObject())
    w.update_root()


@_update
def the_form_is_taken_out(w: Writer) -> None:
    del w.root["/AcroForm"]
    w.update_root()


@_update
def a_signature_field_is_renamed(w: Writer) -> None:
    _signature_field(w)["/T"] = pdf_string("Minister")


@_update
def a_signature_field_covers_the_page(w: Writer) -> None:
    field = _signature_field(w)
    field["/Rect"] = _box(0, 0, 600, 800)
    field["/AP"] = _dict(N=_drawing(w))


@_update
def a_signature_looks_different(w: Writer) -> None:
    _signature_field(w)["/AP"] = _dict(N=_drawing(w))


@_update
def a_signature_field_without_signature_is_drawn_over_the_page(w: Writer) -> None:
    note = _note(w, "Widget", FT=pdf_name("/Sig"), T=pdf_string("Later"), AP=_dict(N=_drawing(w)))
    _form(w)["/Fields"].append(note)


@_update
def a_signature_field_with_a_picture_below_it_is_drawn(w: Writer) -> None:
    kid = w.add_object(_dict(Subtype=pdf_name("/Widget"), Rect=_box(0, 0, 600, 800), AP=_dict(N=_drawing(w))))
    field = _dict(FT=pdf_name("/Sig"), T=pdf_string("Later"), Kids=ArrayObject([kid]))
    w.register_annotation(w.find_page_for_modification(0)[0], kid)
    _form(w)["/Fields"].append(w.add_object(field))


@_update
def a_field_with_a_made_up_signature_is_drawn(w: Writer) -> None:
    value = w.add_object(_dict(Type=pdf_name("/Sig"), Filter=pdf_name("/Adobe.PPKLite")))
    note = _note(w, "Widget", FT=pdf_name("/Sig"), T=pdf_string("Later"), V=value, AP=_dict(N=_drawing(w)))
    _form(w)["/Fields"].append(note)


@_update
def a_second_field_shows_the_same_signature(w: Writer) -> None:
    value = _signature_field(w).raw_get("/V")
    field = _dict(FT=pdf_name("/Sig"), T=pdf_string("Copy"), V=value)
    _form(w)["/Fields"].append(w.add_object(field))


def _value_without(*keys: str, **instead: Any) -> Change:
    def change(w: Writer) -> None:
        value = _signature_field(w)["/V"]
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
UPDATES |= {name: (lambda base, office, c=change: updated(base.data, c)) for name, change in _USF.items()}  # type: ignore[misc]


def _signs_over(base: Base, office: Office) -> bytes:
    return signed_by(office.forger, base.data, "Later", box=(60, 700, 300, 740))


def _puts_own_in_its_place(base: Base, office: Office) -> bytes:
    def empty(w: Writer) -> None:
        del _signature_field(w)["/V"]

    field = updated(base.data, empty)
    return signed_by(office.forger, field, base.field)


UPDATES["a stranger signs over the text"] = _signs_over
UPDATES["a stranger of the same name puts his signature in its place"] = _puts_own_in_its_place


# -- the catalogue --------------------------------------------------------------------------------------------------


def _catalogue(**entries: Any) -> Change:
    def change(w: Writer) -> None:
        for key, value in entries.items():
            w.root[NameObject(f"/{key}")] = value
        w.update_root()

    return change


_SCRIPT = _dict(S=pdf_name("/JavaScript"), JS=pdf_string("app.alert('x')"))
_CATALOGUE: dict[str, Change] = {
    "the file runs a script when opened": _catalogue(OpenAction=_SCRIPT),
    "the file runs a script when printed": _catalogue(AA=_dict(WP=_SCRIPT)),
    "the file gets named scripts": _catalogue(Names=_dict(JavaScript=_dict(Names=ArrayObject()))),
    "the file gets layers": _catalogue(OCProperties=_dict(OCGs=ArrayObject(), D=_dict())),
    "the file gets a structure of its own": _catalogue(StructTreeRoot=_dict(Type=pdf_name("/StructTreeRoot"))),
    "the file opens elsewhere": _catalogue(PageMode=pdf_name("/UseAttachments")),
    "the file says who may change it": _catalogue(Perms=_dict()),
    "the proof of signatures holds what it may not": _catalogue(DSS=_dict(Evil=pdf_string("x"))),
    "the proof of signatures is no dictionary": _catalogue(DSS=pdf_string("x")),
}
UPDATES |= {name: (lambda base, office, c=change: updated(base.data, c)) for name, change in _CATALOGUE.items()}  # type: ignore[misc]


@_update
def the_catalogue_leads_to_other_pages(w: Writer) -> None:
    page = _dict(
        Type=pdf_name("/Page"),
        MediaBox=_box(0, 0, 600, 800),
        Contents=w.add_object(StreamObject(stream_data=FALSE)),
    )
    ref = w.add_object(page)
    pages = _dict(Type=pdf_name("/Pages"), Kids=ArrayObject([ref]), Count=NumberObject(1))
    w.root["/Pages"] = w.add_object(pages)
    w.update_root()
