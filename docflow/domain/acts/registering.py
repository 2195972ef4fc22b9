"""Register, return."""

from docflow.domain.commands import Register, WithReason
from docflow.domain.consequences import NewDelivery
from docflow.domain.lifecycle import State
from docflow.domain.plan import Plan
from docflow.domain.snapshot import ClockKind


def register(plan: Plan, command: Register) -> None:
    """Enter the document in its book. The number was taken in this transaction (``plan.number``).

    With it the sender of an e-document is taken to know of its arrival (Decree 30/2020 art. 21), until
    acknowledgements are sent and stop that clock themselves. What comes back to be approved again keeps its number.
    """
    taken = plan.number
    if taken is None:
        assert plan.doc.number is not None, "the service takes the number before it asks for the plan"
        plan.next_stage()
        return
    plan.set(book=taken.book, number=taken.number, notation=taken.notation or plan.doc.notation)
    plan.data |= {"book": taken.book, "year": taken.year, "number": taken.number, "notation": plan.doc.notation}
    plan.stop(ClockKind.ACKNOWLEDGE)
    plan.next_stage()


def send_back(plan: Plan, command: WithReason) -> None:
    """Return the document to its sender, who is told where an address is known (Decree 30 art. 21)."""
    doc = plan.doc
    plan.finish(State.RETURNED)
    if doc.direction == "incoming" and doc.issuer_address and doc.secrecy == 0:
        plan.deliveries.append(NewDelivery(plan.new_id(), "return", doc.issuer_address, doc.issuer_address, "email"))
