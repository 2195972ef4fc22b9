"""Whose key is where, and what opens it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from docflow.adapters.signing.authority import DemoAuthority
from docflow.adapters.signing.keyring import HouseKeys
from docflow.adapters.signing.pkcs11 import UnattendedKey
from docflow.domain.errors import SigningFailed
from docflow.domain.signing_settings import SigningSettings
from docflow.services.signing_ports import CscKey, Pkcs11Key, Pkcs12Key

TOKEN = {"kind": "pkcs11", "owner": "agency", "module": "/lib/vendor.so", "token": "con-dau", "key": "dau"}
FILE = {"kind": "pkcs12", "owner": "chutich", "file": "chutich.p12"}
REMOTE = {"kind": "csc", "owner": "phochutich1", "url": "https://ky.example", "credential": "c-1"}


def settings(*keys: dict[str, Any]) -> SigningSettings:
    return SigningSettings.model_validate({"keys": keys})


@pytest.fixture
def authority(tmp_path: Path) -> DemoAuthority:
    return DemoAuthority(tmp_path / "keys")


@pytest.fixture
def house(tmp_path: Path, authority: DemoAuthority) -> HouseKeys:
    kept = {"dau": SecretStr("1111"), "chutich": SecretStr("giay"), "csc": SecretStr("access"), "ky": SecretStr("2222")}
    return HouseKeys(tmp_path / "keys", kept, authority)


def test_without_an_entry_it_is_the_houses_own_authoritys(house: HouseKeys, authority: DemoAuthority) -> None:
    assert house.of("chutich", settings(), None) is None
    assert house.opens_by_itself("chutich", settings()) is False
    issued = authority.issue("chutich", "Nguyễn Văn Hùng", "UBND")
    assert house.of("chutich", settings(), None) == issued
    assert house.opens_by_itself("chutich", settings()) is True


def test_a_kept_pin_opens_a_token_unattended_and_a_typed_one_goes_before_it(house: HouseKeys) -> None:
    found = settings(TOKEN | {"secret": "dau"})
    kept = house.of("agency", found, None)
    assert kept == UnattendedKey(Path("/lib/vendor.so"), "con-dau", "dau", "1111")
    assert isinstance(kept, UnattendedKey)
    typed = house.of("agency", found, "9999")
    assert (type(typed), typed) == (Pkcs11Key, Pkcs11Key(Path("/lib/vendor.so"), "con-dau", "dau", "9999"))
    assert house.opens_by_itself("agency", found) is True


@pytest.mark.parametrize("entry", [TOKEN, FILE, TOKEN | {"secret": "unset"}, FILE | {"secret": "unset"}])
def test_without_a_pin_it_is_asked_for(house: HouseKeys, entry: dict[str, Any]) -> None:
    found = settings(entry)
    assert house.opens_by_itself(entry["owner"], found) is False
    with pytest.raises(SigningFailed) as told:
        house.of(entry["owner"], found, None)
    assert told.value.details["code"] == "pin_missing"


def test_a_key_file_lies_in_the_houses_folder(house: HouseKeys, tmp_path: Path) -> None:
    found = house.of("chutich", settings(FILE | {"secret": "chutich"}), None)
    assert found == Pkcs12Key(tmp_path / "keys" / "chutich.p12", b"giay")


def test_a_remote_key_has_its_access_token_and_perhaps_a_pin(house: HouseKeys) -> None:
    plain = settings(REMOTE | {"secret": "csc"})
    assert house.of("phochutich1", plain, None) == CscKey("https://ky.example", "c-1", "access", None)
    assert house.of("phochutich1", plain, "77") == CscKey("https://ky.example", "c-1", "access", "77")
    assert house.opens_by_itself("phochutich1", plain) is False
    kept = settings(REMOTE | {"secret": "csc", "pin_secret": "ky"})
    assert house.of("phochutich1", kept, None) == CscKey("https://ky.example", "c-1", "access", "2222")
    assert house.opens_by_itself("phochutich1", kept) is True
    with pytest.raises(SigningFailed, match="DOCFLOW_SECRETS__OTHER"):
        house.of("phochutich1", settings(REMOTE | {"secret": "other"}), None)


def test_secrets_show_in_no_representation(house: HouseKeys) -> None:
    found = [
        house.of("agency", settings(TOKEN | {"secret": "dau"}), None),
        house.of("chutich", settings(FILE | {"secret": "chutich"}), None),
        house.of("phochutich1", settings(REMOTE | {"secret": "csc", "pin_secret": "ky"}), None),
    ]
    assert not any(secret in repr(found) for secret in ("1111", "giay", "access", "2222"))
