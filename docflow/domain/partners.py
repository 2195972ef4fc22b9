"""The agencies we exchange documents with: how they are known, and how they write (``config/partners.yaml``)."""

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from docflow.domain.checked import Checked, Code, Email, Finding, Flag, Name, Short, refuse, refuse_one
from docflow.domain.timing import Urgency


def _web_address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        refuse_one(f"'{text}' is not a web address", "write https://host/path")
    return text


class EdxmlExchange(Checked):
    """Where a partner takes edXML, and what its codes mean. ``secret`` names the shared secret
    (``DOCFLOW_SECRETS__…``), ``sign_as`` is the name under which it knows ours."""

    url: Annotated[str, StringConstraints(max_length=2000), AfterValidator(_web_address)] | None = None
    secret: Name | None = None
    sign_as: Name | None = None
    priorities: dict[str, Urgency] = Field(default_factory=dict)
    types: dict[str, Name] = Field(default_factory=dict)
    statuses: Flag = True

    @model_validator(mode="after")
    def _signs_with_a_secret(self) -> Self:
        if self.sign_as is not None and self.secret is None:
            refuse([Finding("there is no secret to sign with", "name it in 'secret', or leave it out", ("sign_as",))])
        return self


class DocumentWebhook(Checked):
    """Where a partner takes documents as JSON. ``secret`` names the shared secret (``DOCFLOW_SECRETS__…``) that signs
    them; ``sign_as`` is the name under which it knows ours, left out the secret's."""

    url: Annotated[str, StringConstraints(max_length=2000), AfterValidator(_web_address)]
    secret: Name
    sign_as: Name | None = None


class Partner(Checked):
    """``organ_ids`` are its edXML codes (QCVN 102); a domain covers its subdomains."""

    name: Name
    title: Short
    organ_ids: tuple[Code, ...] = ()
    domains: tuple[Short, ...] = ()
    addresses: tuple[Email, ...] = ()
    trusted: Flag = False
    edxml: EdxmlExchange | None = None
    webhook: DocumentWebhook | None = None

    def has_address(self, address: str) -> bool:
        folded = address.casefold()
        domain = "." + folded.rpartition("@")[2]
        return folded in (a.casefold() for a in self.addresses) or any(
            domain.endswith("." + known.casefold().lstrip("@.")) for known in self.domains
        )


def by_address(partners: Iterable[Partner], address: str) -> Partner | None:
    return next((p for p in partners if address and p.has_address(address)), None)


def by_organ(partners: Iterable[Partner], organ_id: str) -> Partner | None:
    """Codes are compared without regard to letter case."""
    wanted = organ_id.casefold()
    return next((p for p in partners if wanted in (o.casefold() for o in p.organ_ids)), None)


def addressed(partners: Iterable[Partner], address: str) -> Partner | None:
    """A recipient of edXML, or of a webhook, is named by the partner's name or by one of its codes."""
    known = tuple(partners)
    return next((p for p in known if p.name == address.casefold()), None) or by_organ(known, address)
