"""Search: the best first, with and without accents, page by page, and never what one may not see."""

import threading
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from uuid import UUID

import pytest
from sqlalchemy import text

from docflow.bootstrap import Container
from docflow.db.base import new_id
from docflow.db.models import DocumentFile, Rendition
from docflow.db.queries import search as searching
from docflow.db.queries.documents import Filters, conditions, list_documents
from docflow.db.queries.search import search
from docflow.db.queries.visible import sight_of
from docflow.domain.searching import query
from docflow.services import full_text
from docflow.services.documents import Patch, mend
from docflow.services.files import record_blob
from tests.conftest import District

CLERK, STRANGER = "vanthu1", "ngansach2"


def found(district: District, asked: str, user: str = CLERK, *, page: int = 50, **filters: object) -> list[UUID]:
    """All pages of it."""
    container = district.container
    seen: list[UUID] = []
    after = None
    meant = query(asked)
    assert meant is not None
    while True:
        with container.sessions.begin() as session:
            directory = container.pictures.directory(session)
            sight = sight_of(directory, directory.people[district.user_id(user)], container.clock())
            where = conditions(replace(Filters(), **filters), container.clock())  # type: ignore[arg-type]
            some = search(session, sight, meant, where, after, page)
        seen += [one.document.id for one in some]
        if len(some) < page:
            return seen
        after = some[-1].rank, some[-1].document.id


def read_text(district: District, document: UUID, said: str) -> None:
    """What rendering, or reading its pages, has found in a file of the document."""
    container = district.container
    original, made = (container.store.put(BytesIO(f"{kind} {new_id()} {said}".encode())) for kind in ("pdf", "text"))
    made = container.store.put(BytesIO(said.encode()))
    now = container.clock()
    with container.sessions.begin() as session:
        record_blob(session, original, now)
        record_blob(session, made, now)
        session.add(
            DocumentFile(
                document_id=document, kind="attachment", name="a.pdf", media_type="application/pdf", size=1,
                sha256=original.sha256, origin="upload", created_at=now,
            )
        )  # fmt: skip
        session.flush()
        session.add(
            Rendition(source_sha256=original.sha256, kind="text", state="ready", sha256=made.sha256, made_at=now)
        )


def index(district: District, *documents: UUID) -> None:
    """What the flow does."""
    container = district.container
    for document in documents:
        texts: dict[str, str] = {}
        lacking: Iterable[str] = {""}
        while lacking:
            with container.sessions.begin() as session:
                lacking = full_text.write(session, document, texts, container.clock())
            texts |= {sha256: full_text.fetch(container.store, sha256) for sha256 in lacking}


def test_a_document_is_found_by_its_record_at_once(district: District) -> None:
    document = district.enter(subject="Về việc phòng chống lụt bão", issuer="Sở Nông nghiệp")
    for asked in ("lụt bão", "lut bao", "LỤT", "nông nghiệp bão", "phong cho", '"chống lụt"'):
        assert found(district, asked) == [document], asked
    assert found(district, "lụt xe") == []
    assert found(district, '"bão lụt"') == []


def test_exact_accents_come_first_and_the_newest_of_each(district: District) -> None:
    old, other, new = (district.enter(subject=s) for s in ("Báo giá cũ", "Bảo gia", "Báo giá mới"))
    assert found(district, "báo giá") == [new, old, other]
    assert found(district, "bảo") == [other, new, old]
    assert found(district, "bao gia") == [new, other, old]
    assert found(district, "báo gia") == [new, old, other]


@pytest.mark.parametrize("page", [1, 2, 3])
def test_pages_go_on_through_all_ranks_without_a_gap_or_a_repeat(district: District, page: int) -> None:
    subjects = ["Báo giá", "Bảo gia", "Theo 15/QĐ-UBND báo giá", "Bao giá", "Báo giá thầu"]
    made = [district.enter(subject=s) for s in subjects]
    numbered = district.enter(subject="Báo giá", number_symbol="15/QĐ-UBND")
    assert found(district, "báo giá", page=page) == [numbered, made[4], made[2], made[0], made[3], made[1]]
    assert found(district, "15/qd-ubnd", page=page) == [numbered, made[2]]


@pytest.mark.parametrize("asked", ["15/QĐ-UBND", "15/qd-ubnd", '"15/QĐ-UBND"', "015/QĐ-UBND", "15 /qđ-ubnd"])
def test_the_document_of_a_number_comes_before_those_that_speak_of_it(district: District, asked: str) -> None:
    own = district.enter(subject="Phê duyệt dự toán", number_symbol="15/QĐ-UBND")
    speaking = district.enter(subject="Thực hiện Quyết định số 15/QĐ-UBND")
    district.enter(subject="Khác", number_symbol="115/QĐ-SNV")
    assert found(district, asked)[:2] == [own, speaking]


def test_our_own_number_comes_first_too(district: District) -> None:
    own, speaking = district.enter(subject="Một"), district.enter(subject="Theo văn bản số 09/UBND-VP")
    with district.container.sessions.begin() as session:  # as registering does
        numbered = "UPDATE document SET notation = '09/UBND-VP', search = search || ' 09/ubnd-vp' WHERE id = :d"
        session.execute(text(numbered), {"d": own})
    assert found(district, "09/UBND-VP") == [own, speaking]
    assert found(district, "9/ubnd-vp") == [own, speaking]
    assert found(district, "9/ubnd-vp văn") == [speaking]


def test_a_document_that_was_given_a_number_is_indexed_anew(district: District) -> None:
    document = district.enter(subject="Về việc họp")
    waiting = "SELECT 1 FROM outbox WHERE topic = 'index' AND document_id = :d"
    assert district.query(waiting, d=document) == [], "its record was indexed with it"
    district.act(document, CLERK, "register")
    assert len(district.query(waiting, d=document)) == 1


def test_words_of_the_record_and_of_files_count_together(district: District) -> None:
    document, other = district.enter(subject="Về việc đấu thầu"), district.enter(subject="Về việc đấu thầu")
    read_text(district, document, "Kính gửi quý cơ quan: gạch ngói xi măng")
    index(district, document, other)
    assert found(district, "gạch ngói") == [document]
    assert found(district, "gach thau") == [document]
    assert found(district, '"ngói xi măng"') == [document]
    assert found(district, '"măng xi"') == []
    assert found(district, "đấu thầu") == [other, document]


def test_a_plain_text_is_looked_in(district: District, container: Container) -> None:
    document = district.enter(subject="Một")
    stored = container.store.put(BytesIO("Biên bản bàn giao mặt bằng".encode()))
    with container.sessions.begin() as session:
        record_blob(session, stored, container.clock())
        session.add(
            DocumentFile(
                document_id=document, kind="attachment", name="a.txt", media_type="text/plain", size=stored.size,
                sha256=stored.sha256, origin="upload", created_at=container.clock(),
            )
        )  # fmt: skip
    index(district, document)
    assert found(district, '"bàn giao mặt bằng"') == [document]


def test_a_number_in_a_file_is_one_word(district: District) -> None:
    document, other = district.enter(subject="Một"), district.enter(subject="Hai")
    read_text(district, document, "Căn cứ Nghị quyết số 123/2026/NQ-HĐND ngày 02 tháng 3")
    read_text(district, other, "123 đồng, năm 2026, NQ của HĐND")
    index(district, document, other)
    assert found(district, "123/2026/NQ-HĐND") == [document]
    assert found(district, "123/2026/nq") == [document]
    assert found(district, '"nghị quyết số 123"') == [document]


def test_what_was_mended_is_found_by_its_new_record(district: District) -> None:
    document = district.enter(subject="Nhầm lẫn")
    container = district.container
    with container.sessions.begin() as session:
        mend(session, container.pictures, document, Patch(subject="Sửa đúng"), district.asked(CLERK))
    assert found(district, "sua dung") == [document], "at once"
    assert district.query("SELECT 1 FROM outbox WHERE topic = 'index' AND document_id = :d", d=document) != []
    index(district, document)
    assert found(district, "sửa đúng") == [document]
    assert found(district, "nhầm lẫn") == []


def test_only_the_newest_version_of_a_main_file_is_looked_in(district: District, container: Container) -> None:
    document = district.enter(subject="Dự thảo", pdf=b"%PDF-1.4 first")
    with container.sessions() as session:
        (first,) = full_text.current_files(session, document)
    stored = container.store.put(BytesIO(b"%PDF-1.4 second"))
    with container.sessions.begin() as session:
        record_blob(session, stored, container.clock())
        session.add(
            DocumentFile(
                document_id=document, kind="main", version_no=2, name="a.pdf", media_type="application/pdf", size=1,
                sha256=stored.sha256, origin="upload", created_at=container.clock(),
            )
        )  # fmt: skip
    with container.sessions() as session:
        assert [f.sha256 for f in full_text.current_files(session, document)] == [stored.sha256] != [first.sha256]


def test_nobody_finds_what_they_may_not_see(district: District) -> None:
    """By word, accent, phrase, part or number, in the record or in a file."""
    secret = district.enter(subject="Về việc mật vụ", number_symbol="77/MV-UBND", secrecy=2)
    private = district.enter(subject="Về việc mật vụ", number_symbol="78/MV-UBND")
    add_reader = text("INSERT INTO document_reader (principal, document_id) VALUES (:p, :d)")
    with district.container.sessions.begin() as session:  # who takes part, but is not cleared for it
        session.execute(add_reader, {"p": district.user_id(STRANGER), "d": secret})
    for document in (secret, private):
        read_text(district, document, "hồ sơ tối kín")
    index(district, secret, private)
    for asked in ("mật vụ", "mat vu", '"mật vụ"', "mậ", "77/MV-UBND", "78/mv-ubnd", "hồ sơ tối kín", "vụ kín"):
        assert found(district, asked, STRANGER) == [], asked
    assert found(district, "mật vụ", CLERK) == found(district, "hồ sơ kín", CLERK) == [private, secret]


def test_filters_hold_while_one_searches(district: District) -> None:
    urgent = district.enter(subject="Báo cáo lũ", urgency="urgent")
    district.enter(subject="Báo cáo lũ")
    assert found(district, "báo cáo", urgency="urgent") == [urgent]
    assert found(district, "bao lũ", urgency="urgent") == [urgent]


@pytest.mark.parametrize("rare", [0, 1_000_000])
def test_rare_and_frequent_words_are_found_alike(
    district: District, monkeypatch: pytest.MonkeyPatch, rare: int
) -> None:
    """Whichever way PostgreSQL's estimate sends them."""
    monkeypatch.setattr(searching, "RARE", rare)
    made = [district.enter(subject=f"Báo cáo {n}") for n in range(5)]
    other = district.enter(subject="Bảo cao 3")
    assert found(district, "báo cáo", page=2) == [*reversed(made), other]
    assert found(district, "báo 3", page=2) == [made[3], other]


def test_another_order_lists_the_same_documents(district: District, container: Container) -> None:
    made = [district.enter(subject=s) for s in ("Báo giá", "Bảo gia")]
    read = district.enter(subject="Khác")
    read_text(district, read, "báo giá")
    index(district, read)
    with container.sessions.begin() as session:
        directory = container.pictures.directory(session)
        sight = sight_of(directory, directory.people[district.user_id(CLERK)], container.clock())
        for sort in ("created_at", "-created_at", "due_at", "number"):
            filters = Filters(query=query("báo giá"))
            rows = list_documents(session, sight, filters, sort, None, 10, container.clock())
            assert {d.id for d in rows} == {*made, read}, sort


@pytest.mark.parametrize(
    "asked", ["%", "_", "\\", "'", "100%", "a & b", "!x", "(", ":*", "'' | ''", "<->", "x:y", "ＡＢ"]
)
def test_no_character_is_more_than_itself(district: District, asked: str) -> None:
    district.enter(subject="Về việc báo cáo")
    assert found(district, asked) == []


def test_a_very_long_and_strange_text_is_indexed(district: District) -> None:
    document = district.enter(subject="Dài")
    read_text(district, document, "x" * 5000 + " " + " ".join(f"từ{n}'\\:" for n in range(60_000)) + " \x00\ufffe cuối")
    index(district, document)
    assert found(district, "từ7 cuối") == [document]


def test_a_text_that_came_meanwhile_is_not_left_out(district: District, container: Container) -> None:
    document = district.enter(subject="Một")
    read_text(district, document, "gạch ngói")
    with container.sessions.begin() as session:
        lacking = full_text.write(session, document, {}, container.clock())
        assert len(lacking) == 1
        assert session.scalar(text("SELECT count(*) FROM document_text WHERE words @@ 'gach'")) == 0


def test_two_who_index_one_document_take_turns_and_the_last_has_read_last(
    district: District, container: Container
) -> None:
    document = district.enter(subject="Cũ kỹ")
    with container.sessions.begin() as first:
        full_text.write(first, document, {}, container.clock())
        with container.sessions.begin() as session:
            mend(session, container.pictures, document, Patch(subject="Tinh khôi"), district.asked(CLERK))
        second = threading.Thread(target=index, args=(district, document))
        second.start()
        second.join(0.3)
        assert second.is_alive(), "it waits for the first"
    second.join(10)
    assert found(district, '"tinh khôi"') == [document]
    assert found(district, "cũ kỹ") == []
