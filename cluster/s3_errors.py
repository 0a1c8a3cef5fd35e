"""What S3 answers when it does not do what was asked, in Recast's own errors; and how long it is asked again.

Messages name the uri and what to do. They are our own words: a service's may quote what it was sent.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from botocore import exceptions as aws
from urllib3.exceptions import HTTPError

from schemas.errors import BadInput, RecastError, Unreachable, UserError
from schemas.reasons import Reason

PATIENCE_SECONDS = 90.0
"""How long the same request is tried again: longer than a service takes to restart, shorter than a row may take."""

PATIENCE_WHILE_DOWN_SECONDS = 10.0
"""The same, from when that was not enough until a request succeeds again: or every unit of a run would wait in turn."""

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 5.0

_LOST = frozenset({"PreconditionFailed", "412"})
_NO_BUCKET = frozenset({"NoSuchBucket"})
_NO_OBJECT = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed"})  # a delete marker
_BUSY = frozenset(
    "SlowDown Throttling ThrottlingException RequestLimitExceeded RequestTimeout OperationAborted InternalError "
    "ServiceUnavailable ConditionalRequestConflict".split()
)
_EXPIRED = frozenset("ExpiredToken ExpiredTokenException TokenRefreshRequired".split())
_UNKNOWN = frozenset("InvalidAccessKeyId SignatureDoesNotMatch InvalidToken InvalidSecurity".split())
_DENIED = frozenset("AccessDenied AllAccessDisabled AccountProblem InvalidObjectState 403 Forbidden".split())

_ON_THE_WAY = (
    aws.ConnectionError,  # refused, no such host, timed out
    aws.HTTPClientError,  # reset, timed out
    aws.ResponseStreamingError,
    aws.IncompleteReadError,
    ConnectionError,
    TimeoutError,
    HTTPError,
)
_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.TokenRetrievalError,
    aws.UnauthorizedSSOTokenError,
)
_is_down = threading.Event()
_log = logging.getLogger("recast.s3")

Returned = TypeVar("Returned")


class ConditionLost(RecastError):
    """A conditional request found another object than it expected, or one where it expected none."""


def asked(uri: str, call: Callable[[], Returned]) -> Returned:
    """What `call` returns, tried again through trouble that passes.

    Raises UserError for credentials, endpoints and buckets that are wrong; BadInput for an object that is not there
    (MISSING) or may not be read (UNREADABLE); ConditionLost; Unreachable when trouble lasts.
    """
    began, pause = 0.0, _FIRST_PAUSE_SECONDS
    patience = PATIENCE_WHILE_DOWN_SECONDS if _is_down.is_set() else PATIENCE_SECONDS
    while True:
        try:
            answer = call()
            _is_down.clear()
            return answer
        except Exception as error:
            if not is_passing(error):
                _is_down.clear()
                raise _named(error, uri) from None
            now = time.monotonic()
            began = began or now
            if now + pause > began + patience:
                _is_down.set()
                raise Unreachable(f"{uri} could not be reached for {now - began:.0f} s: {_cause(error)}") from None
            if began == now:
                _log.warning("%s: %s; trying again for up to %.0f s", uri, _cause(error), patience)
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, aws.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or code_of(error) in _BUSY
    return isinstance(error, _ON_THE_WAY) and not isinstance(error, aws.SSLError)


def code_of(error: Exception) -> str:
    """S3's code, "NoSuchKey"; of an answer without a body the HTTP status; "" of anything else."""
    if not isinstance(error, aws.ClientError):
        return ""
    found: dict[str, Any] = error.response.get("Error", {})
    return str(found.get("Code", ""))


def _named(error: Exception, uri: str) -> Exception:  # noqa: PLR0911
    code = code_of(error)
    if code in _LOST:
        return ConditionLost(f"{uri} was changed by somebody else")
    if code in _NO_OBJECT:
        return BadInput(Reason.MISSING, "no such object")
    if code in _NO_BUCKET:
        return UserError(f"{uri}: there is no such bucket at this endpoint")
    if code in _EXPIRED:
        return UserError(f"{uri}: the S3 credentials have expired: get new ones and run the same command again")
    if code in _UNKNOWN:
        return UserError(f"{uri}: S3 does not accept the credentials: see AWS_ACCESS_KEY_ID, or --aws-profile")
    if code == "RequestTimeTooSkewed":
        return UserError(f"{uri}: S3 refuses requests because the clock of this machine is wrong")
    if code in _DENIED:
        return BadInput(Reason.UNREADABLE, "S3 denies access to the object")
    if isinstance(error, aws.ProfileNotFound):
        return UserError(f"{uri}: no such profile in the AWS configuration: see --aws-profile")
    if isinstance(error, _NO_CREDENTIALS):
        how = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --aws-profile, or --no-sign-request"
        return UserError(f"{uri}: no S3 credentials: {how}")
    if isinstance(error, aws.ClientError):
        return UserError(f"{uri}: S3 refuses the request: {code}")
    if isinstance(error, aws.BotoCoreError | ValueError):  # an endpoint that is no URL, a certificate, a name
        return UserError(f"{uri}: S3 cannot be asked: {_cause(error)}; see --endpoint-url")
    return error


def _cause(error: Exception) -> str:
    """A word for it: messages of others may hold what must not be shown."""
    return code_of(error) or type(error).__name__
