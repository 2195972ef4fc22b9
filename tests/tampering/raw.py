"""Forgeries of the bytes themselves: ranges, holes, tables of objects, and the signature's value."""

import re
from collections.abc import Callable
from io import BytesIO

from asn1crypto import cms
from pyhanko.pdf_utils.generic import ByteStringObject, pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from tests.tampering.base import Base, Forgery, Office, reader, updated
from tests.tampering.updates import FALSE

RAW: dict[str, Forgery] = {}
_RANGES = re.compile(rb"/ByteRange \[(\d+) (\d+) (\d+) (\d+)( *)\]")


def _raw(forge: Callable[..., bytes]) -> Callable[..., bytes]:
    RAW[forge.__name__.strip("_").replace("_", " ")] = lambda base, office: forge(base)
    return forge


def _replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


# -- what was signed ------------------------------------------------------------------------------------------------


@_raw
def one_byte_of_the_text_is_changed(base: Base) -> bytes:
    return base.data.replace(b"Pay 100", b"Pay 900", 1)


@_raw
def a_byte_before_the_end_is_changed(base: Base) -> bytes:
    return _replaced(base.data, base.data.rindex(b"startxref") - 3, b"\t")


@_raw
def the_file_is_cut_short(base: Base) -> bytes:
    return base.data[:-20]


@_raw
def bytes_stand_before_the_file(base: Base) -> bytes:
    return b"GIF89a" + base.data


@_raw
def a_stranger_s_pages_get_the_signature(base: Base) -> bytes:
    """The signature is lifted off its file and put into another."""
    value = next(s for s in reversed(reader(base.data).embedded_signatures)).sig_object
    lifted = {key: value.raw_get(key) for key in value}

    def put_in(w: IncrementalPdfFileWriter) -> None:
        from pyhanko.sign.fields import SigFieldSpec, append_signature_field

        append_signature_field(w, SigFieldSpec("person"))
        field = w.root["/AcroForm"]["/Fields"][-1].get_object()
        field["/V"] = w.add_object(_lifted(lifted))
        w.update_container(field)

    return updated(base.unsigned.replace(b"Pay 100", b"Pay 900"), put_in)


def _lifted(entries: dict[str, object]) -> object:
    from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, NumberObject

    ranges = ArrayObject(NumberObject(int(n)) for n in entries["/ByteRange"])  # type: ignore[attr-defined]
    contents = ByteStringObject(bytes(entries["/Contents"]))  # type: ignore[call-overload]
    kind = {pdf_name("/Type"): pdf_name("/Sig"), pdf_name("/Filter"): pdf_name("/Adobe.PPKLite")}
    sub = {pdf_name("/SubFilter"): pdf_name("/ETSI.CAdES.detached")}
    return DictionaryObject(kind | sub | {pdf_name("/ByteRange"): ranges, pdf_name("/Contents"): contents})


# -- byte ranges ----------------------------------------------------------------------------------------------------


def _ranges(change: Callable[[int, int, int, int], tuple[int, ...]]) -> Forgery:
    def forge(base: Base, office: Office) -> bytes:
        found = list(_RANGES.finditer(base.data))[-1]
        numbers = change(*(int(n) for n in found.groups()[:4]))
        text = b"/ByteRange [" + b" ".join(b"%d" % n for n in numbers) + b"]"
        return _replaced(base.data, found.start(), text.ljust(len(found.group())))

    return forge


RAW |= {
    "the hole of a signature is widened": _ranges(lambda a, b, c, d: (a, b - 100, c, d)),
    "the hole of a signature swallows what follows": _ranges(lambda a, b, c, d: (a, b, c + 100, d - 100)),
    "byte ranges overlap": _ranges(lambda a, b, c, d: (a, b, b - 50, d)),
    "byte ranges are in the wrong order": _ranges(lambda a, b, c, d: (c, d, a, b)),
    "byte ranges begin behind the header": _ranges(lambda a, b, c, d: (9, b - 9, c, d)),
    "byte ranges end before the end": _ranges(lambda a, b, c, d: (a, b, c, d - 40)),
    "byte ranges lead out of the file": _ranges(lambda a, b, c, d: (a, b, c, d + 40)),
    "byte ranges are only one": _ranges(lambda a, b, c, d: (a, b)),
    "byte ranges are all of nothing": _ranges(lambda a, b, c, d: (0, 0, 0, 0)),
    "byte ranges are negative": _ranges(lambda a, b, c, d: (a, b, -c, d)),
}


# -- the hole -------------------------------------------------------------------------------------------------------


def _hole(base: Base, new: bytes) -> bytes:
    begin, end = base.hole
    assert len(new) <= end - begin
    return base.data[:begin] + new.ljust(end - begin) + base.data[end:]


def _value(base: Base) -> bytes:
    begin, end = base.hole
    return base.data[begin + 1 : end - 1].rstrip(b"0")


def _hidden(base: Base, more: bytes) -> bytes:
    """The value, then ``more`` in the zeros behind it, up to the very end of the hole."""
    begin, end = base.hole
    value = _value(base)
    value += b"0" * (len(value) % 2)
    room = end - begin - 2
    return _hole(base, b"<" + (value + more.hex().encode()).ljust(room, b"0") + b">")


@_raw
def words_are_hidden_behind_the_value(base: Base) -> bytes:
    return _hidden(base, b"Pay 999 to me.")


@_raw
def a_second_value_stands_in_the_hole(base: Base) -> bytes:
    value = _value(base)
    value += b"0" * (len(value) % 2)
    return _hole(base, b"<" + value + b"> /Contents <" + b"00" * 16 + b">")


@_raw
def another_key_stands_in_the_hole(base: Base) -> bytes:
    value = _value(base)
    value += b"0" * (len(value) % 2)
    return _hole(base, b"<" + value + b"> /Reason (Pay 999)")


@_raw
def the_value_is_spread_by_blanks(base: Base) -> bytes:
    value = _value(base)
    value += b"0" * (len(value) % 2)
    return _hole(base, b"< " + value + b" >")


@_raw
def the_value_is_empty(base: Base) -> bytes:
    return _hole(base, b"<>")


@_raw
def the_value_is_no_signature(base: Base) -> bytes:
    begin, end = base.hole
    return _hole(base, b"<" + b"41" * ((end - begin - 2) // 2) + b">")


# -- the value ------------------------------------------------------------------------------------------------------


def _cms(change: Callable[[cms.SignedData, Office], object]) -> Forgery:
    def forge(base: Base, office: Office) -> bytes:
        value = _value(base)
        info = cms.ContentInfo.load(bytes.fromhex((value + b"0" * (len(value) % 2)).decode()))
        change(info["content"], office)
        begin, end = base.hole
        new = info.dump(force=True).hex().encode()
        return _hole(base, b"<" + new.ljust(end - begin - 2, b"0") + b">")

    return forge


def _other_digest(signed: cms.SignedData, office: Office) -> None:
    for attribute in signed["signer_infos"][0]["signed_attrs"]:
        if attribute["type"].native == "message_digest":
            attribute["values"] = [b"\x01" * 32]


def _other_value(signed: cms.SignedData, office: Office) -> None:
    info = signed["signer_infos"][0]
    info["signature"] = info["signature"].native[::-1]


def _other_certificate(signed: cms.SignedData, office: Office) -> None:
    signed["certificates"] = [cms.CertificateChoices(name="certificate", value=office.forger.signing_cert)]


def _no_certificate(signed: cms.SignedData, office: Office) -> None:
    signed["certificates"] = []


def _signed_twice(signed: cms.SignedData, office: Office) -> None:
    info = signed["signer_infos"][0]
    signed["signer_infos"] = [info, info.copy()]


def _signed_by_nobody(signed: cms.SignedData, office: Office) -> None:
    signed["signer_infos"] = []


def _no_attributes(signed: cms.SignedData, office: Office) -> None:
    info = signed["signer_infos"][0]
    info["signed_attrs"] = info["signed_attrs"][:0]


def _weak_digest(signed: cms.SignedData, office: Office) -> None:
    signed["signer_infos"][0]["digest_algorithm"]["algorithm"] = "sha1"


RAW |= {
    "the value says another digest": _cms(_other_digest),
    "the value is turned round": _cms(_other_value),
    "the value bears another certificate": _cms(_other_certificate),
    "the value bears no certificate": _cms(_no_certificate),
    "the value is signed twice": _cms(_signed_twice),
    "the value is signed by nobody": _cms(_signed_by_nobody),
    "the value loses what was signed with it": _cms(_no_attributes),
    "the value names a weak digest": _cms(_weak_digest),
}


# -- behind the end -------------------------------------------------------------------------------------------------


@_raw
def words_stand_behind_the_end(base: Base) -> bytes:
    return base.data + b"\n5 0 obj\n<< /Length 27 >>\nstream\n" + FALSE + b"\nendstream\nendobj\n"


@_raw
def a_false_end_stands_behind_the_end(base: Base) -> bytes:
    return base.data + b"\n% nothing to see\n%%EOF\n"


@_raw
def the_table_of_objects_leads_back_to_before_the_signature(base: Base) -> bytes:
    first = int(re.findall(rb"startxref\s+(\d+)", base.data)[0])
    return base.data + b"\nstartxref\n%d\n%%%%EOF\n" % first


def _table(base: Base, rows: bytes, trailer: bytes) -> bytes:
    data = base.data if base.data.endswith(b"\n") else base.data + b"\n"
    return data + rows.replace(b"@", b"%d" % 0) + b"%s\nstartxref\n%d\n%%%%EOF\n" % (trailer, len(data))


def _trailer(base: Base, **instead: bytes) -> bytes:
    known = reader(base.data)
    root = known.root_ref
    entries = {
        "Size": b"%d" % known.trailer["/Size"],
        "Root": b"%d %d R" % (root.idnum, root.generation),
        "Prev": re.findall(rb"startxref\s+(\d+)", base.data)[-1],
    }
    entries |= instead
    return b"trailer\n<< " + b" ".join(b"/%s %s" % (k.encode(), v) for k, v in entries.items() if v) + b" >>"


def _object_of(base: Base) -> int:
    page = reader(base.data).root["/Pages"]["/Kids"][0].get_object()
    return int(page.raw_get("/Contents").idnum)


@_raw
def the_table_leaves_the_signed_revision_out(base: Base) -> bytes:
    first = re.findall(rb"startxref\s+(\d+)", base.data)[0]
    return _table(base, b"xref\n0 1\n0000000000 65535 f \n", _trailer(base, Prev=first))


@_raw
def the_table_frees_the_contents_of_a_page(base: Base) -> bytes:
    rows = b"xref\n%d 1\n0000000000 00001 f \n" % _object_of(base)
    return _table(base, rows, _trailer(base))


@_raw
def the_table_says_another_place_for_an_object(base: Base) -> bytes:
    at = base.data.index(b"\n2 0 obj") + 1
    rows = b"xref\n%d 1\n%010d 00000 n \n" % (_object_of(base), at)
    return _table(base, rows, _trailer(base))


@_raw
def the_table_leads_into_the_hole(base: Base) -> bytes:
    rows = b"xref\n%d 1\n%010d 00000 n \n" % (_object_of(base), base.hole[0])
    return _table(base, rows, _trailer(base))


@_raw
def the_table_is_of_two_kinds(base: Base) -> bytes:
    at = reader(base.data).xrefs.get_startxref_for_revision(0)
    rows = b"xref\n0 1\n0000000000 65535 f \n"
    return _table(base, rows, _trailer(base, XRefStm=b"%d" % at))


@_raw
def the_table_names_another_catalogue(base: Base) -> bytes:
    return _table(base, b"xref\n0 1\n0000000000 65535 f \n", _trailer(base, Root=b"2 0 R"))


@_raw
def the_table_names_no_catalogue(base: Base) -> bytes:
    return _table(base, b"xref\n0 1\n0000000000 65535 f \n", _trailer(base, Root=b""))


@_raw
def the_table_turns_in_a_circle(base: Base) -> bytes:
    data = base.data if base.data.endswith(b"\n") else base.data + b"\n"
    return _table(base, b"xref\n0 1\n0000000000 65535 f \n", _trailer(base, Prev=b"%d" % len(data)))


@_raw
def the_file_claims_to_be_encrypted(base: Base) -> bytes:
    encrypt = b"<< /Filter /Standard /V 1 /R 2 /O (x) /U (x) /P -4 >>"
    return _table(base, b"xref\n0 1\n0000000000 65535 f \n", _trailer(base, Encrypt=encrypt))


@_raw
def a_copy_of_the_signature_lies_behind_the_end(base: Base) -> bytes:
    """An update that changes nothing, with a signature that no field shows."""

    def add(w: IncrementalPdfFileWriter) -> None:
        old = reader(base.data).embedded_signatures[-1].sig_object
        w.add_object(_lifted({key: old.raw_get(key) for key in old}))  # type: ignore[arg-type]

    return updated(base.data, add)


@_raw
def the_update_is_packed_away(base: Base) -> bytes:
    """What replaces the contents stands compressed in a stream of objects."""
    from pyhanko.pdf_utils.generic import ArrayObject

    writer = IncrementalPdfFileWriter(BytesIO(base.data))
    page = writer.find_page_for_modification(0)[0].get_object()
    page["/Contents"] = ArrayObject()
    writer.update_container(page)
    writer.stream_xrefs = True
    out = BytesIO()
    writer.write(out)
    return out.getvalue()
