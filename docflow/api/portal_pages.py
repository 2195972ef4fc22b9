"""The pages behind a link, in Vietnamese and English: plain HTML that works without scripts and loads nothing."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from string import Template
from typing import Literal

Language = Literal["vi", "en"]

STYLE = """
:root { color-scheme: light dark; }
body { font: 1.05rem/1.6 system-ui, "Noto Sans", sans-serif; margin: 0; padding: 2rem 1rem; }
main { max-width: 34rem; margin: 0 auto; }
h1 { font-size: 1.35rem; line-height: 1.3; } h2 { font-size: 1.1rem; }
p.agency { margin: 0; font-weight: 600; }
form { margin: 1.25rem 0; }
label { display: block; font-weight: 600; margin-bottom: .35rem; }
input { font: inherit; letter-spacing: .15em; padding: .6rem .75rem; width: 12rem; max-width: 100%;
  box-sizing: border-box; }
button { font: inherit; font-weight: 600; padding: .65rem 1.25rem; margin-top: .75rem; border: 2px solid;
  border-radius: .4rem; background: #14487d; color: #fff; cursor: pointer; }
button.second { background: transparent; color: inherit; }
.notice { border-left: .35rem solid #b45309; padding: .25rem .9rem; margin: 1.25rem 0; }
ul { padding-left: 1.2rem; } li { margin: .6rem 0; overflow-wrap: anywhere; }
.small { font-size: .9rem; } nav { margin-top: 2.5rem; font-size: .9rem; }
a:focus-visible, button:focus-visible, input:focus-visible { outline: 3px solid #d97706; outline-offset: 2px; }
"""
CSP = (
    "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}
PAGE = Template(
    """<!doctype html>
<html lang="$lang">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title><style>$style</style></head>
<body><main>$body<nav><a href="?lang=$other" lang="$other" hreflang="$other">$other_name</a></nav></main></body>
</html>
"""
)
WORDS: Mapping[Language, Mapping[str, str]] = {
    "vi": {
        "title": "Nhận văn bản",
        "nothing": "Không có văn bản nào tại địa chỉ này",
        "nothing_why": "Địa chỉ sai hoặc không còn hiệu lực. Hãy kiểm tra địa chỉ trong thư, hoặc hỏi cơ quan gửi.",
        "waits": "Văn bản {notation} chờ quý cơ quan",
        "number_less": "gửi đến",
        "how": "Bấm nút dưới đây để nhận mã dùng một lần. Mã gồm 8 chữ số, được gửi đến hộp thư đã nhận địa chỉ này.",
        "until": "Địa chỉ này có hiệu lực đến {until}.",
        "send": "Gửi mã cho tôi",
        "again": "Gửi mã khác",
        "sent": "Nếu còn được phép, mã đã được gửi và có hiệu lực trong 10 phút.",
        "code": "Mã dùng một lần",
        "open": "Mở văn bản",
        "wrong": "Mã không đúng. Còn {left} lần thử với mã này.",
        "over": "Mã không còn dùng được. Hãy yêu cầu mã khác.",
        "many": "Đã gửi đủ số mã cho phép trong ngày. Hãy thử lại sau, hoặc liên hệ cơ quan đã gửi.",
        "slow": "Quá nhiều lần thử từ nơi này. Hãy đợi vài phút rồi thử lại.",
        "files": "Tệp văn bản",
        "size": "{size} byte",
        "check": "Mã kiểm tra SHA-256",
        "expired": "Địa chỉ này đã hết hiệu lực",
        "expired_why": "Hãy liên hệ cơ quan đã gửi để được gửi lại.",
        "recalled": "Văn bản {notation} đã được thu hồi",
        "recalled_why": "Cơ quan đã gửi thu hồi văn bản này. Đề nghị không sử dụng và hủy các bản đã tải về.",
        "replaced": "Văn bản {notation} đã được thay thế",
        "replaced_why": "Văn bản thay thế: {by}.",
        "other": "English",
    },
    "en": {
        "title": "Receive a document",
        "nothing": "Nothing waits at this address",
        "nothing_why": "The address is wrong or works no longer. Check it against the mail, or ask whoever sent it.",
        "waits": "Document {notation} waits for you",
        "number_less": "sent to you",
        "how": "Press the button for a one-time code: 8 digits, sent to the mailbox that received this address.",
        "until": "This address works until {until}.",
        "send": "Send me the code",
        "again": "Send another code",
        "sent": "If it is still allowed, the code was sent and works for 10 minutes.",
        "code": "One-time code",
        "open": "Open the document",
        "wrong": "The code is not right. {left} more tries with this one.",
        "over": "The code works no longer. Ask for another one.",
        "many": "As many codes as a day allows were sent. Try again later, or ask whoever sent the document.",
        "slow": "Too many tries from where you are. Wait some minutes and try again.",
        "files": "Files",
        "size": "{size} bytes",
        "check": "SHA-256 check",
        "expired": "This address works no longer",
        "expired_why": "Ask whoever sent it to send it again.",
        "recalled": "Document {notation} was recalled",
        "recalled_why": "The sender has taken it back. Please do not use it, and destroy the copies you fetched.",
        "replaced": "Document {notation} was replaced",
        "replaced_why": "It was replaced by {by}.",
        "other": "Tiếng Việt",
    },
}


def language_of(wanted: str | None, accepted: str) -> Language:
    """What was chosen, else what the browser asks for first, else Vietnamese."""
    if wanted in WORDS:
        return "en" if wanted == "en" else "vi"
    first = accepted.partition(",")[0].strip().lower()
    return "en" if first and not first.startswith(("vi", "*")) else "vi"


def page(lang: Language, body: str) -> str:
    other: Language = "en" if lang == "vi" else "vi"
    words = WORDS[lang]
    filled = {"lang": lang, "title": escape(words["title"]), "style": STYLE, "body": body}
    return PAGE.substitute(filled, other=other, other_name=escape(words["other"]))


def message(lang: Language, name: str, agency: str = "", **values: str) -> str:
    """A page that only says something: nothing, expired, recalled or replaced."""
    said, why = _say(lang, name, **values), _say(lang, f"{name}_why", **values)
    return page(lang, f"{_agency(agency)}<h1>{said}</h1><p>{why}</p>")


def door(
    lang: Language,
    *,
    agency: str,
    notation: str,
    until: str,
    path: str,
    code_waits: bool,
    notice: str = "",
    **values: str,
) -> str:
    """``path`` is that of the link itself; ``notice`` names what is to be said, such as ``wrong``."""
    title = _say(lang, "waits", notation=notation or WORDS[lang]["number_less"])
    said = f'<p class="notice" role="alert">{_say(lang, notice, **values)}</p>' if notice else ""
    first = _give(lang, path) if code_waits else f"<p>{_say(lang, 'how')}</p>"
    last = f'<p class="small">{_say(lang, "until", until=until)}</p>'
    return page(lang, f"{_agency(agency)}<h1>{title}</h1>{said}{first}{_ask(lang, path, code_waits)}{last}")


def _ask(lang: Language, path: str, code_waits: bool) -> str:
    """Once a code is on its way, asking for another is the lesser thing to do."""
    kind, name = (' class="second"', "again") if code_waits else ("", "send")
    button = f"<button{kind}>{_say(lang, name)}</button>"
    return f'<form method="post" action="{escape(path)}/code?lang={lang}">{button}</form>'


def _give(lang: Language, path: str) -> str:
    return (
        f'<form method="post" action="{escape(path)}?lang={lang}"><label for="code">{_say(lang, "code")}</label>'
        '<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="12" required'
        f" autofocus><div><button>{_say(lang, 'open')}</button></div></form>"
    )


def inside(
    lang: Language, *, agency: str, notation: str, subject: str, path: str, files: Sequence[tuple[str, int, str]]
) -> str:
    """``files`` are (name, bytes, SHA-256)."""
    items = "".join(_item(lang, f"{path}/files/{number}", *file) for number, file in enumerate(files))
    head = f"{_agency(agency)}<h1>{escape(notation)}</h1><p>{escape(subject)}</p>"
    return page(lang, f"{head}<h2>{_say(lang, 'files')}</h2><ul>{items}</ul>")


def _item(lang: Language, path: str, name: str, size: int, sha: str) -> str:
    about = f"{_say(lang, 'size', size=f'{size:,}')} · {_say(lang, 'check')}: <code>{sha}</code>"
    return f'<li><a href="{escape(path)}" download>{escape(name)}</a><div class="small">{about}</div></li>'


def _agency(name: str) -> str:
    return f'<p class="agency">{escape(name)}</p>' if name else ""


def _say(lang: Language, name: str, **values: str) -> str:
    return escape(WORDS[lang][name].format_map(values))
