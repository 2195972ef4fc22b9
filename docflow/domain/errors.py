"""Every way a request can fail, by kind.

Messages say what was wrong and what to do. HTTP statuses are chosen in ``docflow.api.errors``.
"""

from typing import Any, ClassVar


class DocflowError(Exception):
    """Base of all expected failures; ``code`` is stable and part of the public surface."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class Invalid(DocflowError):
    """The input breaks a rule of the field."""

    code = "invalid"


class Unauthenticated(DocflowError):
    code = "unauthenticated"


class Throttled(DocflowError):
    """Too many attempts; ``details['retry_after']`` is in seconds."""

    code = "throttled"


class Forbidden(DocflowError):
    code = "forbidden"


class NotFound(DocflowError):
    """Absent, or not to be seen by this person: the two look the same."""

    code = "not_found"


class StaleVersion(DocflowError):
    """Somebody changed the document since it was read."""

    code = "stale_version"


class PreconditionRequired(DocflowError):
    code = "precondition_required"


class Duplicate(DocflowError):
    code = "duplicate"


class IdempotencyMismatch(DocflowError):
    """The same Idempotency-Key came with another request."""

    code = "idempotency_mismatch"


class IllegalTransition(DocflowError):
    """The document is in a state that does not know this action."""

    code = "illegal_transition"

    def __init__(self, current: str, action: str, allowed: list[str], why: str = "") -> None:
        listed = ", ".join(allowed) if allowed else "none"
        reason = f" {why}" if why else ""
        super().__init__(
            f"'{action}' is not possible while the document is in '{current}'.{reason} You may: {listed}.",
            state=current,
            action=action,
            allowed=allowed,
        )


class SessionOver(IllegalTransition):
    """A prepared signature that cannot be finished any more; ``details['state']`` is expired or void."""

    code = "session_over"

    def __init__(self, message: str, *, state: str) -> None:
        DocflowError.__init__(self, message, state=state, allowed=[])


class TooLarge(DocflowError):
    code = "too_large"


class UnsupportedFile(DocflowError):
    """The bytes are not of a kind that is accepted, or not of the kind they claim."""

    code = "unsupported_file"


class VirusFound(DocflowError):
    """``details['virus']`` is its name as the scanner says it."""

    code = "virus"


class Unsupported(DocflowError):
    """A part that is there cannot do what is asked: the object store knows no locks, or no converter is installed."""

    code = "unsupported"


class IntegrityFailure(DocflowError):
    """Stored bytes do not match their recorded hash, or history does not match its chain."""

    code = "integrity_failure"


class Unavailable(DocflowError):
    """A part that is needed right now does not answer; trying again later is right."""

    code = "unavailable"


class ConfigInvalid(DocflowError):
    """``details['problems']`` lists file, line, field, what is wrong and the remedy."""

    code = "config_invalid"


class SigningFailed(DocflowError):
    code = "signing_failed"


class DeliveryFailed(DocflowError):
    """``permanent`` says whether trying again can help."""

    code = "delivery_failed"

    def __init__(self, message: str, *, permanent: bool, **details: Any) -> None:
        super().__init__(message, **details)
        self.permanent = permanent
