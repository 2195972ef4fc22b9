"""What may be done to a PDF after it was signed: sign it again, keep the proof of signatures fresh, and fill the blanks
that a signature of ours left open. Everything else is tampering.

pyHanko's own rules also let any text field be filled, an unsigned signature field be drawn over the page, and objects
be added that the signed revision named without having them ("shadow" attacks, NDSS 2021).
"""

from collections.abc import Iterable
from typing import Any

from pyhanko.pdf_utils.generic import ArrayObject, BooleanObject, DictionaryObject, PdfObject, Reference, StreamObject
from pyhanko.pdf_utils.reader import HistoricalResolver
from pyhanko.sign.diff_analysis import (
    DEFAULT_DIFF_POLICY,
    DiffResult,
    FieldComparisonContext,
    FieldComparisonSpec,
    FormUpdatingRule,
    GenericFieldModificationRule,
    ModificationLevel,
    SigFieldCreationRule,
    SigFieldModificationRule,
    StandardDiffPolicy,
    SuspiciousModification,
)
from pyhanko.sign.diff_analysis.form_rules_api import FormUpdate
from pyhanko.sign.fields import FieldMDPAction, FieldMDPSpec, MDPPerm

BLANK = "docflow_blank_"
"""How the names of blanks for number and date begin."""

Updates = Iterable[tuple[ModificationLevel, FormUpdate]]


def entry(one: PdfObject | None, key: str) -> PdfObject | None:
    """What a dictionary holds under ``key``, wherever that stands; None where it holds nothing or is none."""
    try:
        found: PdfObject | None = one[key] if isinstance(one, DictionaryObject) else None
    except KeyError:
        return None
    return found


class _BlanksFilled(GenericFieldModificationRule):
    """Value and look of blanks, nothing of where and how large they are."""

    def __init__(self) -> None:
        super().__init__(
            allow_in_place_appearance_stream_changes=False,
            value_update_keys={"/V", "/AP", "/Ff", "/Type"},
        )

    def check_form_field(self, fq_name: str, spec: FieldComparisonSpec, context: FieldComparisonContext) -> Updates:
        return super().check_form_field(fq_name, spec, context) if fq_name.startswith(BLANK) else ()


class _NewFieldsAreSigned(SigFieldCreationRule):
    """A new field for a signature may show something only once it holds one."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # pyHanko leaves its constructor untyped

    def apply(self, context: FieldComparisonContext) -> Updates:
        for name, spec in context.field_specs.items():
            field = spec.new_field
            if spec.old_field_ref is None and field is not None and "/V" not in field and _draws(field):
                raise SuspiciousModification(f"The new signature field {name} shows something but is not signed.")
        return super().apply(context)


def _draws(field: DictionaryObject) -> bool:
    kids = entry(field, "/Kids")
    listed = kids if isinstance(kids, ArrayObject) else ()
    return _has_look(field) or any(_has_look(kid.get_object()) for kid in listed)


def _has_look(widget: PdfObject) -> bool:
    if not isinstance(widget, DictionaryObject):
        return True
    if "/MK" in widget:
        return True
    look = entry(widget, "/AP")
    if look is None:
        return False
    normal = entry(look, "/N")
    return not (isinstance(normal, StreamObject) and not normal.data.strip())


class Strict(StandardDiffPolicy):
    """Keeps to what the module says, with these rules for form fields."""

    def __init__(self, *fields: GenericFieldModificationRule) -> None:
        created = _NewFieldsAreSigned()
        rules = FormUpdatingRule([created, SigFieldModificationRule(), *fields])
        super().__init__(DEFAULT_DIFF_POLICY.global_rules, rules)

    def apply(
        self,
        old: HistoricalResolver,
        new: HistoricalResolver,
        field_mdp_spec: FieldMDPSpec | None = None,
        doc_mdp: MDPPerm | None = None,
    ) -> DiffResult:
        _refuse_prepared(old, new)
        _refuse_redrawn(old, new)
        return super().apply(old, new, field_mdp_spec, doc_mdp)


SIGNATURES_ONLY = Strict()
BLANKS_TOO = Strict(_BlanksFilled())


def policy_for(fields: FieldMDPSpec | None) -> Strict:
    """``fields`` is what the signature says of form fields; without a word of it, all are locked."""
    leaves_some_open = fields is not None and fields.action is FieldMDPAction.EXCLUDE
    return BLANKS_TOO if leaves_some_open else SIGNATURES_ONLY


def _refuse_prepared(old: HistoricalResolver, new: HistoricalResolver) -> None:
    """What the signed revision points at and does not hold would come in later, unseen by whoever signed."""
    missing = {ref for ref in _added(old, new) if _used(old, ref)}
    if missing:
        raise SuspiciousModification(f"The signed contents point at {missing}, which were added later.")


def _added(old: HistoricalResolver, new: Any) -> set[Reference]:
    xrefs = old.reader.xrefs
    fresh = new.explicit_refs_in_revision()
    return {ref for ref in fresh if xrefs.get_introducing_revision(ref) > old.revision}


def _used(old: Any, ref: Reference) -> bool:
    # pyHanko's own policy asks the same way; the answer is kept.
    old._load_reverse_xref_cache()
    return bool(old._get_usages_of_ref(ref))


def _refuse_redrawn(old: HistoricalResolver, new: HistoricalResolver) -> None:
    """A program that is told to draw all fields anew may show others than those that were signed."""
    if _redraws(new) and not _redraws(old):
        raise SuspiciousModification("Programs are told to draw all form fields anew.")


def _redraws(revision: HistoricalResolver) -> bool:
    wanted = entry(entry(revision.root, "/AcroForm"), "/NeedAppearances")
    return isinstance(wanted, BooleanObject) and bool(wanted.value)
