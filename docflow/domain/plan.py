"""A move in the making, with the stages and steps of the document's route."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from docflow.domain.errors import Invalid
from docflow.domain.lifecycle import ENDS, State, TaskRole, TaskState
from docflow.domain.roles import Role
from docflow.domain.routes import Stage, Step, Who
from docflow.domain.snapshot import ClockKind
from docflow.domain.timekeeping import Timekeeping


@dataclass(slots=True)
class Plan(Timekeeping):
    """``doc`` is the document as it will be; the lists are what is written beside it."""

    def begin(self, *, electronic: bool = False) -> None:
        """At the first stage, with the clocks of the whole document; whoever sent it electronically is owed an
        acknowledgement."""
        route = self.doc.route
        if route.clock:
            self.set(due_at=self.start_policy(route.clock, None))
        if route.acknowledge and electronic and self.doc.issuer_address:
            self.start_policy(route.acknowledge, None, ClockKind.ACKNOWLEDGE)
        self.enter_from(0)

    def next_stage(self) -> None:
        """Leave the stage the document is in for the next one whose condition holds."""
        position = self.doc.route.position(self.doc.state.value)
        self.enter_from(position + 1)

    def enter_from(self, position: int) -> None:
        for stage in self.doc.route.stages[position:]:
            if self.holds(stage.when):
                return self.enter(stage)
        return self.finish(State.CLOSED)

    def enter(self, stage: Stage) -> None:
        self.set(state=State(stage.stage), step=None, step_needed=0, step_agreed=0)
        self.close_all(TaskRole.STAGE, TaskRole.STEP, state=TaskState.DONE)
        self.advance = stage.automatic is not None
        if stage.stage == "review":
            self.enter_step(stage, 0)
            return
        assert stage.who is not None, "checked when the route was loaded"
        addresses = self.addresses(stage.who)
        for address in addresses:
            task = self.open(TaskRole.STAGE, step=stage.stage, **address)
            if stage.clock:
                self.change(task, due_at=self.start_policy(stage.clock, task))
        if stage.stage == "sign":
            self._open_for_delegates(addresses)

    def _open_for_delegates(self, addresses: list[dict[str, Any]]) -> None:
        """Those who may sign it by delegation of one of its signers have it before them, too."""
        directory = self.actor.directory
        signers: set[UUID] = set()
        for address in addresses:
            if address.get("user_id"):
                signers.add(address["user_id"])
            else:
                signers |= {p.id for p in directory.reached(address["pool_role"], address["unit_id"])}
        fitting = {
            d.delegate_id
            for d in directory.delegations
            if d.delegator_id in signers and d.active(self.now) and d.covers(self.doc.doc_type)
        }
        for user_id in sorted(fitting - signers):
            person = directory.people.get(user_id)
            if person is not None and person.active and self.may_read(person):
                self.open(TaskRole.STAGE, step="sign", user_id=user_id)

    def enter_step(self, stage: Stage, index: int) -> None:
        for step in stage.steps[index:]:
            if self.holds(step.when):
                return self.open_step(step)
        return self.leave_review()

    def open_step(self, step: Step) -> None:
        self.close_all(TaskRole.STEP)
        self.set(step=step.step, step_agreed=0, step_needed=0)
        if step.who.task is not None:
            self.wake_main()
            return
        rows = self.addresses(step.who, each=step.agreement != "any")
        needed = {"any": 1, "all": len(rows)}.get(str(step.agreement)) or int(step.agreement)
        if needed > len(rows):
            raise Invalid(
                f"Step '{step.step}' wants {needed} approvals but only {len(rows)} people can give one. "
                "Ask the administrator to mend the route or the roles.",
                field="route",
            )
        self.set(step_needed=needed)
        for address in rows:
            task = self.open(TaskRole.STEP, step=step.step, **address)
            if step.clock and step.clock != "document":
                self.change(task, due_at=self.start_policy(step.clock, task))
            elif step.clock:
                self.change(task, due_at=self.doc.due_at)

    def wake_main(self) -> None:
        for task in self.active(TaskRole.MAIN):
            self.change(task, state=TaskState.OPEN)
            self.tell(task)

    def rest_main(self) -> None:
        for task in self.active(TaskRole.MAIN):
            self.change(task, state=TaskState.WAITING)

    def leave_review(self) -> None:
        """Review is complete: what was agreed on is pinned, the other handlers' rows are closed."""
        self.rest_main()
        self.close_all(TaskRole.STEP, TaskRole.EXTENSION)
        self.close_all(TaskRole.CO, TaskRole.INFORMATION, TaskRole.CONSULT, state=TaskState.DONE)
        self.set(pinned_file_id=self.doc.answer_file_id or self.doc.main_file_id, step=None)
        self.next_stage()

    def back_to_review(self) -> None:
        """To the first step of review, one round further (request for changes, refusal to sign)."""
        stage = self.doc.route.stage("review")
        self.close_all(TaskRole.STAGE, TaskRole.STEP)
        self.set(state=State.REVIEW, round=self.doc.round + 1, pinned_file_id=None)
        self.set(signed_file_id=None, sealed_file_id=None)
        self.enter_step(stage, 0)

    def finish(self, state: State) -> None:
        """At an end. Answers that were asked for are still awaited once it is closed."""
        assert state in ENDS
        done = TaskState.DONE if state is State.CLOSED else TaskState.CANCELLED
        self.close_all(state=done)
        kept = {ClockKind.ANSWER} if state is State.CLOSED else set()
        self.clocks_stopped |= {c.id for c in self.doc.clocks if c.kind not in kept}
        self.clocks_opened = [c for c in self.clocks_opened if c.kind in kept]
        self.set(state=state, step=None, held_at=None)
        if state is State.CLOSED and self.doc.route.archive:
            self.start_policy(self.doc.route.archive, None, ClockKind.ARCHIVE)
        self.advance = False

    # -- whom a Who means ---------------------------------------------------------------------------------------

    def addresses(self, who: Who, *, each: bool = False) -> list[dict[str, Any]]:
        """The rows a ``Who`` asks for. ``each``: one for every holder of a role instead of one for the pool."""
        directory = self.actor.directory
        if who.user or who.users:
            names: Sequence[str] = who.users or [str(who.user)]
            return [{"user_id": directory.person(n).id} for n in names]
        if who.head_of is not None:
            return [self._pool(self.main_unit(), Role.UNIT_HEAD)]
        assert who.role is not None
        unit_id = directory.unit(who.unit).id if who.unit else directory.root.id
        people = [p for p in directory.holders(who.role, unit_id) if self.may_read(p)] if each else []
        if len(people) > 1:
            return [{"user_id": p.id} for p in people]
        return [self._pool(unit_id, who.role)]

    def _pool(self, unit_id: UUID, role: Role) -> dict[str, Any]:
        return {"unit_id": unit_id, "pool_role": role}

    def main_unit(self) -> UUID:
        """The unit whose head checks the main handler's work: the nearest upwards whose head may read it."""
        mains = self.active(TaskRole.MAIN)
        directory = self.actor.directory
        unit_id: UUID | None = self.doc.owner_unit_id
        if mains:
            person = directory.people.get(mains[0].user_id) if mains[0].user_id else None
            unit_id = (person.unit_id if person else None) or mains[0].unit_id or unit_id
        while unit_id is not None:
            if any(self.may_read(p) for p in directory.processors(unit_id)):
                return unit_id
            unit_id = directory.units[unit_id].parent_id
        return directory.root.id
