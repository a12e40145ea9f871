"""Header fields: what may go out, and how bytes on the wire become text. Knows no message and no connection.

Text is UTF-8 with surrogateescape both ways, so that any bytes a peer sent can be read, compared and sent on unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from multidict import MultiMapping

from .errors import InvalidHeader

__all__ = ["SENSITIVE_HEADERS", "Fields", "HeaderTypes", "checked_name", "checked_value", "field_names", "field_pairs", "text"]

HeaderTypes: TypeAlias = (
    Mapping[str, str | None] | Mapping[bytes, bytes | None] | Iterable[tuple[str | bytes, str | bytes | None]] | MultiMapping[str]
)

# Received fields: (name, value) pairs in order. The compiled parser makes them when somebody looks at them; its `find` needs none.
Fields: TypeAlias = Sequence[tuple[bytes, bytes]]

# Fields beside Authorization and Cookie that prove who asks: what services and gateways document as their own, and what people call
# such a field. Whole names: parts of names would also take away fields that only describe a request.
_NAMED = """
api-key apikey x-api-key x-apikey x-api-token x-api-secret x-app-key x-client-secret
access-token auth-token token x-access-token x-auth x-auth-key x-auth-token x-authorization x-id-token x-refresh-token x-secret
x-service-token x-session-id x-session-token x-subject-token x-token x-user-token
csrf-token x-csrf-token x-csrftoken x-xsrf-token
x-forwarded-access-token x-original-authorization x-serverless-authorization
x-amz-security-token x-aws-ec2-metadata-token x-amzn-oidc-accesstoken x-amzn-oidc-data
x-amz-server-side-encryption-customer-key x-amz-copy-source-server-side-encryption-customer-key
x-goog-api-key x-goog-encryption-key x-goog-iam-authorization-token x-goog-iap-jwt-assertion
ocp-apim-subscription-key x-functions-key x-ms-authorization-auxiliary x-ms-encryption-key x-ms-token-aad-access-token
cf-access-client-secret cf-access-jwt-assertion cf-access-token
deploy-token job-token private-token x-gitlab-token x-circleci-token circle-token
x-consul-token x-nomad-token x-vault-token
dd-api-key dd-application-key x-honeycomb-team x-license-key x-insert-key x-sentry-auth
x-nuget-apikey x-jfrog-art-api x-octopus-apikey x-redmine-api-key x-figma-token x-plex-token x-emby-token
x-shopify-access-token x-shopify-storefront-access-token x-postmark-server-token x-postmark-account-token
x-algolia-api-key x-meili-api-key x-typesense-api-key x-hasura-admin-secret x-parse-master-key x-parse-rest-api-key
x-parse-session-token x-rapidapi-key x-mbx-apikey cb-access-key cb-access-passphrase cb-access-sign x-vercel-protection-bypass
"""
SENSITIVE_HEADERS = frozenset(_NAMED.split())

# RFC 9110 section 5.6.2 (token) and 5.5 (field values: HTAB, SP, visible characters, obs-text).
_NOT_TOKEN = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def text(value: bytes) -> str:
    """Bytes of a head as text."""
    return value.decode("utf-8", "surrogateescape")


def checked_name(name: str, what: str = "field name") -> str:
    """The same name, or InvalidHeader where it isn't a token (RFC 9110 section 5.1)."""
    if bad := _NOT_TOKEN.search(name):
        raise InvalidHeader(f"{what} {name!r}: {bad[0]!r} at position {bad.start()} is not allowed there")
    if not name:
        raise InvalidHeader(f"an empty {what} can't be sent")
    return name


def checked_value(name: str, value: str) -> bytes:
    """The value as it goes on the wire, or InvalidHeader where it holds a control character (RFC 9110 section 5.5)."""
    if bad := _CONTROL.search(value):
        # The value itself stays out of the message: it may be a secret.
        raise InvalidHeader(f"value of field {name!r}: control character {bad[0]!r} at position {bad.start()} is not allowed there")
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidHeader(f"value of field {name!r}: half of a surrogate pair at position {error.start} can't be sent") from None


def field_pairs(headers: HeaderTypes | None) -> list[tuple[str, str | None]]:
    """Pairs of text from what a user gives, in their order, repeats kept; a value of None stands for "leave this one out"."""
    if headers is None:
        return []
    given: Any = headers
    if isinstance(given, str | bytes):
        raise TypeError(f"headers: give a mapping or (name, value) pairs, not {type(given).__name__}")
    items: Iterable[tuple[object, object]] = given.items() if isinstance(given, Mapping) else given
    return [(_name(name), _value(name, value)) for name, value in items]


def field_names(names: Collection[str]) -> frozenset[str]:
    """The names in lower case. Errors: TypeError for anything but a collection of names, InvalidHeader for what is none."""
    if names is SENSITIVE_HEADERS:
        return SENSITIVE_HEADERS
    given: Any = names
    if isinstance(given, str | bytes) or not isinstance(given, Collection) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"sensitive_headers takes a set or list of field names, not {type(given).__name__}; () names none")
    return frozenset(checked_name(name).lower() for name in given)


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    if isinstance(name, bytes):
        return text(name)
    raise TypeError(f"field name {name!r}: give str or bytes, not {type(name).__name__}")


def _value(name: object, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return text(value)
    raise TypeError(f"value of field {name!r}: give str, bytes or None, not {type(value).__name__}")
