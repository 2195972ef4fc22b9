"""What I may do on a document, and doing it. The busiest endpoint: one transaction, one look at the token."""

from collections.abc import Callable
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session
from starlette.responses import Response

from docflow.api import openapi
from docflow.api.asking import WRITE, Call, Calling, Reader, answer, find
from docflow.api.bodies import json_bytes, parse
from docflow.api.representations import person_json, utc
from docflow.api.signing_moves import MAKING
from docflow.domain.commands import COMMANDS, Attach, Command, Opinion, WithReason
from docflow.domain.decide import allowed
from docflow.domain.errors import NotFound
from docflow.domain.lifecycle import Action
from docflow.domain.snapshot import Actor, Snapshot
from docflow.services.approving import agree
from docflow.services.asked import Asked
from docflow.services.consultations import give_opinion
from docflow.services.dispatch import recall
from docflow.services.files import attach_known
from docflow.services.pictures import Pictures
from docflow.services.transition import Moved, perform, picture, read

router = APIRouter(prefix="/api/v1", tags=["actions"])

Doing = Callable[[Session, Pictures, UUID, Command, Asked], Moved]


def _recall(session: Session, pictures: Pictures, document_id: UUID, command: Command, asked: Asked) -> Moved:
    return recall(session, pictures, document_id, cast(WithReason, command), asked)


def _attach(session: Session, pictures: Pictures, document_id: UUID, command: Command, asked: Asked) -> Moved:
    return attach_known(session, pictures, document_id, cast(Attach, command), asked)


def _opinion(session: Session, pictures: Pictures, document_id: UUID, command: Command, asked: Asked) -> Moved:
    return give_opinion(session, pictures, document_id, cast(Opinion, command), asked)


def _agree(action: Action) -> Doing:
    def doing(session: Session, pictures: Pictures, document_id: UUID, command: Command, asked: Asked) -> Moved:
        return agree(session, pictures, document_id, action, command, asked)

    return doing


SPECIAL: dict[Action, Doing] = {
    Action.SUBMIT: _agree(Action.SUBMIT),
    Action.APPROVE: _agree(Action.APPROVE),
    Action.RECALL: _recall,
    Action.ATTACH: _attach,
    Action.OPINION: _opinion,
}

EXAMPLES: dict[Action, dict[str, Any]] = {
    Action.REGISTER: {"note": "Bản giấy gửi sau"},
    Action.RETURN: {"reason": "Gửi nhầm cơ quan, không thuộc thẩm quyền giải quyết"},
    Action.ASSIGN: {
        "handlers": [
            {"role": "main", "user": "ngansach2", "deadline": "3 working days"},
            {"role": "co", "unit": "PTCKH"},
            {"role": "information", "user": "chanhvp"},
        ],
        "directive": "Giao Tổ Ngân sách chủ trì, báo cáo trước thứ Sáu",
        "answer_required": True,
    },
    Action.REASSIGN: {"handlers": [{"role": "main", "user": "dautu1"}], "directive": "Chuyển Tổ Đầu tư"},
    Action.FORWARD: {"user": "ngansach2", "note": "Đồng chí xử lý"},
    Action.OPINION: {"opinion": "agree", "text": "Đồng ý với dự thảo"},
    Action.SUBMIT: {"proposal": "Kính trình lãnh đạo phòng xem xét"},
    Action.APPROVE: {"note": "Đã kiểm tra nội dung"},
    Action.REQUEST_CHANGES: {"reason": "Bổ sung căn cứ pháp lý"},
    Action.REJECT: {"reason": "Không đúng chủ trương"},
    Action.SIGN: {"capacity": "KT.", "note": "Ký thay Chủ tịch"},
    Action.SEAL: {"note": "Đóng dấu cơ quan"},
    Action.REFUSE: {"reason": "Chưa đủ thẩm quyền"},
    Action.DISPATCH: {"recipients": [{"name": "Sở Tài chính", "address": "vanthu@stc.example", "channel": "email"}]},
    Action.CLOSE: {"result": "Đã báo cáo bằng văn bản số 05/UBND-VP"},
    Action.RECALL: {"reason": "Sai nơi nhận"},
    Action.HOLD: {"reason": "Chờ ý kiến của tỉnh"},
    Action.RESUME: {"note": "Đã có ý kiến"},
    Action.EXTEND: {"deadline": "2 working days", "reason": "Cần thêm số liệu"},
    Action.COMMENT: {"text": "Đã trao đổi qua điện thoại"},
    Action.ATTACH: {"file_id": "01990000-0000-7000-8000-000000000000", "kind": "answer"},
    Action.CONSULT: {"users": ["truongtnmt"], "question": "Đề nghị cho ý kiến về phần đất đai"},
    Action.URGE: {"grade": "reminder", "text": "Đề nghị khẩn trương"},
    Action.CLAIM: {},
    Action.RELEASE: {"note": "Nhờ người khác xử lý"},
    Action.ARCHIVE: {"note": "Nộp lưu hồ sơ số 12"},
}
BODY = openapi.one_of_bodies(
    {a.value: m for a, m in COMMANDS.items()}, {a.value: example for a, example in EXAMPLES.items()}
)


@router.post(
    "/documents/{document_id}/actions/{action}",
    responses=openapi.problems(400, 403, 404, 409, 412, 413, 415, 422),
    openapi_extra=openapi.change(BODY, match=True),
)
def act(call: Calling, document_id: UUID, action: Action, raw: Annotated[bytes, Depends(json_bytes)]) -> Response:
    """Do it. The answer says where the document is now; what follows by itself comes after."""
    making = MAKING.get(action)
    if making is not None:
        moved = making(call, document_id, raw)
    else:
        container = call.container
        with container.sessions.begin() as session:
            identity = call.identify(session, WRITE)
            command = parse(COMMANDS[action], raw)
            asked = call.asked(identity, command)
            doing = SPECIAL.get(action)
            if doing is None:
                moved = perform(session, container.pictures, document_id, action, command, asked)
            else:
                moved = doing(session, container.pictures, document_id, command, asked)
    call.container.waker.wake()
    return answer(utc(moved.answer), version=moved.answer["version"], repeated=moved.repeated)


@router.get("/documents/{document_id}/actions", responses=openapi.problems(403, 404))
def get_actions(call: Calling, document_id: UUID) -> Response:
    """What I may do now, and what I may do for those I stand in for (send X-Acting-For with it)."""
    with call.container.sessions.begin() as session:
        reader = call.reader(session)
        seen = find(session, reader, document_id)
        items: list[dict[str, Any]] = []
        for acting_for in _as_whom(reader):
            items += _possible(session, call, document_id, reader, acting_for)
    return answer({"items": items, "version": seen.document.version}, version=seen.document.version)


def _as_whom(reader: Reader) -> list[str | None]:
    if reader.asked.acting_for is not None:
        return [reader.asked.acting_for]
    return [None, *(str(person.id) for person in reader.sight.absent)]


def _possible(
    session: Session, call: Call, document_id: UUID, reader: Reader, acting_for: str | None
) -> list[dict[str, Any]]:
    asked = Asked(call.now, "api", reader.person.id, acting_for)
    try:
        snapshot, actor = picture(session, call.container.pictures, read(session, document_id, asked), asked)
    except NotFound:  # seen through somebody else only
        return []
    return [_action_json(document_id, snapshot, actor, a) for a in allowed(snapshot, actor)]


def _action_json(document_id: UUID, snapshot: Snapshot, actor: Actor, action: Action) -> dict[str, Any]:
    model = COMMANDS[action]
    return {
        "action": action.value,
        "acting_for": person_json(actor.acting_for),
        "state": snapshot.state.value,
        "fields": sorted(model.model_fields),
        "required": sorted(n for n, f in model.model_fields.items() if f.is_required()),
        "schema": f"/api/openapi.json{openapi.REF.format(model=model.__name__)}",
        "href": f"/api/v1/documents/{document_id}/actions/{action.value}",
    }
