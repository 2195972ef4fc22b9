"""All tables. The ORM class is the entity; relationships are left out, reads are named queries."""

from docflow.db.models.directory import ApiToken, DirectoryStamp, Membership, Substitution, Unit, User
from docflow.db.models.document import Document, DocumentText, Reader, Relation
from docflow.db.models.files import Blob, DocumentFile, Rendition
from docflow.db.models.flow import Delivery, DeliveryEvent, FlowRun, Idempotency, Outbox, PortalAccess
from docflow.db.models.history import History
from docflow.db.models.intake import Arrival, ExchangeMessage, Intake, MailboxMark, MailboxProof
from docflow.db.models.notice import NoticeMail, Notification, NotificationPreference, Webhook, WebhookCall
from docflow.db.models.register import RegisterCounter, RegisterEntry
from docflow.db.models.settings import ConfigVersion, Recalculation
from docflow.db.models.signing import (
    Delegation,
    MadeSignature,
    Retention,
    SigningSession,
    StampImage,
    Verification,
)
from docflow.db.models.work import Clock, Escalation, StageTime, Task, Urging

__all__ = [
    "ApiToken",
    "Arrival",
    "Blob",
    "Clock",
    "ConfigVersion",
    "Delegation",
    "Delivery",
    "DeliveryEvent",
    "DirectoryStamp",
    "Document",
    "DocumentFile",
    "DocumentText",
    "Escalation",
    "ExchangeMessage",
    "FlowRun",
    "History",
    "Idempotency",
    "Intake",
    "MadeSignature",
    "MailboxMark",
    "MailboxProof",
    "Membership",
    "NoticeMail",
    "Notification",
    "NotificationPreference",
    "Outbox",
    "PortalAccess",
    "Reader",
    "Recalculation",
    "RegisterCounter",
    "RegisterEntry",
    "Relation",
    "Rendition",
    "Retention",
    "SigningSession",
    "StageTime",
    "StampImage",
    "Substitution",
    "Task",
    "Unit",
    "Urging",
    "User",
    "Verification",
    "Webhook",
    "WebhookCall",
]
