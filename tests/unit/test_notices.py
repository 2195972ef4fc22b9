"""The words of notifications, and who wants them how."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from docflow.domain.notices import (
    DEFAULTS,
    KINDS,
    WITHOUT_DOCUMENT,
    About,
    Group,
    Preference,
    collected_sentence,
    group_of,
    muted_kinds,
    sentence,
    told_data,
    without_document,
)

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
PLAIN = About.of(15, None, "Về việc họp", 0)
DUE = "2026-03-03T10:00:00+00:00"


def said(kind: str, data: dict[str, Any] | None = None, about: About = PLAIN) -> str:
    return sentence(kind, data or {}, about, HANOI).vietnamese


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-03-03T09:59:59+00:00", "Văn bản đến số 15 (Về việc họp) sắp đến hạn: 17:00 03/03/2026."),
        (DUE, "Văn bản đến số 15 (Về việc họp) đến hạn: 17:00 03/03/2026."),
        ("2026-03-03T17:00:01+07:00", "Văn bản đến số 15 (Về việc họp) đã quá hạn từ 17:00 03/03/2026."),
    ],
)
def test_a_deadlines_words_follow_when_its_step_was_due(at: str, expected: str) -> None:
    assert said("deadline_remind", {"at": at, "due_at": DUE}) == expected


ON_DOCUMENTS = [kind for kind in KINDS if kind not in WITHOUT_DOCUMENT]


@pytest.mark.parametrize("kind", [*ON_DOCUMENTS, "something_new"])
def test_every_kind_has_a_sentence_in_both_languages_that_names_the_document(kind: str) -> None:
    words = sentence(kind, {"at": DUE, "due_at": DUE}, About.of(3, "15/QĐ-UBND", "Bổ nhiệm", 0), HANOI)
    for text in (words.vietnamese, words.english):
        assert "15/QĐ-UBND" in text
        assert "Bổ nhiệm" in text
        assert text.endswith(".")
        assert text[0].isupper()


@pytest.mark.parametrize("kind", ON_DOCUMENTS)
@pytest.mark.parametrize("secrecy", [1, 2, 3])
def test_of_a_secret_document_nothing_but_its_number_is_said(kind: str, secrecy: int) -> None:
    data = {"text": "lời riêng", "reason": "lời riêng", "question": "lời riêng", "whatever": "lời riêng", "due_at": DUE}
    told = told_data(data, secrecy)
    assert told == {"due_at": DUE}
    words = sentence(kind, told, About.of(15, None, "Điều mật", secrecy), HANOI)
    assert "15" in words.vietnamese
    assert not any(hidden in str(words) for hidden in ("lời riêng", "Điều mật"))


def test_braces_in_a_subject_are_only_braces() -> None:
    assert "{due} {0}" in said("task_main", about=About.of(1, None, "{due} {0}", 0))


def test_a_document_without_a_number_is_still_named() -> None:
    assert said("task_stage", about=About.of(None, None, "Về việc họp", 0)) == (
        "Văn bản chưa có số (Về việc họp) đang chờ bạn xử lý."
    )


def test_several_are_counted_by_what_they_are_about() -> None:
    words = collected_sentence(["deadline_remind", "urge_review", "deadline_notify", "task_consult"])
    assert words.vietnamese == "Bạn có 4 thông báo: 2 về thời hạn, 1 đôn đốc, 1 lấy ý kiến."


def test_kinds_belong_to_groups_and_new_ones_to_tasks() -> None:
    groups = {kind: group_of(kind) for kind in ("task_main", "task_consult", "task_extension", "urge_review", "new")}
    assert groups == {
        "task_main": Group.TASK,
        "task_consult": Group.CONSULT,
        "task_extension": Group.EXTENSION,
        "urge_review": Group.URGE,
        "new": Group.TASK,
    }


def test_what_is_muted_follows_the_groups() -> None:
    assert muted_kinds(DEFAULTS) == []
    assert muted_kinds({Group.DEADLINE: Preference(in_app=False)}) == ["deadline_remind", "deadline_notify"]


LETTER = {"intake": "019a0c5e-7c1e-7b3a-9d55-0f3b1a2c4d5e", "reason_code": "unreadable", "sender": "a@stc.example"}
MAILBOX = {"mailbox": "vanthu", "folder": "scan", "day": "2026-03-02", "missing": 2, "since": DUE}


@pytest.mark.parametrize("kind", [*WITHOUT_DOCUMENT, "intake_new"])
def test_what_is_no_document_has_a_sentence_in_both_languages_that_leaves_nothing_open(kind: str) -> None:
    words = without_document(kind, LETTER | MAILBOX, HANOI)
    for text in (words.vietnamese, words.english):
        assert text.endswith(".")
        assert text[0].isupper()
        assert "?" not in text
        assert "{" not in text


def test_a_letter_in_quarantine_is_told_with_its_sender_and_the_reason_in_words() -> None:
    words = without_document("intake_quarantined", LETTER, HANOI)
    assert words.vietnamese == (
        "Một thư đến bị giữ lại chờ văn thư xem xét (không đọc được); người gửi: a@stc.example."
    )
    assert words.english == "A letter from a@stc.example is kept in quarantine (it cannot be read)."


def test_braces_of_a_sender_are_only_braces() -> None:
    assert "{0}{why_vi}@x" in without_document("intake_quarantined", {"sender": "{0}{why_vi}@x"}, HANOI).english
