"""``config/signing.yaml``, ``config/trust.yaml``, ``config/retention.yaml``: whose keys sign at which level, whom we
believe, and how long what was signed stays locked."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from docflow.domain.checked import Checked, Day, Finding, Flag, Name, Short, Text, Username, refuse, refuse_one

AGENCY = "agency"
"""Who owns the agency's seal, among keys and pictures."""


class Level(StrEnum):
    """Of a signature (ETSI EN 319 142-1): as made; with a time stamp; with all that proves it; renewable for good."""

    B_B = "B-B"
    B_T = "B-T"
    B_LT = "B-LT"
    B_LTA = "B-LTA"

    @property
    def stamped(self) -> bool:
        """Whether it needs a time-stamp authority."""
        return self is not Level.B_B


class Pkcs12Settings(Checked):
    """A key file below ``<data>/keys``; ``secret`` names its passphrase, else each signature brings it as ``pin``."""

    kind: Literal["pkcs12"]
    owner: Username
    file: Annotated[str, Field(min_length=1, max_length=200)]
    secret: Name | None = None

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        path = PurePath(self.file)
        if path.is_absolute() or ".." in path.parts:
            refuse_one(f"'{self.file}' leads out of the keys' folder", "name a file below the data folder's keys/")
        return self


class Pkcs11Settings(Checked):
    """A key in a token or a security module, found by the token's label and its own; ``secret`` names the PIN, else
    each signature brings it as ``pin``."""

    kind: Literal["pkcs11"]
    owner: Username
    module: Annotated[str, Field(min_length=1, max_length=300)]
    token: Annotated[str, Field(min_length=1, max_length=32)]
    key: Annotated[str, Field(min_length=1, max_length=100)]
    secret: Name | None = None


class CscSettings(Checked):
    """A key kept by a remote signing service (Cloud Signature Consortium API v1). ``secret`` names the access token,
    ``pin_secret`` the credential's PIN, else each signature brings it as ``pin``."""

    kind: Literal["csc"]
    owner: Username
    url: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=500)]
    credential: Annotated[str, Field(min_length=1, max_length=200)]
    secret: Name | None = None
    pin_secret: Name | None = None


KeySettings = Annotated[Pkcs12Settings | Pkcs11Settings | CscSettings, Field(discriminator="kind")]


class SealSettings(Checked):
    """``required``: nothing signed leaves without the agency's seal (Decree 30/2020 art. 25)."""

    required: Flag = True
    level: Level | None = None


class Place(Checked):
    """A box on a page, in millimetres from its lower left corner; page 1 is the first, -1 the last."""

    page: Annotated[int, Field(strict=True)] = -1
    x: float
    y: float
    width: Annotated[float, Field(gt=0, le=210)] = 60
    height: Annotated[float, Field(gt=0, le=297)] = 25


class StampTemplate(Checked):
    """Where the person's stamp goes on documents of these ``types`` (none: all): at a fixed ``place``, or over the last
    occurrence of ``anchor`` in the text, where it is found. ``{signer}`` stands for the signer's full name."""

    types: tuple[Name, ...] = ()
    anchor: Short | None = None
    place: Place | None = None

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if self.anchor is None and self.place is None:
            refuse_one("says nowhere", "give 'anchor', 'place', or both")
        return self


class StampSettings(Checked):
    """``visible``: signatures are shown on the page. ``templates`` are tried in order; then the signer's name is looked
    for, and the last page's lower right is what is left."""

    visible: Flag = True
    templates: tuple[StampTemplate, ...] = ()


class SigningSettings(Checked):
    """``level`` is that of every signature unless its document type has its own in ``levels``. ``session_minutes`` is
    how long a prepared signature waits; ``renew_days`` how long before the end of what protects it a file is renewed.

    ``revocation``: ``off`` asks nobody; ``soft`` takes what the authorities answer; ``hard`` trusts no certificate
    whose authority does not answer.
    """

    level: Level = Level.B_B
    levels: dict[Name, Level] = Field(default_factory=dict)
    seal: SealSettings = SealSettings()
    stamps: StampSettings = StampSettings()
    keys: tuple[KeySettings, ...] = ()
    revocation: Literal["off", "soft", "hard"] = "off"
    session_minutes: Annotated[int, Field(strict=True, ge=1, le=24 * 60)] = 15
    renew_days: Annotated[int, Field(strict=True, ge=1, le=3650)] = 180

    @model_validator(mode="after")
    def _one_key_each(self) -> Self:
        refuse(self._twice())
        return self

    def _twice(self) -> Iterator[Finding]:
        seen: set[str] = set()
        for index, key in enumerate(self.keys):
            if key.owner in seen:
                yield Finding(f"'{key.owner}' has two keys", "keep one of them", ("keys", index, "owner"))
            seen.add(key.owner)

    def level_for(self, document_type: str, *, seal: bool = False) -> Level:
        """A seal is at least as good as the signature under it."""
        own = self.levels.get(document_type, self.level)
        if not seal or self.seal.level is None:
            return own
        order = list(Level)
        return max(own, self.seal.level, key=order.index)

    def key_of(self, owner: str) -> Pkcs12Settings | Pkcs11Settings | CscSettings | None:
        return next((key for key in self.keys if key.owner == owner), None)


class TrustAnchor(Checked):
    """An authority we believe: ``certificates`` in PEM (in the file: a file name below ``config/trust``). ``uses``
    says for what; ``until`` ends it, for what was signed later."""

    name: Short
    certificates: Annotated[str, Field(min_length=1, max_length=200_000)]
    uses: tuple[Literal["signing", "timestamp"], ...] = ("signing", "timestamp")
    until: Day | None = None
    note: Text | None = None


class RetentionSettings(Checked):
    """Years for which what was signed or issued cannot be deleted, by document type; archival law says how many."""

    years: Annotated[int, Field(strict=True, ge=0, le=100)] = 10
    types: dict[Name, Annotated[int, Field(strict=True, ge=0, le=100)]] = Field(default_factory=dict)

    def years_for(self, document_type: str) -> int:
        return self.types.get(document_type, self.years)
