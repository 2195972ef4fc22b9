"""Who does what in an agency (domain.md §1)."""

from enum import StrEnum


class Role(StrEnum):
    CLERK = "clerk"
    LEADER = "leader"
    UNIT_HEAD = "unit_head"
    HANDLER = "handler"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"
    INTEGRATION = "integration"


class Capacity(StrEnum):
    """In whose name a person signs: the words before the signature (Decree 30/2020, Annex I)."""

    HEAD = "head"
    COLLECTIVE = "TM"
    ACTING_HEAD = "Q"
    DEPUTY = "KT"
    BY_ORDER = "TL"
    BY_DELEGATION = "TUQ"
