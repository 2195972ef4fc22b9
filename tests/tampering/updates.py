"""Forgeries by an incremental update: every byte that was signed is still there, and something else is shown."""

from collections.abc import Callable
from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import (
    ArrayObject,
    DictionaryObject,
    FloatObject,
    NumberObject,
    StreamObject,
    pdf_name,
    pdf_string,
)
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from tests.tampering.base import Forgery, updated

Writer = IncrementalPdfFileWriter
Change = Callable[[Writer], object]
UPDATES: dict[str, Forgery] = {}

FALSE = b"BT /F1 12 Tf 72 720 Td (Pay 999 to me.) Tj ET"


def _update(change: Change) -> Change:
    """Registers a change under its name, read as words."""
    UPDATES[change.__name__.strip("_").replace("_", " ")] = lambda base, office: updated(base.data, change)
    return change


def plain(**entries: Any) -> DictionaryObject:
    return DictionaryObject({pdf_name(f"/{key}"): value for key, value in entries.items()})


def box(*numbers: int) -> ArrayObject:
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


def signature_field(w: Writer) -> DictionaryObject:
    """The last one that holds a signature."""
    fields = [ref.get_object() for ref in w.root["/AcroForm"]["/Fields"]]
    field = [f for f in fields if f.get("/FT") == "/Sig" and "/V" in f][-1]
    w.update_container(field)
    return field


def form(w: Writer) -> DictionaryObject:
    form = w.root["/AcroForm"]
    w.update_container(form)
    return form


def drawing(w: Writer, code: bytes = FALSE, **more: Any) -> Any:
    entries = plain(Type=pdf_name("/XObject"), Subtype=pdf_name("/Form"), BBox=box(0, 0, 600, 800), **more)
    return w.add_object(StreamObject(entries, stream_data=code))


def note(w: Writer, kind: str, **more: Any) -> Any:
    """An annotation laid over the first page."""
    note = plain(Type=pdf_name("/Annot"), Subtype=pdf_name(f"/{kind}"), Rect=box(60, 700, 300, 740), **more)
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
    _page(w)["/Resources"] = plain(Font=plain(F1=plain(Type=pdf_name("/Font"), BaseFont=pdf_name("/Symbol"))))


@_update
def a_picture_is_overwritten(w: Writer) -> None:
    pictures = _page(w)["/Resources"]["/XObject"]
    ref = pictures.raw_get(next(iter(pictures)))
    entries = plain(Type=pdf_name("/XObject"), Subtype=pdf_name("/Image"), Width=NumberObject(1))
    _override(w, ref, StreamObject(entries, stream_data=b"\0"))


@_update
def a_page_is_cut(w: Writer) -> None:
    _page(w)["/CropBox"] = box(0, 0, 100, 100)


@_update
def a_page_is_moved_under_its_frame(w: Writer) -> None:
    _page(w)["/MediaBox"] = box(300, 300, 600, 600)


@_update
def a_page_is_turned(w: Writer) -> None:
    _page(w)["/Rotate"] = NumberObject(180)


@_update
def a_page_is_measured_in_other_units(w: Writer) -> None:
    _page(w)["/UserUnit"] = NumberObject(10)


@_update
def a_page_runs_a_script_when_shown(w: Writer) -> None:
    _page(w)["/AA"] = plain(O=plain(S=pdf_name("/JavaScript"), JS=pdf_string("app.alert('x')")))


# -- what lies over pages -------------------------------------------------------------------------------------------


@_update
def free_text_is_laid_over_a_page(w: Writer) -> None:
    note(w, "FreeText", Contents=pdf_string("Pay 999"), DA=pdf_string("/Helv 12 Tf"))


@_update
def a_redaction_hides_text(w: Writer) -> None:
    note(w, "Redact", IC=box(1, 1, 1), OverlayText=pdf_string("Pay 999"))


@_update
def a_rubber_stamp_is_laid_over_a_page(w: Writer) -> None:
    note(w, "Stamp", AP=plain(N=drawing(w)))


@_update
def a_white_square_hides_text(w: Writer) -> None:
    note(w, "Square", IC=box(1, 1, 1), C=box(1, 1, 1))


@_update
def a_remark_is_added(w: Writer) -> None:
    note(w, "Text", Contents=pdf_string("void"))


@_update
def a_highlight_is_added(w: Writer) -> None:
    note(w, "Highlight", QuadPoints=box(60, 700, 300, 700, 60, 740, 300, 740))


@_update
def ink_is_drawn_over_a_page(w: Writer) -> None:
    note(w, "Ink", InkList=ArrayObject([box(60, 700, 300, 740)]))


@_update
def a_file_is_pinned_to_a_page(w: Writer) -> None:
    note(w, "FileAttachment", FS=plain(Type=pdf_name("/Filespec"), F=pdf_string("evil.exe")))


@_update
def a_button_is_laid_over_a_page(w: Writer) -> None:
    note(w, "Widget", FT=pdf_name("/Btn"), Ff=NumberObject(65536), AP=plain(N=drawing(w)))


@_update
def a_watermark_is_laid_over_a_page(w: Writer) -> None:
    note(w, "Watermark", AP=plain(N=drawing(w)))


@_update
def a_link_leads_elsewhere(w: Writer) -> None:
    link = next(note for ref in _page(w)["/Annots"] if (note := ref.get_object())["/Subtype"] == "/Link")
    link["/A"] = plain(S=pdf_name("/URI"), URI=pdf_string("https://evil.example/"))
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
    field["/AP"] = plain(N=drawing(w))


@_update
def a_field_says_another_value_than_it_shows(w: Writer) -> None:
    _field(w, "amount")["/V"] = pdf_string("999")


@_update
def a_field_shows_another_value_than_it_says(w: Writer) -> None:
    _field(w, "amount")["/AP"] = plain(N=drawing(w))


@_update
def the_look_of_a_field_is_overwritten(w: Writer) -> None:
    look = _field(w, "amount")["/AP"].raw_get("/N")
    entries = plain(Subtype=pdf_name("/Form"), BBox=box(0, 0, 200, 40))
    _override(w, look, StreamObject(entries, stream_data=FALSE))


@_update
def a_field_is_hidden(w: Writer) -> None:
    _field(w, "amount")["/F"] = NumberObject(2)


@_update
def a_field_is_moved(w: Writer) -> None:
    _field(w, "amount")["/Rect"] = box(60, 700, 300, 740)


@_update
def a_field_runs_a_script(w: Writer) -> None:
    _field(w, "amount")["/AA"] = plain(C=plain(S=pdf_name("/JavaScript"), JS=pdf_string("event.value='999'")))


@_update
def a_field_is_added(w: Writer) -> None:
    laid = note(w, "Widget", FT=pdf_name("/Tx"), T=pdf_string("more"), V=pdf_string("999"))
    form(w)["/Fields"].append(laid)


@_update
def a_blank_is_added(w: Writer) -> None:
    laid = note(w, "Widget", FT=pdf_name("/Tx"), T=pdf_string("docflow_blank_number"), AP=plain(N=drawing(w)))
    form(w)["/Fields"].append(laid)


@_update
def a_field_is_taken_out(w: Writer) -> None:
    whole = form(w)
    whole["/Fields"] = ArrayObject(r for r in whole["/Fields"] if r.get_object()["/T"] != "amount")


@_update
def programs_are_told_to_draw_fields_anew(w: Writer) -> None:
    form(w)["/NeedAppearances"] = generic.BooleanObject(True)


@_update
def a_second_form_is_put_in(w: Writer) -> None:
    form(w)["/XFA"] = w.add_object(StreamObject(stream_data=b"<xdp/>"))
