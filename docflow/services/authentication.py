"""Whether our own mail server confirmed a mail's sender: its Authentication-Results (RFC 8601)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import authres
import authres.dmarc

from docflow.services.ports import ParsedMail

SEVERAL_SENDERS = "several senders"
"""The reader's defect where From names more than one: nobody can say which of them was confirmed."""
_LONGEST = 16_384
_AUTHSERV_ID = re.compile(r'[\s"]*([^\s;"()]*)')
_WITH_DMARC = authres.FeatureContext(authres.dmarc)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` names the result that decided, for people."""

    authenticated: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Result:
    """One method's result; ``domain`` is whom it is about."""

    method: str
    result: str
    domain: str


def authenticated(mail: ParsedMail, authserv_id: str | None) -> Verdict:
    """By DMARC where the server looked at it, else by a DKIM signature or SPF of the From address's own domain.

    Only the topmost results of ``authserv_id`` count: what stands lower may have come with the mail (RFC 8601 § 5).
    """
    if authserv_id is None:
        return Verdict(False, "intake.yaml names no authserv_id, so nobody's Authentication-Results count")
    domain = _ascii(mail.sender.rpartition("@")[2])
    if not domain:
        return Verdict(False, "the mail has no sender")
    if SEVERAL_SENDERS in mail.defects:
        return Verdict(False, "From names several senders")
    headers = _ours(mail.authentication, authserv_id.casefold())
    if not headers:
        return Verdict(False, f"there are no Authentication-Results of {authserv_id} that can be read")
    return _judged(_decisive(headers), domain, authserv_id)


def _judged(results: list[_Result], domain: str, authserv_id: str) -> Verdict:
    dmarc = next((r for r in results if r.method == "dmarc" and r.result != "none"), None)
    if dmarc is not None:
        # Without header.from nobody knows which address the server took for the sender's.
        passed = dmarc.result == "pass" and dmarc.domain == domain
        return Verdict(passed, f"dmarc={dmarc.result} for {dmarc.domain or 'an unnamed domain'}")
    for result in results:
        if result.method in ("dkim", "spf") and result.result == "pass" and aligned(result.domain, domain):
            return Verdict(True, f"{result.method}=pass for {result.domain}")
    return Verdict(False, f"nothing that {authserv_id} says confirms {domain}")


def aligned(confirmed: str, domain: str) -> bool:
    """Equal, or a parent with at least two labels. Stricter than RFC 7489 § 3.1, which needs the public suffix list to
    know the organisation: a subdomain does not speak for its parent, since that may be a suffix (``gov.vn``)."""
    return confirmed == domain or ("." in confirmed and domain.endswith("." + confirmed))


def _ours(headers: tuple[str, ...], authserv_id: str) -> list[list[_Result]]:
    """The topmost unbroken row of our own headers; one of them that cannot be read ends it."""
    found: list[list[_Result]] = []
    for header in headers:
        if _whose(header) == authserv_id:
            results = _read(header)
            if results is None:
                break
            found.append(results)
        elif found:
            break
    return found


def _whose(header: str) -> str:
    named = _AUTHSERV_ID.match(header)
    return named[1].casefold() if named else ""


def _decisive(headers: list[list[_Result]]) -> list[_Result]:
    """Of each method only what its topmost header says."""
    decided: set[str] = set()
    found: list[_Result] = []
    for results in headers:
        found += [result for result in results if result.method not in decided]
        decided |= {result.method for result in results}
    return found


def _read(header: str) -> list[_Result] | None:
    """None where it is broken. The library raises whatever its grammar stumbles over."""
    if len(header) > _LONGEST:
        return None
    try:
        parsed = _WITH_DMARC.parse_value(" ".join(header.split()))
        return list(_results(parsed.results))
    except Exception:  # noqa: BLE001
        return None


def _results(parsed: list[Any]) -> Iterator[_Result]:
    for one in parsed:
        properties = {f"{p.type}.{p.name}".casefold(): str(p.value or "") for p in reversed(one.properties)}
        yield _Result(one.method, one.result, _ascii(_about(one.method, properties)))


def _about(method: str, properties: dict[str, str]) -> str:
    match method:
        case "dmarc":
            return properties.get("header.from", "")
        case "dkim":
            return properties.get("header.d") or properties.get("header.i", "").rpartition("@")[2]
        case "spf":
            return properties.get("smtp.mailfrom", "").rpartition("@")[2]
    return ""


def _ascii(domain: str) -> str:
    """Servers write internationalised domains as A-labels, people as they are."""
    folded = domain.strip(" .<>\"'").casefold()
    try:
        return folded if folded.isascii() else folded.encode("idna").decode("ascii")
    except UnicodeError:
        return folded
