"""``docflow sign``: real documents, a real server, a real token."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
import uvicorn
from typer.testing import CliRunner

from docflow.api.app import create_app
from docflow.cli.main import app
from docflow.cli.sign import require_signature_attributes
from docflow.domain.errors import SigningFailed
from docflow.local.ports import HOST, free_port
from tests.api.conftest import Http
from tests.conftest import PASSWORD
from tests.outside_keys import awaiting_signature, believe
from tests.tokens import PIN, SOFTHSM, WRONG_PIN, Tokens, tokens

__all__ = ["tokens"]
Letter = Callable[[], bytes]


@pytest.fixture
def address(http: Http) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(http.container), port=port, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.02)
    yield f"http://{HOST}:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def documents(http: Http, tokens: Tokens, letter: Letter) -> list[UUID]:
    believe(http.district, tokens.authority)
    return [awaiting_signature(http.district, letter()) for _ in range(2)]


def arguments(address: str, *more: str, key: str = "ec") -> list[str]:
    return ["sign", "--pkcs11", str(SOFTHSM), "--token", "clerk", "--key", key, "--url", address, *more]


def written(path: Path, text: str) -> str:
    path.write_text(f"{text}\n")
    return str(path)


def test_a_clerks_own_machine_signs_with_its_token_and_without_a_database(
    http: Http, address: str, documents: list[UUID], tmp_path: Path
) -> None:
    files = [
        "--pin-file",
        written(tmp_path / "pin", PIN),
        "--token-file",
        written(tmp_path / "t", http.token("chutich")),
    ]
    command = arguments(address, *files, "--note", "Ký tại bàn", *map(str, documents))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DOCFLOW_")}
    done = subprocess.run(
        [sys.executable, "-m", "docflow.cli", *command],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("signed; now in 'register'") == 2
    for document in documents:
        assert http.district.row(document)["state"] == "register"
    assert PIN not in done.stdout + done.stderr


def run(monkeypatch: pytest.MonkeyPatch, token: str, *command: str, typed: str = "") -> tuple[int, str]:
    monkeypatch.setenv("DOCFLOW_TOKEN", token)
    result = CliRunner().invoke(app, list(command), input=typed)
    return result.exit_code, result.output


def test_one_that_fails_stops_no_other(
    http: Http, address: str, documents: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = "01990000-0000-7000-8000-000000000000"
    wanted = arguments(address, absent, *map(str, documents))
    code, output = run(monkeypatch, http.token("chutich"), *wanted, typed=f"{PIN}\n")

    assert code == 1
    assert "There is no such document" in output
    assert "2 signed, 1 failed" in output
    assert {http.district.row(d)["state"] for d in documents} == {"register"}


def test_a_wrong_pin_is_tried_once_and_nothing_is_prepared(
    http: Http, address: str, documents: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [*arguments(address, *map(str, documents)), "--token", "careless", "--key", "rsa"]
    code, output = run(monkeypatch, http.token("chutich"), *wanted, typed=f"{WRONG_PIN}\n")

    assert (code, "refused the PIN" in output) == (1, True)
    assert http.district.query("SELECT 1 FROM signing_session") == []


def test_the_password_is_asked_for_where_there_is_no_token(
    http: Http, address: str, documents: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = arguments(address, str(documents[0]))
    code, output = run(monkeypatch, "", *wanted, typed=f"{PIN}\nchutich\n{PASSWORD}\n")
    assert (code, "signed; now in 'register'" in output) == (0, True), output
    assert PASSWORD not in output


def test_a_token_of_docflow_that_is_over_is_told_once(
    http: Http, address: str, documents: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = run(monkeypatch, "made-up", *arguments(address, *map(str, documents)), typed=f"{PIN}\n")
    assert (code, "0 signed, 2 failed" in output) == (1, True)
    assert output.count(str(documents[0])) + output.count(str(documents[1])) == 1


def test_the_agencys_seal_is_put_from_the_clerks_machine(
    http: Http, tokens: Tokens, address: str, letter: Letter, monkeypatch: pytest.MonkeyPatch
) -> None:
    believe(http.district, tokens.authority)
    document = awaiting_signature(http.district, letter(), attachment=letter())
    assert run(monkeypatch, http.token("chutich"), *arguments(address, str(document)), typed=f"{PIN}\n")[0] == 0
    assert http.act("vanthu1", document, "register").status_code == 200

    wanted = arguments(address, "--seal", str(document), key="seal")
    code, output = run(monkeypatch, http.token("vanthu1"), *wanted, typed=f"{PIN}\n")

    assert code == 0, output
    kinds = http.district.query("SELECT kind FROM signature WHERE document_id = :d ORDER BY id", d=document)
    assert [row["kind"] for row in kinds] == ["person", "seal", "attachment"]


def test_an_address_where_nothing_answers_is_told(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = arguments("http://127.0.0.1:9", "01990000-0000-7000-8000-000000000000")
    code, output = run(monkeypatch, "any", *wanted, typed=f"{PIN}\n")
    assert (code, "does not answer" in output) == (1, True), output


@pytest.mark.parametrize("sent", [b"pay 100 to somebody", b"\x31\x00", b""])
def test_a_server_cannot_have_just_anything_signed(sent: bytes) -> None:
    with pytest.raises(SigningFailed, match="Nothing was signed"):
        require_signature_attributes(sent, sha256(sent).digest())
