"""Signed messages: the chain runs, the commands reach the workers, and a stranger's message is not taken."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from kombu import Connection

from tape.virtual.shelf import insert, new_cartridge
from tests.system import System


@pytest.fixture
def signed(system: System, short_path: Path) -> System:
    """An installation whose hosts share one key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tapeline")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
    (short_path / "trusted").mkdir()
    certificate = short_path / "trusted" / "host.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (short_path / "host.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    system.environment |= {
        "TAPELINE_SIGNING__KEY": str(short_path / "host.key"),
        "TAPELINE_SIGNING__CERTIFICATE": str(certificate),
        "TAPELINE_SIGNING__TRUSTED": str(short_path / "trusted"),
    }
    return system


def test_a_whole_run(signed: System, short_path: Path, broker_url: str) -> None:
    """The command line signs as the workers do; the ping of doctor needs no signature."""
    (short_path / "source").mkdir()
    (short_path / "source" / "data").write_bytes(bytes(1000))
    signed.schedule("monthly", short_path / "source")
    new_cartridge(signed.drive.path, "A00001L9", capacity=64 << 20)
    insert(signed.drive.path, "A00001L9")
    signed.start("control", "tape")
    run = signed.wait_for_state(signed.run_schedule("monthly"), "SUCCEEDED", "FAILED")
    assert run["state"] == "SUCCEEDED", signed.logs()
    [workers] = [each for each in signed.json("doctor") if each["check"] == "Workers"]
    assert workers["ok"]
    _send_unsigned(broker_url)
    signed.wait_for(lambda: b"untrusted content of type json" in signed.log("control"), "the refusal")
    assert [each["id"] for each in signed.json("runs")] == [run["id"]]


def _send_unsigned(broker_url: str) -> None:
    """A message as Celery itself would send it, without a signature."""
    options = {"global_keyprefix": "tapeline:"}
    headers = {"task": "tapeline.start", "id": "stranger", "lang": "py", "root_id": "stranger"}
    with Connection(broker_url, transport_options=options) as connection, connection.Producer() as producer:
        producer.publish(
            [[], {"schedule_id": 1}, {}],
            exchange="control",
            routing_key="control",
            headers=headers,
            serializer="json",
        )


def test_what_is_wrong_with_a_key_is_said(signed: System, short_path: Path) -> None:
    """Before a worker starts, in one line."""
    signed.schedule("monthly", short_path)
    (short_path / "host.key").write_text("no key")
    done = signed.cli("schedule", "run", "monthly", code=None)
    assert done.returncode == 2
    assert "signing:" in done.stderr
