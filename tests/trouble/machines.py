"""Trouble from machines: reports, automatic answers, lists."""

from tests.trouble.writing import CRLF, TO, Author, kind


def about(author: Author, subject: str, report: str) -> bytes:
    """A report on a mail that nobody here has sent."""
    original = f"Content-Type: text/rfc822-headers{CRLF}{CRLF}Message-ID: <{author.key}@khac.example>{CRLF}".encode()
    part = f"Content-Type: message/{subject}{CRLF}{CRLF}{report}".encode()
    return author.mixed(
        author.text_part(),
        part,
        original,
        kind=f"multipart/report; report-type={subject}",
        From="MAILER-DAEMON@a.example",
        Return_Path="<>",
        Auto_Submitted="auto-replied",
    )


@kind("quarantine:unmatched_report")
def bounce(author: Author) -> bytes:
    """RFC 3464, of a mail of another's."""
    action, status = author.chance.choice([("failed", "5.1.1"), ("delayed", "4.4.7"), ("delivered", "2.0.0")])
    report = f"Reporting-MTA: dns; a.example{CRLF}{CRLF}Final-Recipient: rfc822; {author.key}@b.example{CRLF}"
    return about(author, "delivery-status", f"{report}Action: {action}{CRLF}Status: {status}{CRLF}")


@kind("quarantine:unmatched_report")
def read_receipt(author: Author) -> bytes:
    """RFC 8098, of a mail of another's."""
    report = f"Final-Recipient: rfc822; {author.sender}{CRLF}Original-Message-ID: <{author.key}@khac.example>{CRLF}"
    return about(
        author, "disposition-notification", f"{report}Disposition: manual-action/MDN-sent-manually; displayed{CRLF}"
    )


@kind("document")
def out_of_office(author: Author) -> bytes:
    """It answers nothing of ours, so it may be a letter."""
    ways: tuple[dict[str, str | None], ...] = (
        {"Auto_Submitted": "auto-replied"},
        {"X_Autoreply": "yes"},
        {"Precedence": "auto_reply"},
    )
    return author.plain(**author.chance.choice(ways))


@kind("document")
def mailing_list(author: Author) -> bytes:
    """For many; nobody is answered."""
    return author.plain(List_Id="<ban-tin.tinh.example>", List_Unsubscribe="<mailto:x@y.example>", Precedence="bulk")


@kind("document")
def own_address_as_sender(author: Author) -> bytes:
    """From us to us."""
    return author.plain(From=TO, To=TO)


@kind("document")
def forged_results(author: Author) -> bytes:
    """Authentication-Results of somebody else, or broken."""
    ways = (
        "mx.gia.example; dmarc=pass",
        "mx.binhminh.example",
        ";;;(((",
        "mx.binhminh.example; dkim=pass (" + "(" * 3000,
    )
    return author.plain(Authentication_Results=author.chance.choice(ways))


@kind("document")
def answers_nobody(author: Author) -> bytes:
    """In-Reply-To a mail that nobody here has sent, and too many References."""
    ids = f"{CRLF} ".join(f"<{n}.{author.key}@khac.example>" for n in range(author.chance.randrange(1, 900)))
    return author.plain(In_Reply_To=f"<{author.key}.0@khac.example>", References=ids)


@kind("document")
def tokens_of_nobody(author: Author) -> bytes:
    """Plus-addresses as ours, with tokens that we did not give out."""
    return author.plain(To=f"vanthu+d-{'a' * 39}@binhminh.example, vanthu+@binhminh.example, +@b.example")
