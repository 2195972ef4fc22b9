"""Trouble in attachments: names, archives, encryption, signatures, containers, nested messages."""

import struct
import zipfile
from io import BytesIO

from tests.trouble.writing import CRLF, Author, file_part, kind

NOT_SAFE = (
    "../../etc/passwd",
    "..\\..\\windows\\system.ini",
    "/etc/shadow",
    "C:\\a.pdf",
    "a/../b.pdf",
    "~/.ssh/id",
    "..",
    ".",
)


@kind("document")
def path_as_name(author: Author) -> bytes:
    """Names that would leave the folder."""
    return author.with_file(author.pdf(), disposition=f'attachment; filename="{author.chance.choice(NOT_SAFE)}"')


@kind("document")
def name_that_turns_direction(author: Author) -> bytes:
    """``fdp.exe`` that reads ``exe.pdf``."""
    return author.with_file(author.pdf(), disposition='attachment; filename="bao\u202efdp.exe\u2066"')


@kind("document")
def name_with_controls(author: Author) -> bytes:
    """NUL, bell, escape, line ends."""
    return author.with_file(author.pdf(), disposition='attachment; filename="a\x00b\x07\x1b[31m\tc.pdf"')


@kind("document")
def name_missing(author: Author) -> bytes:
    """None, or an empty one."""
    return author.with_file(
        author.pdf(), disposition=author.chance.choice(["attachment", 'attachment; filename=""', "inline"])
    )


@kind("document")
def name_too_long(author: Author) -> bytes:
    """Beyond what file systems hold."""
    return author.with_file(author.pdf(), disposition=f'attachment; filename="{"dài" * 2000}.pdf"')


@kind("document")
def name_in_continuations(author: Author) -> bytes:
    """RFC 2231: in pieces, percent-encoded, out of order or with gaps."""
    ways = (
        "filename*0*=utf-8''b%C3%A1o; filename*1*=%20c%C3%A1o; filename*2=.pdf",
        "filename*1=b.pdf; filename*0=a",
        "filename*0*=utf-8''%C3; filename*5*=%A1",
        "filename*=khong-co''%FF%FE.pdf; filename=a.pdf",
        "filename*=''; filename*0=",
        "filename*99999999999=a.pdf",
        f"filename*0*=utf-8''{'%C3%A1' * 3000}",
    )
    return author.with_file(author.pdf(), disposition=f"attachment; {author.chance.choice(ways)}")


@kind("document")
def name_in_encoded_words(author: Author) -> bytes:
    """RFC 2047 within a parameter: forbidden and common."""
    return author.with_file(author.pdf(), disposition='attachment; filename="=?utf-8?B?YsOhbyBjw6FvLnBkZg==?="')


@kind("document")
def names_alike(author: Author) -> bytes:
    """Several files of one name, one file twice."""
    return author.mixed(*[file_part(author.pdf(), "application/pdf", 'attachment; filename="a.pdf"')] * 3)


@kind("document")
def virus_by_name_only(author: Author) -> bytes:
    """A harmless file of a frightening name."""
    return author.with_file(b"khong phai virus", disposition='attachment; filename="eicar.com"')


@kind("document", heavy=True)
def five_megabytes(author: Author) -> bytes:
    """A large scan."""
    return author.with_file(author.noise(5 * 1024 * 1024), "application/pdf")


@kind("document")
def empty_file(author: Author) -> bytes:
    """An attachment of no bytes."""
    return author.with_file(b"", "application/pdf")


def zipped(name: str, content: bytes) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return made.getvalue()


@kind("document")
def plain_archive(author: Author) -> bytes:
    """What people send."""
    return author.with_file(zipped("báo cáo.txt", author.body().encode()), "application/zip")


@kind("document")
def broken_archive(author: Author) -> bytes:
    """Cut off, or rubbish behind the magic bytes."""
    whole = zipped("a.txt", author.noise(500))
    return author.with_file(author.chance.choice([whole[:300], b"PK\x03\x04" + author.noise(200)]), "application/zip")


BOMB = zipped("a.bin", bytes(40 * 1024 * 1024))


@kind("quarantine:archive_bomb")
def zip_bomb(author: Author) -> bytes:
    """40 MiB of nothing in 40 KB."""
    return author.with_file(BOMB, "application/zip", 'attachment; filename="ho so.zip"')


@kind("quarantine:archive_bomb")
def nested_zip_bomb(author: Author) -> bytes:
    """Archives in archives in archives."""
    packed = zipped("a.txt", b"a")
    for _ in range(author.chance.randrange(6, 12)):
        packed = zipped("a.zip", packed)
    return author.with_file(packed, "application/zip")


@kind("quarantine:archive_bomb")
def bomb_in_a_document(author: Author) -> bytes:
    """Word files are archives."""
    return author.with_file(BOMB, "application/octet-stream", 'attachment; filename="cong van.docx"')


@kind("quarantine:encrypted")
def encrypted_archive(author: Author) -> bytes:
    """A zip file whose entries ask for a password."""
    packed = bytearray(zipped("a.txt", author.body().encode()))
    packed[6] |= 1
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    return author.with_file(bytes(packed), "application/zip", 'attachment; filename="mat.zip"')


# ContentInfo of envelopedData without recipients: what matters is its type.
ENVELOPED = bytes.fromhex("301c06092a864886f70d010703a00f300d02010031003006 06092a864886f70d010701".replace(" ", ""))


@kind("quarantine:encrypted")
def enveloped_smime(author: Author) -> bytes:
    """For another's key."""
    kind_ = author.chance.choice(["application/pkcs7-mime", "application/x-pkcs7-mime"])
    head = author.head(
        Content_Type=f"{kind_}; smime-type=enveloped-data; name=smime.p7m", Content_Transfer_Encoding="base64"
    )
    return head.encode() + b"\r\n" + file_part(ENVELOPED, kind_).partition(b"\r\n\r\n")[2]


ARMOUR = "-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA1234567890\r\n=abcd\r\n-----END PGP MESSAGE-----\r\n"


@kind("quarantine:encrypted")
def pgp_mime(author: Author) -> bytes:
    """RFC 3156."""
    version = b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
    content = f"Content-Type: application/octet-stream\r\n\r\n{ARMOUR}".encode()
    return author.mixed(version, content, kind='multipart/encrypted; protocol="application/pgp-encrypted"')


@kind("quarantine:encrypted")
def pgp_in_the_text(author: Author) -> bytes:
    """As it was done before MIME."""
    return f"{author.head(Content_Type='text/plain')}{CRLF}{ARMOUR}".encode()


@kind("document")
def signed_smime(author: Author) -> bytes:
    """A signature beside what it signs; broken ones are the clerk's to look at."""
    signature = file_part(author.noise(400), "application/pkcs7-signature", 'attachment; filename="smime.p7s"')
    return author.mixed(author.text_part(), signature, kind='multipart/signed; protocol="application/pkcs7-signature"')


@kind("document")
def signed_pgp(author: Author) -> bytes:
    """The same, by PGP."""
    signature = b"Content-Type: application/pgp-signature\r\n\r\n-----BEGIN PGP SIGNATURE-----\r\n"
    return author.mixed(author.text_part(), signature, kind="multipart/signed")


@kind("document")
def broken_smime(author: Author) -> bytes:
    """Said to be signed, and nothing that can be read."""
    head = author.head(
        Content_Type="application/pkcs7-mime; smime-type=signed-data", Content_Transfer_Encoding="base64"
    )
    return f"{head}{CRLF}MIIB{CRLF}".encode()


def tnef(name: str, content: bytes) -> bytes:
    """A winmail.dat with one file (MS-OXTNEF)."""

    def attribute(level: int, code: int, data: bytes) -> bytes:
        return struct.pack("<BII", level, code, len(data)) + data + struct.pack("<H", sum(data) % 65536)

    attached = [(0x00069002, bytes(14)), (0x00018010, name.encode() + b"\0"), (0x0006800F, content)]
    version = attribute(1, 0x00089006, struct.pack("<I", 0x00010000))
    return struct.pack("<IH", 0x223E9F78, 1) + version + b"".join(attribute(2, code, data) for code, data in attached)


@kind("document")
def winmail(author: Author) -> bytes:
    """Outlook's container, whole or broken."""
    whole = tnef("bao cao.pdf", author.pdf())
    content = author.chance.choice([whole, whole[:30], b"\x78\x9f\x3e\x22" + author.noise(60), tnef("..\\x", b"")])
    return author.with_file(content, "application/ms-tnef", 'attachment; filename="winmail.dat"')


def nested(author: Author, levels: int) -> bytes:
    """Each forwarded as a whole message."""
    inner = f"{author.head(Subject='trong cùng')}{CRLF}{author.key}".encode()
    for level in range(levels):
        inner = (
            f"From: a@b.example{CRLF}Subject: {level}{CRLF}Content-Type: message/rfc822{CRLF}{CRLF}".encode() + inner
        )
    return author.mixed(author.text_part(), b"Content-Type: message/rfc822\r\n\r\n" + inner)


@kind("document")
def forwarded(author: Author) -> bytes:
    """Three messages deep."""
    return nested(author, 3)


@kind("document")
def forwarded_ten_times(author: Author) -> bytes:
    """Deeper than is opened: it stays a file."""
    return nested(author, 10)


@kind("quarantine:nested_too_deep")
def forwarded_thirty_times(author: Author) -> bytes:
    """Deeper than anybody forwards."""
    return nested(author, author.chance.randrange(22, 60))


@kind("document")
def external_body(author: Author) -> bytes:
    """The file lies elsewhere (RFC 2046); nobody fetches it."""
    part = b'Content-Type: message/external-body; access-type=URL; URL="http://127.0.0.1:1/x"\r\n\r\n'
    return author.mixed(author.text_part(), part + b"Content-Type: image/png\r\n\r\n")


@kind("document")
def partial_message(author: Author) -> bytes:
    """A piece of a message (RFC 2046); nobody puts it together."""
    return author.plain(Content_Type=f'message/partial; id="{author.key}"; number=1; total=3')


@kind("document")
def invitation(author: Author) -> bytes:
    """To a meeting, as calendars send it."""
    event = f"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:{author.key}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    part = f"Content-Type: text/calendar; method=REQUEST; charset=utf-8{CRLF}{CRLF}{event}".encode()
    return author.mixed(author.text_part(), part, kind="multipart/alternative")
