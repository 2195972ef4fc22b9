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


_BY_NAME = {group.value: group for group in Group}
_ELSEWHERE = {"task_consult": Group.CONSULT, "task_extension": Group.EXTENSION}


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


_AT_ONCE = frozenset({Group.URGE, Group.DEADLINE})
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
    "delivery_failed": ("Không gửi được {vi} đến một nơi nhận", "{en} could not be sent to a recipient"),
}
_OTHER = ("Có tin mới về {vi}", "There is news of {en}")
_PHASES = ("deadline_soon", "deadline_due", "deadline_late")
KINDS = ("deadline_remind", "deadline_notify", *(kind for kind in _SENTENCES if kind not in _PHASES))
_FREE_TEXT = ("text", "reason", "question")


def sentence(kind: str, data: Mapping[str, Any], about: About, zone: ZoneInfo) -> Words:
    """One plain sentence; ``data`` as ``told_data`` gave it."""
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
