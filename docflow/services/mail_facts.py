"""What the rules look at in a mail that was taken in, and which of them takes it."""

from dataclasses import dataclass

from docflow.domain.configuration import Configuration
from docflow.domain.mail_rules import MailFacts, MailRule
from docflow.domain.partners import by_address
from docflow.services.authentication import Verdict, authenticated
from docflow.services.letters import Refusal, TakenIn
from docflow.services.ports import ParsedMail


@dataclass(frozen=True, slots=True)
class Chosen:
    """``rule`` is the first that fits; ``trusted`` says that the document may be registered by itself."""

    facts: MailFacts
    sender: Verdict
    rule: MailRule | None

    @property
    def trusted(self) -> bool:
        return self.rule is not None and self.rule.then.trusts(self.facts)

    def refusal(self, policy: str) -> Refusal | None:
        """Why the sender keeps it out; ``policy`` is ``unknown_sender`` of ``config/intake.yaml``."""
        if policy == "accept" or self.rule is not None or self.facts.partner is not None:
            return None
        return Refusal("unknown_sender", "No rule and no partner names its sender. Release it, or reject it.")


def choose(configuration: Configuration, taken: TakenIn, mail: ParsedMail) -> Chosen:
    sender = authenticated(mail, configuration.intake.authserv_id)
    facts = facts_of(configuration, taken, mail, confirmed=sender.authenticated)
    return Chosen(facts, sender, configuration.rule_for(facts))


def facts_of(configuration: Configuration, taken: TakenIn, mail: ParsedMail, *, confirmed: bool) -> MailFacts:
    """Recipients of the envelope go before those of the header, which blind copies and lists leave out."""
    partner = by_address(configuration.partners, mail.sender)
    envelope = taken.envelope
    return MailFacts(
        sender=mail.sender,
        recipients=tuple(dict.fromkeys((*envelope.get("recipients", ()), *mail.recipients))),
        subject=mail.subject,
        attachment_types=tuple(part.media_type for part in taken.parts),
        attachment_names=tuple(part.name for part in taken.parts),
        size=taken.raw.size,
        authenticated=confirmed,
        partner=partner.name if partner else None,
        channel=envelope.get("channel", ""),
        source=envelope.get("source", ""),
    )
