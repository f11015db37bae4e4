# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's own certificate authority, so that clients verify TLS as they do on AWS.

The authority's key is used once, for the server certificate, and never written: nobody can use this sandbox's
authority to impersonate anything else to a machine that trusts it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.settings import Settings

_LIFETIME = datetime.timedelta(days=365)
_RENEWAL = datetime.timedelta(days=30)
_NAMES: list[x509.GeneralName] = [
    x509.DNSName("localhost"),
    x509.DNSName("*.localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
]


def ensure(settings: Settings) -> bool:
    """Make the certificates when there are none or they expire within a month. Whether new ones were made."""
    if _is_usable(settings):
        return False
    folder = settings.ca_bundle.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _server(server_key, authority, authority_key, _names(settings))
    _write(settings.server_key, _private_pem(server_key), 0o600)
    # The emulator hands this file to Lambda functions as their trust store too: it carries the authority as well.
    _write(settings.server_certificate, _pem(server) + _pem(authority), 0o644)
    _write(settings.ca_bundle, _pem(authority), 0o644)
    return True


def _is_usable(settings: Settings) -> bool:
    paths = (settings.ca_bundle, settings.server_certificate, settings.server_key)
    if not all(path.is_file() for path in paths):
        return False
    try:
        certificates = [x509.load_pem_x509_certificate(path.read_bytes()) for path in paths[:2]]
        certificates[1].verify_directly_issued_by(certificates[0])
        serialization.load_pem_private_key(settings.server_key.read_bytes(), password=None)
        alternatives = certificates[1].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, x509.InvalidVersion, x509.ExtensionNotFound):
        return False
    if list(alternatives) != _names(settings):  # made for another task network
        return False
    renewal = datetime.datetime.now(datetime.UTC) + _RENEWAL
    return all(certificate.not_valid_after_utc > renewal for certificate in certificates)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    name = _name("localgov sandbox certificate authority")
    # Only these names, so that trusting this authority by mistake risks nothing beyond this machine.
    allowed: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_network("127.0.0.0/8")),
    ]
    return (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=allowed, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _names(settings: Settings) -> list[x509.GeneralName]:
    """This machine, and the sandbox's own addresses, where load balancers listen."""
    own = ipaddress.ip_network(f"{settings.task_network}.0.0/24")
    return [*_NAMES, *(x509.IPAddress(address) for address in own.hosts())]


def _server(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
) -> x509.Certificate:
    return (
        _builder(_name("localgov sandbox"), authority.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write with the wanted mode from the first byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.fchmod(descriptor, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
