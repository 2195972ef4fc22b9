"""Sign, seal, refuse."""

from docflow.domain.acts.dispatching import DELIVERING
from docflow.domain.commands import Seal, Sign, WithReason
from docflow.domain.consequences import NewFile
from docflow.domain.errors import Invalid, StaleVersion
from docflow.domain.plan import Plan
from docflow.domain.signing_rights import right_to_sign
from docflow.domain.snapshot import Snapshot


def sign(plan: Plan, command: Sign) -> None:
    """The signed bytes were made from the pinned version and verified before this is decided."""
    if plan.signed_file is None:
        raise Invalid("There is nothing to sign: no file was approved. Refuse it, so that one is attached.")
    if plan.signed_file.derived_from != plan.doc.pinned_file_id:
        raise StaleVersion("Another version was approved meanwhile. Read it, then sign that one.")
    right = right_to_sign(plan.doc, plan.actor, command.capacity, plan.now)
    plan.data["capacity"] = right.capacity
    if right.delegation is not None:
        plan.data["delegation"] = {"id": str(right.delegation.id), "basis": right.delegation.basis}
    plan.files.append(plan.signed_file)
    plan.set(signed_file_id=plan.signed_file.id, sealed_file_id=None)
    plan.data |= {"signed_file": str(plan.signed_file.id), "from_file": str(plan.doc.pinned_file_id)}
    plan.next_stage()


def awaits_seal(doc: Snapshot) -> bool:
    """Whether the agency's seal is still to come: on what was signed, before it leaves."""
    return doc.signed_file_id is not None and doc.sealed_file_id is None and doc.step != DELIVERING


def seal(plan: Plan, command: Seal) -> None:
    """The sealed bytes were made from the signed version and verified before this is decided; ``plan.files`` are the
    attachments that were sealed with it."""
    sealed: NewFile | None = plan.signed_file
    if sealed is None or sealed.derived_from != plan.doc.signed_file_id:
        raise StaleVersion("What was signed changed meanwhile. Read it again, then seal it.")
    plan.files.insert(0, sealed)
    plan.set(signed_file_id=sealed.id, sealed_file_id=sealed.id)
    plan.data |= {"sealed_file": str(sealed.id), "from_file": str(sealed.derived_from)}
    automatic = plan.doc.route.stage(plan.doc.state.value).automatic
    plan.advance = automatic is not None


def number_page(plan: Plan) -> None:
    """What was signed bears its number, and waits for a seal from elsewhere."""
    page: NewFile | None = plan.signed_file
    if page is None or page.derived_from != plan.doc.signed_file_id:
        raise StaleVersion("What was signed changed meanwhile. Read it again, then number it.")
    plan.files.append(page)
    plan.set(signed_file_id=page.id)
    plan.data |= {"numbered_file": str(page.id), "from_file": str(page.derived_from)}


def refuse(plan: Plan, command: WithReason) -> None:
    """Back to review, one round further."""
    plan.back_to_review()
