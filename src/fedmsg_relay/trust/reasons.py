"""Why a message is not trusted."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a message is not trusted. This list is closed: counters, logs and docs use these and no others."""

    UNSIGNED = "unsigned"
    CRYPTO_UNKNOWN = "crypto-unknown"
    SIGNATURE_MALFORMED = "signature-malformed"
    CERTIFICATE_MALFORMED = "certificate-malformed"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_REVOKED = "certificate-revoked"
    SIGNATURE_INVALID = "signature-invalid"
    TOPIC_MISMATCH = "topic-mismatch"
    NOT_PERMITTED = "not-permitted"
    NO_POLICY = "no-policy"
    SOURCE_NOT_ALLOWED = "source-not-allowed"
    TRUST_UNUSABLE = "trust-unusable"
    """The relay's own fault: its CA or CRL is missing, broken or expired."""
