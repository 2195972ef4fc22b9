"""What people are told of, in which words, and how they want to hear it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

Email = Literal["now", "digest", "off"]

COLLECTED = "collected"
"""The kind of one notification that stands for several."""


class Group(StrEnum):
    """Kinds of notifications that people choose about together."""

    TASK = "task"
    DEADLINE = "deadline"
    URGE = "urge"
    CONSULT = "consult"
    EXTENSION = "extension"
    DELIVERY = "delivery"
    INTAKE = "intake"


_BY_NAME = {group.value: group for group in Group}
_ELSEWHERE = {"task_consult": Group.CONSULT, "task_extension": Group.EXTENSION, "signature_broken": Group.INTAKE}


def group_of(kind: str) -> Group:
    """Kinds begin with their group's name, but for tasks that belong to another."""
    known = _ELSEWHERE.get(kind)
    if known is not None:
        return known
    return _BY_NAME.get(kind.partition("_")[0], Group.TASK)


@dataclass(frozen=True, slots=True)
class Preference:
    """``in_app`` False: it is there, but counts as read. ``digest`` gathers a day's mails into one."""

    in_app: bool = True
    email: Email = "digest"


_AT_ONCE = frozenset({Group.URGE, Group.DEADLINE, Group.INTAKE})
DEFAULTS: Mapping[Group, Preference] = MappingProxyType(
    {group: Preference(email="now" if group in _AT_ONCE else "digest") for group in Group}
)


@dataclass(frozen=True, slots=True)
class About:
    """As much of a document as a notification may name. A secret one has no subject here (domain.md §3)."""

    number: int | None
    notation: str | None
    subject: str | None

    @staticmethod
    def of(number: int | None, notation: str | None, subject: str, secrecy: int) -> "About":
        return About(number, notation, subject if secrecy == 0 else None)

    def vietnamese(self) -> str:
        named = f"số {self.notation}" if self.notation else f"đến số {self.number}" if self.number else "chưa có số"
        return f"văn bản {named}" + (f" ({self.subject})" if self.subject else "")

    def english(self) -> str:
        named = f"document {self.notation}" if self.notation else f"incoming document {self.number}"
        if not (self.notation or self.number):
            named = "a document without a number"
        return named + (f" ({self.subject})" if self.subject else "")


_PLAIN = frozenset({"policy", "due_at", "at", "grade", "task", "asked"})
"""Of a notification's data, what tells nothing of a document's content."""


def told_data(data: Mapping[str, Any], secrecy: int) -> dict[str, Any]:
    """What may be told of a notification's data: no free text of a secret document."""
    return {name: value for name, value in data.items() if secrecy == 0 or name in _PLAIN}


@dataclass(frozen=True, slots=True)
class Words:
    vietnamese: str
    english: str


_SENTENCES: Mapping[str, tuple[str, str]] = {
    "task_stage": ("{vi} đang chờ bạn xử lý", "{en} waits for you"),
    "task_main": ("Bạn được giao chủ trì xử lý {vi}", "You are the main handler of {en}"),
    "task_co": ("Bạn được giao phối hợp xử lý {vi}", "You are a co-handler of {en}"),
    "task_information": ("Bạn nhận {vi} để biết", "You were sent {en} for information"),
    "task_step": ("{vi} đang chờ bạn duyệt", "{en} waits for your approval"),
    "task_consult": ("Bạn được lấy ý kiến về {vi}", "Your opinion is asked on {en}"),
    "task_extension": ("Có đề nghị gia hạn đối với {vi} chờ bạn quyết định", "An extension is asked of you for {en}"),
    "deadline_soon": ("{vi} sắp đến hạn: {due}", "{en} will soon be due: {due}"),
    "deadline_due": ("{vi} đến hạn: {due}", "{en} is due: {due}"),
    "deadline_late": ("{vi} đã quá hạn từ {due}", "{en} is overdue since {due}"),
    "urge_reminder": ("Bạn được đôn đốc (nhắc nhở) về {vi}", "You are urged (reminder) on {en}"),
    "urge_criticism": ("Bạn bị đôn đốc (phê bình) về {vi}", "You are urged (criticism) on {en}"),
    "urge_review": ("Bạn bị đôn đốc (kiểm điểm) về {vi}", "You are urged (review) on {en}"),
    "extension_granted": (
        "Đề nghị gia hạn đối với {vi} được chấp thuận, hạn mới là {due}",
        "Your extension for {en} was granted, it is now due {due}",
    ),
    "extension_refused": ("Đề nghị gia hạn đối với {vi} không được chấp thuận", "Your extension for {en} was refused"),
    "consult_complete": ("Đã nhận đủ ý kiến về {vi}", "All opinions on {en} have come in"),
    "delivery_refused": ("Một nơi nhận đã từ chối {vi}", "A recipient refused {en}"),
    "delivery_bounced": ("{vi} bị trả về từ một nơi nhận", "{en} came back from a recipient"),
    "delivery_answered": ("Nơi nhận đã trả lời {vi}", "A recipient answered {en}"),
    "exchange_take_back": ("Nơi gửi đề nghị thu hồi {vi}", "The sender asks to take back {en}"),
    "exchange_updates": ("Nơi gửi đã cập nhật {vi}", "The sender updated {en}"),
    "exchange_replaces": ("Nơi gửi đã thay thế {vi}", "The sender replaced {en}"),
    "signature_broken": ("Chữ ký số trong {vi} không còn nguyên vẹn", "A signature in {en} does not hold"),
    "successor_replaces": ("{vi} được một văn bản khác thay thế", "Another document replaces {en}"),
    "successor_corrects": ("{vi} được một văn bản khác đính chính", "Another document corrects {en}"),
    "renewal_failed": (
        "Chưa gia hạn được dấu thời gian cho chữ ký của {vi}",
        "The signatures of {en} could not get a new time stamp",
    ),
    "delivery_failed": ("Không gửi được {vi} đến một nơi nhận", "{en} could not be sent to a recipient"),
}
_INTAKE: Mapping[str, tuple[str, str]] = {
    "intake_quarantined": (
        "một thư đến bị giữ lại chờ văn thư xem xét ({why_vi}); người gửi: {from_vi}",
        "a letter from {from_en} is kept in quarantine ({why_en})",
    ),
    "intake_mailbox_disagrees": (
        "hộp thư {mailbox} không khớp với sổ tiếp nhận ngày {day}; số thư chưa khớp: {missing}",
        "mailbox {mailbox} and the ledger of {day} do not agree on {missing} mails",
    ),
    "intake_mailbox_failing": (
        "không đọc được hộp thư {mailbox} từ {since}",
        "mailbox {mailbox} could not be read since {since}",
    ),
    "intake_folder_failing": (
        "không đọc được thư mục {folder} từ {since}",
        "folder {folder} could not be read since {since}",
    ),
}
"""Of what is no document yet; ``data`` holds the words in braces, ``day`` and ``since`` in ISO 8601."""
_OTHER = ("Có tin mới về {vi}", "There is news of {en}")
_PHASES = ("deadline_soon", "deadline_due", "deadline_late")
WITHOUT_DOCUMENT = tuple(_INTAKE)
KINDS = (
    "deadline_remind",
    "deadline_notify",
    *(kind for kind in _SENTENCES if kind not in _PHASES),
    *WITHOUT_DOCUMENT,
)
_FREE_TEXT = ("text", "reason", "question")


_REASONS: Mapping[str, tuple[str, str]] = {
    "virus": ("có mã độc", "it holds a virus"),
    "not_scanned": ("chưa quét được mã độc", "it could not be scanned for viruses"),
    "encrypted": ("đã mã hóa", "it is encrypted"),
    "archive_bomb": ("tệp nén bất thường", "it holds an archive bomb"),
    "too_large": ("quá lớn", "it is too large"),
    "too_slow": ("đọc quá lâu", "it takes too long to read"),
    "too_many_parts": ("có quá nhiều phần", "it has too many parts"),
    "too_much_memory": ("tốn quá nhiều bộ nhớ", "it takes too much memory to read"),
    "nested_too_deep": ("lồng quá nhiều lớp", "its parts are nested too deep"),
    "header_too_large": ("phần đầu thư quá lớn", "its header is too large"),
    "unreadable": ("không đọc được", "it cannot be read"),
    "not_a_mail": ("không phải thư điện tử", "it is no mail"),
    "broken_xml": ("XML bị hỏng", "its XML is broken"),
    "hostile_xml": ("XML không an toàn", "its XML is not safe to read"),
    "not_edxml": ("không phải thông điệp edXML", "it is no edXML message"),
    "bad_attachment": ("tệp đính kèm bị hỏng", "a file in it is damaged"),
    "incomplete": ("thiếu thông tin bắt buộc", "it lacks what it must have"),
    "unknown_document": ("nhắc đến văn bản không có ở đây", "it is about a document that is not here"),
    "duplicate": ("trùng với một thư khác", "it is the same as another letter"),
    "empty": ("không có nội dung", "it is empty"),
    "refused": ("không vào sổ được", "it could not be entered"),
    "not_a_paper": ("không phải văn bản", "it is no paper"),
    "unknown_sender": ("người gửi chưa xác định", "its sender is not known"),
    "sender_mismatch": ("người gửi không khớp với xác thực", "its sender is not who it claims to be"),
}


def reason_words(code: str) -> Words:
    """Why a letter is in quarantine; a code without words of its own stands for itself."""
    return Words(*_REASONS.get(code, (code, code)))


def without_document(kind: str, data: Mapping[str, Any], zone: ZoneInfo) -> Words:
    """One plain sentence on what came in and is no document."""
    vietnamese, english = _INTAKE.get(kind, ("có tin mới về tiếp nhận văn bản", "there is news of what came in"))
    why, since = reason_words(str(data.get("reason_code", ""))), _instant(data.get("since"))
    parts = {name: str(data.get(name) or "?") for name in ("mailbox", "folder", "day", "missing")}
    parts |= {"from_vi": data.get("sender") or "không rõ", "from_en": data.get("sender") or "an unknown sender"}
    parts |= {"why_vi": why.vietnamese, "why_en": why.english, "since": _local(since, zone) if since else "?"}
    return Words(_ended(vietnamese.format(**parts), ""), _ended(english.format(**parts), ""))


def sentence(kind: str, data: Mapping[str, Any], about: About, zone: ZoneInfo) -> Words:
    """One plain sentence on a document; ``data`` as ``told_data`` gave it."""
    vietnamese, english = _SENTENCES.get(_phase(kind, data), _OTHER)
    due = _instant(data.get("due_at"))
    parts = {"vi": about.vietnamese(), "en": about.english(), "due": _local(due, zone) if due else "?"}
    said = next((str(data[name]) for name in _FREE_TEXT if data.get(name)), "")
    return Words(_ended(vietnamese.format(**parts), said), _ended(english.format(**parts), said))


def _phase(kind: str, data: Mapping[str, Any]) -> str:
    """A step of a ladder says whether it lies before, at or after the deadline."""
    if group_of(kind) is not Group.DEADLINE:
        return kind
    at, due = _instant(data.get("at")), _instant(data.get("due_at"))
    if at is None or due is None:
        return kind
    return "deadline_soon" if at < due else "deadline_due" if at == due else "deadline_late"


def _instant(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None


def _local(instant: datetime, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).strftime("%H:%M %d/%m/%Y")


def _ended(text: str, said: str) -> str:
    return text[:1].upper() + text[1:] + (f": “{said}”" if said else "") + "."


_COUNTED: Mapping[Group, tuple[str, str]] = {
    Group.TASK: ("giao việc", "tasks"),
    Group.DEADLINE: ("về thời hạn", "on deadlines"),
    Group.URGE: ("đôn đốc", "urging"),
    Group.CONSULT: ("lấy ý kiến", "on consultations"),
    Group.EXTENSION: ("gia hạn", "on extensions"),
    Group.DELIVERY: ("gửi văn bản", "on deliveries"),
    Group.INTAKE: ("tiếp nhận văn bản", "on what came in"),
}


def collected_sentence(kinds: Iterable[str]) -> Words:
    """Of several notifications together."""
    counts = Counter(group_of(kind) for kind in kinds)
    listed = [(counts[group], *_COUNTED[group]) for group in Group if counts[group]]
    vietnamese = ", ".join(f"{n} {word}" for n, word, _ in listed)
    english = ", ".join(f"{n} {word}" for n, _, word in listed)
    return Words(f"Bạn có {counts.total()} thông báo: {vietnamese}.", f"{counts.total()} notifications: {english}.")


def muted_kinds(preferences: Mapping[Group, Preference]) -> list[str]:
    """The kinds that a person does not want to be shown as news."""
    return [kind for kind in KINDS if not preferences.get(group_of(kind), DEFAULTS[group_of(kind)]).in_app]
