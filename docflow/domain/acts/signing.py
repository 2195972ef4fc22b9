"""Sign, refuse."""

from docflow.domain.commands import Sign, WithReason
from docflow.domain.errors import Invalid, StaleVersion
from docflow.domain.plan import Plan


def sign(plan: Plan, command: Sign) -> None:
    """The signed bytes were made from the pinned version and verified before this is decided."""
    if plan.signed_file is None:
        raise Invalid("There is nothing to sign: no file was approved. Refuse it, so that one is attached.")
    if plan.signed_file.derived_from != plan.doc.pinned_file_id:
        raise StaleVersion("Another version was approved meanwhile. Read it, then sign that one.")
    plan.files.append(plan.signed_file)
    plan.set(signed_file_id=plan.signed_file.id)
    plan.data |= {"signed_file": str(plan.signed_file.id), "from_file": str(plan.doc.pinned_file_id)}
    plan.next_stage()


def refuse(plan: Plan, command: WithReason) -> None:
    """Back to review, one round further."""
    plan.back_to_review()
