import time
import unicodedata

import pytest

from docflow.domain.searching import FOLDING, folded, letters, query, searchable, vectors


def lexemes(vector: str) -> dict[str, str]:
    pairs = (item.rpartition("':") if "':" in item else (item[:-1], "", "") for item in vector.split(" "))
    return {word.removeprefix("'"): places for word, _, places in pairs}


def test_the_record_is_folded_to_plain_lower_case() -> None:
    assert searchable("Về việc ĐẤT ĐAI", "", "15/QĐ-UBND") == "ve viec dat dai 15/qd-ubnd"


def test_composed_and_decomposed_text_are_the_same() -> None:
    text = "Quyết định về việc bổ nhiệm"
    assert vectors([unicodedata.normalize("NFD", text)]) == vectors([text])
    assert query(unicodedata.normalize("NFD", text)) == query(text)


def test_the_wrong_d_of_scans_is_the_right_one() -> None:
    assert folded("QÐ-UBND ðường") == folded("QĐ-UBND đường") == "qd-ubnd duong"


def test_words_are_kept_without_accents_and_exact_ones_with_them() -> None:
    made = vectors(["Báo cáo bao"])
    assert lexemes(made.words) == {"bao": "1,3", "cao": "2"}
    assert lexemes(made.exact) == {"báo": "1", "cáo": "2"}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("số 15/QĐ-UBND ngày", "15/qd-ubnd"),
        ("Số: 05/UBND-VP,", "5/ubnd-vp"),
        ("(123/2026/NQ-HĐND)", "123/2026/nq-hdnd"),
        ("12-CT/TU.", "12-ct/tu"),
        ("Số: 15 /QĐ-UBND", "15/qd-ubnd"),
        ("0/UBND", "0/ubnd"),
    ],
)
def test_the_number_of_a_document_is_one_token_besides_its_parts(text: str, number: str) -> None:
    found = lexemes(vectors([text]).words)
    assert number in found
    assert set(number.replace("/", " ").replace("-", " ").split()) - {"5"} <= found.keys()


def test_a_phrase_is_found_across_a_number() -> None:
    found = lexemes(vectors(["theo 15/QĐ-UBND ngày"]).words)
    assert [found[w] for w in ("theo", "15/qd-ubnd", "15", "qd", "ubnd", "ngay")] == ["1", "2", "2", "3", "4", "5"]


def test_no_phrase_reaches_from_one_text_into_the_next() -> None:
    found = lexemes(vectors(["một hai", "ba"]).words)
    assert int(found["ba"]) > int(found["hai"]) + 1


def test_all_words_have_to_be_there_and_accents_count_where_they_are_typed() -> None:
    asked = query("kế hoach")
    assert asked is not None
    assert (asked.words, asked.exact) == ("('ke') & ('hoach')", "('kế')")


def test_what_is_typed_without_accents_is_exact_as_it_is() -> None:
    asked = query("bao cao")
    assert asked is not None
    assert asked.exact == ""


@pytest.mark.parametrize("quoted", ['"thu ngân sách"', "“thu ngân sách”"])
def test_a_phrase_in_quotes_keeps_its_order(quoted: str) -> None:
    asked = query(quoted)
    assert asked is not None
    assert asked.parts == ("thu ngan sach",)
    assert asked.words == "('thu' <-> 'ngan' <-> 'sach')"
    assert asked.exact == "('ngân' <1> 'sách')"


def test_words_that_hang_together_are_a_phrase() -> None:
    asked = query("vanthu@stc.example")
    assert asked is not None
    assert asked.words == "('vanthu' <-> 'stc' <-> 'example')"


@pytest.mark.parametrize("typed", ["15/QĐ-UBND", "15/qd-ubnd", "015/Qđ-Ubnd", "15 / QĐ-UBND", '"15/QĐ-UBND"'])
def test_a_number_is_known_however_it_is_typed(typed: str) -> None:
    asked = query(typed)
    assert asked is not None
    assert asked.number == "15/qd-ubnd"


def test_the_beginning_of_a_number_finds_it() -> None:
    asked = query("15/qd")
    assert asked is not None
    assert asked.words == "('15/qd':*)"


@pytest.mark.parametrize("nothing", ["", "   ", '"', '""', '" "'])
def test_nothing_is_asked(nothing: str) -> None:
    assert query(nothing) is None


@pytest.mark.parametrize("strange", ["%", "'", "\\", "&|!()", "<->", ":*", "'a' | 'b", "\\' :A"])
def test_no_character_breaks_out_of_a_question(strange: str) -> None:
    asked = query(strange)
    assert asked is not None
    inside = asked.words.replace("('a')", "").replace("('b')", "")
    assert not set(inside) & set("\\|!")


def test_at_most_ten_words_are_asked() -> None:
    asked = query(" ".join(f"từ{n}" for n in range(30)))
    assert asked is not None
    assert len(asked.parts) == 10


def test_a_very_long_text_fits_into_a_vector() -> None:
    made = vectors([" ".join(f"tiếng{n}" for n in range(80_000))])
    for vector in (made.words, made.exact):
        assert len(vector.encode()) < 2 << 20
        assert max(int(p) for p in lexemes(vector).values() if p) <= 16_383


def test_a_word_that_stands_everywhere_is_counted_so_often_as_postgresql_takes() -> None:
    assert len(lexemes(vectors(["công " * 1000]).words)["cong"].split(",")) == 255


def test_a_word_too_long_to_be_one_is_left_out() -> None:
    assert lexemes(vectors(["x" * 3000 + " cuối"]).words) == {"cuoi": "2"}


@pytest.mark.parametrize("piece", ["1.", "1-", "1/", "1/a-", "1" * 50, "_", "1 ", "a"])
def test_hostile_text_costs_no_more_than_other(piece: str) -> None:
    began = time.process_time()
    vectors([piece * (1_000_000 // len(piece))])
    assert time.process_time() - began < 5


def test_sql_folds_like_python() -> None:
    table = str.maketrans(*FOLDING)
    assert "15/QĐ-UBND Ủy Ướt ẤN".translate(table) == folded("15/QĐ-UBND Ủy Ướt ẤN")


def test_letters_and_digits_are_counted() -> None:
    assert letters(" Số: 15/QĐ — \f\n") == 6
