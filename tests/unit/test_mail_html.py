"""What a reader sees of an HTML body."""

import time

import pytest

from docflow.adapters.mail.html_text import strip


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Kính gửi</p><p>Ủy ban</p>", "Kính gửi\n\nỦy ban"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("<tr><td>1</td><td>2</td></tr>", "1 2"),
        ("<title>x</title>a<noscript>y</noscript>", "a"),
        ("a<script>if (1<2 && 3>2) '<b>'</script>b<style>p > a {}</style>c", "abc"),
        ("a<!-- <script> -->b<!--[if mso]><style>x</style><![endif]-->c", "abc"),
        ("<div style='<!--[if mso]>x<![endif]-->'>a</div>", "a"),
        ("&lt;b&gt; &amp; &#7907; &nbsp;x", "<b> & ợ x"),
        ("1 < 2 và 3 > 2", "1 < 2 và 3 > 2"),
        ("a<![CDATA[b]]>c", "abc"),
        ("a<!doctype html>b<?xml?>c</khong>d", "abcd"),
        ("a<script>không hết", "a"),
        ("a<!-- không hết", "a"),
        ("<a href='x'", "<a href='x'"),
    ],
)
def test_markup_becomes_the_lines_that_are_shown(markup: str, text: str) -> None:
    assert strip(markup) == text


@pytest.mark.parametrize(
    "piece", ["<", "<a ", "<a href='", '<a b="', "<!--", "<![CDATA[", "</a ", "<script>", "<title>", "&#", "<a>'", "\n"]
)
def test_markup_that_never_ends_costs_no_more_than_its_length(piece: str) -> None:
    before = time.process_time()
    strip("Kính gửi " + piece * 100_000)
    assert time.process_time() - before < 5
