"""All tables. The ORM class is the entity; relationships are left out, reads are named queries."""

from docflow.db.models.directory import ApiToken, DirectoryStamp, Membership, Substitution, Unit, User
from docflow.db.models.document import Document, DocumentText, Reader, Relation
from docflow.db.models.files import Blob, DocumentFile, Rendition
from docflow.db.models.flow import Delivery, FlowRun, Idempotency, Outbox
from docflow.db.models.history import History
from docflow.db.models.intake import Arrival, ExchangeMessage, Intake, MailboxMark, MailboxProof
from docflow.db.models.notice import NoticeMail, Notification, NotificationPreference, Webhook, WebhookCall
from docflow.db.models.register import RegisterCounter, RegisterEntry
from docflow.db.models.settings import ConfigVersion, Recalculation
from docflow.db.models.work import Clock, Escalation, StageTime, Task, Urging

__all__ = [
    "ApiToken",
    "Arrival",
    "Blob",
    "Clock",
    "ConfigVersion",
    "Delivery",
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
    "MailboxMark",
    "MailboxProof",
    "Membership",
    "NoticeMail",
    "Notification",
    "NotificationPreference",
    "Outbox",
    "Reader",
    "Recalculation",
    "RegisterCounter",
    "RegisterEntry",
    "Relation",
    "Rendition",
    "StageTime",
    "Substitution",
    "Task",
    "Unit",
    "Urging",
    "User",
    "Webhook",
    "WebhookCall",
]
