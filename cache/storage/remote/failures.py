"""What a store of objects refuses, said with what to do next."""

import re

from cache.errors import UserError

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_NO_CREDENTIALS = (
    "169.254.",
    "metadata.google",
    "No credentials",
    "MissingCredentials",
    "security credentials",
    "Account must be specified",
)
_SAID_BY = {  # who is asking, and that nobody need know
    "s3": ("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE", "AWS_SKIP_SIGNATURE"),
    "gs": (
        "GOOGLE_SERVICE_ACCOUNT, a file, or `gcloud auth application-default login`",
        "GOOGLE_SKIP_SIGNATURE",
    ),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY", "AZURE_SKIP_SIGNATURE"),
}
_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint", "301 Moved")
_EXPIRED = ("ExpiredToken", "TokenRefreshRequired", "RequestTimeTooSkewed")
_REFUSED = (
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "PermissionDenied"),
    *("403 Forbidden", "401 Unauthorized", "Unauthenticated"),
)
_KEPT = "What was written before is kept: run the same command again."


def explain(error: BaseException, address: str) -> UserError:
    """Say what a store's error means, and what to do."""
    said = str(error).split("\n\nDebug source")[0]
    bucket = "/".join(address.split("/")[:3])

    def has(signs: tuple[str, ...]) -> bool:
        return any(sign in said for sign in signs)

    if has(_NO_BUCKET):
        return UserError(
            f"Expected a bucket at {bucket}, found none. Check its name, and the endpoint if you set one."
        )
    if has(_NO_CREDENTIALS):
        return no_credentials(address)
    if has(_REGION):
        return UserError(
            f"Expected {bucket} in the region that is set, but it is in another. Set AWS_REGION to the bucket's."
        )
    if has(_EXPIRED):
        return UserError(
            f"Expected credentials for {bucket} that are valid now; they have expired. Get new ones. {_KEPT}"
        )
    if has(_REFUSED):
        return UserError(
            f"Expected leave to use {address}, which the store denies to these credentials ({_code(said)}). Check "
            "which ones are used, and what they may do there."
        )
    return UserError(f"Expected {bucket} to answer, but: {_shortened(said)}. {_KEPT}")


def no_credentials(address: str) -> UserError:
    """Say that nothing tells who is asking."""
    names, public = _SAID_BY[address.partition(":")[0]]
    return UserError(
        f"Expected credentials for {address}, found none. Set {names}; or, for a public bucket, {public}=true."
    )


def _code(said: str) -> str:
    found = re.search(r"<Code>(\w+)</Code>", said) or re.search(r"status code: (\d+ [A-Z][a-z]+)", said)
    return found[1] if found else "access denied"


def _shortened(said: str) -> str:
    """The status, or the kind of failure, and how often it was tried."""
    status = re.search(r"status code: (\d+ [A-Za-z ]+)", said)
    code = re.search(r"<Code>(\w+)</Code>", said)
    tries = re.search(r"after (\d+) retries", said)
    what = (
        status[1].strip() if status else said.rsplit(" - ", 1)[-1].strip().splitlines()[0][:200].rstrip(".")
    )
    what += f", {code[1]}" if code else ""
    return f"{what} after {tries[1]} retries" if tries else what
