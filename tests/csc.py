"""A remote signing service: certomancer's, over real HTTP, made to ask for a PIN as real ones do."""

import asyncio
import contextlib
import json
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from certomancer.registry import CertomancerConfig
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from csc_dummy.csc_dummy_server import CSCWithCertomancer, DummyServiceParams

from docflow.local.ports import HOST, free_port
from docflow.services.signing_ports import CscKey

TOKEN = "access-to-the-service"
PIN = "97531"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class RemoteService:
    """``calls`` are the endpoints that were called, in order. ``pins_left``: wrong ones until it locks."""

    url: str = ""
    root: str = ""
    pin: str | None = PIN
    otp: str | None = None
    otp_type: str = "offline"
    pins_left: int = 3
    delay: float = 0.0
    mode: str = "explicit"
    algorithms: list[str] | None = None
    broken: bool = False
    calls: list[str] = field(default_factory=list)

    def key(self, credential: str = "office/rsa", *, pin: str | None = PIN, token: str = TOKEN) -> CscKey:
        return CscKey(self.url, credential, token, pin)

    def reset(self) -> None:
        fresh = RemoteService(self.url, self.root)
        self.__dict__.update(fresh.__dict__)

    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        name = request.path.removeprefix("/csc/v1/")
        self.calls.append(name)
        await asyncio.sleep(self.delay)
        if TOKEN and request.headers.get("authorization") != f"Bearer {TOKEN}":
            return refusal("invalid_token", "The access token is wrong", 401)
        if self.broken:
            return web.Response(text="<html>not a service</html>")
        if name == "credentials/sendOTP":
            return web.json_response({})
        if name == "credentials/authorize":
            refused = self._refused(await request.json())
            if refused is not None:
                return refused
        answer = await handler(request)
        return self._with_terms(answer) if name == "credentials/info" else answer

    def _refused(self, asked: dict[str, Any]) -> web.Response | None:
        if self.pins_left == 0:
            return refusal("pin_locked", "PIN locked")
        if self.pin is not None and asked.get("PIN") != self.pin:
            self.pins_left -= 1
            return refusal("invalid_pin", "The PIN is invalid")
        if self.otp is not None and asked.get("OTP") != self.otp:
            return refusal("invalid_otp", "The OTP is invalid")
        return None

    def _with_terms(self, answer: web.StreamResponse) -> web.Response:
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes)
        told = json.loads(answer.body)
        told["authMode"] = self.mode
        told["PIN"] = {"presence": "true" if self.pin is not None else "false", "format": "N"}
        if self.otp is not None:
            told["OTP"] = {"presence": "true", "type": self.otp_type}
        if self.algorithms is not None:
            told["key"]["algo"] = self.algorithms
        return web.json_response(told)


def refusal(code: str, said: str, status: int = 400) -> web.Response:
    return web.json_response({"error": code, "error_description": said}, status=status)


def configuration(folder: Path) -> CertomancerConfig:
    keys: dict[str, Any] = {
        "root": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
    }
    for name, key in keys.items():
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.pem").write_bytes(pem)
    valid = {"valid-from": "2020-01-01T00:00:00+0000", "valid-to": "2120-01-01T00:00:00+0000"}
    usage = {"id": "key_usage", "critical": True, "smart-value": {"schema": "key-usage", "params": ["non_repudiation"]}}
    signer = {"issuer": "root", "validity": valid, "extensions": [usage]}
    told = {
        "keysets": {"office": {"path-prefix": ".", "keys": {name: {"path": f"{name}.pem"} for name in keys}}},
        "pki-architectures": {
            "office": {
                "keyset": "office",
                "entity-defaults": {"country-name": "VN"},
                "entities": {name: {"common-name": f"Dịch vụ ký {name}"} for name in keys},
                "certs": {
                    "root": {
                        "subject": "root",
                        "issuer": "root",
                        "validity": valid,
                        "profiles": [{"id": "simple-ca", "params": {"max-path-len": 0}}],
                    },
                    "rsa": {"subject": "rsa"} | signer,
                    "ec": {"subject": "ec"} | signer,
                },
            }
        },
    }
    return CertomancerConfig(told, key_search_dir=str(folder))


def _application(service: RemoteService, config: CertomancerConfig) -> web.Application:
    with warnings.catch_warnings():  # aiohttp would rather have other keys than the service's
        warnings.simplefilter("ignore")
        made = CSCWithCertomancer(config, service_params=DummyServiceParams(hash_pinning_required=True))
    made.register_routes()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await service.guard(request, handler)

    made.app.middlewares.append(guard)
    application: web.Application = made.app
    return application


async def _serve(application: web.Application, started: threading.Event, port: int) -> None:
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
def remote_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteService]:
    folder = tmp_path_factory.mktemp("csc")
    config = configuration(folder)
    port = free_port()
    service = RemoteService(f"http://{HOST}:{port}")
    root = config.pki_archs["office"].get_cert("root")
    service.root = _pem(root.dump())
    started, loop = threading.Event(), asyncio.new_event_loop()
    task = loop.create_task(_serve(_application(service, config), started, port))

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    thread = threading.Thread(target=run, name="csc", daemon=True)
    thread.start()
    assert started.wait(20)
    yield service
    loop.call_soon_threadsafe(task.cancel)
    thread.join(10)


def _pem(der: bytes) -> str:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()


@pytest.fixture
def remote(remote_service: RemoteService) -> RemoteService:
    """As it is at first: a PIN, three tries."""
    remote_service.reset()
    return remote_service
