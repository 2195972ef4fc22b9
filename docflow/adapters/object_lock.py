"""Object lock in one bucket: versions that nobody can delete before an instant, nor while a legal hold keeps them.

Errors are the SDK's own; ``docflow.adapters.storage`` turns them into our kinds.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from minio import Minio
from minio.commonconfig import COMPLIANCE, ENABLED
from minio.error import S3Error
from minio.objectlockconfig import ObjectLockConfig
from minio.retention import Retention
from minio.versioningconfig import VersioningConfig

from docflow.domain.errors import Unsupported
from docflow.services.ports import LockState

_log = logging.getLogger(__name__)
_THERE_ALREADY = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
_NO_LOCKS = (
    "ObjectLockConfigurationNotFoundError",
    "NoSuchObjectLockConfiguration",
    "InvalidRequest",
    "InvalidBucketState",
    "NotImplemented",
    "MethodNotAllowed",
    "MalformedXML",
    "AccessDenied",
)
_NO_RETENTION = ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration")
_NO_HOLD = ("NoSuchObjectLegalHold", *_NO_RETENTION)
WITHOUT = (
    "The bucket '{}' does not lock objects. Make a bucket with object lock, copy the objects there, and set "
    "DOCFLOW_S3_BUCKET to it."
)


class LockedBucket:
    """Whether a bucket has object lock, and what is locked in it."""

    def __init__(self, client: Minio, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._enabled = False

    def make(self) -> None:
        """With object lock where the store knows it; somebody else making it at the same time is well."""
        for object_lock in (True, False):
            try:
                self._client.make_bucket(bucket_name=self._bucket, object_lock=object_lock)
                return
            except S3Error as error:
                if error.code in _THERE_ALREADY:
                    return
                if error.code not in _NO_LOCKS or not object_lock:
                    raise

    def switch_on(self) -> bool:
        """For a bucket that was made without; stores differ in whether that can be done later."""
        if self.enabled():
            return True
        try:
            self._client.set_bucket_versioning(bucket_name=self._bucket, config=VersioningConfig(ENABLED))
            self._client.set_object_lock_config(bucket_name=self._bucket, config=ObjectLockConfig(None, None, None))
        except S3Error as error:
            if error.code not in _NO_LOCKS:
                raise
        if not self.enabled():
            _log.warning("signed files can be deleted. %s", WITHOUT.format(self._bucket))
            return False
        return True

    def enabled(self) -> bool:
        """Once it is on it stays so: it cannot be switched off."""
        if not self._enabled:
            try:
                self._client.get_object_lock_config(bucket_name=self._bucket)
            except S3Error as error:
                if error.code not in _NO_LOCKS:
                    raise
                return False
            self._enabled = True
        return True

    def versions(self, key: str) -> list[str]:
        """Of the bytes that lie under ``key``, newest first, whatever was put or deleted since."""
        found = self._client.list_objects(bucket_name=self._bucket, prefix=key, recursive=True, include_version=True)
        own = [one for one in found if one.object_name == key and not one.is_delete_marker and one.version_id]
        own.sort(key=lambda one: (one.is_latest == "true", one.last_modified), reverse=True)  # a string, in this SDK
        return [str(one.version_id) for one in own]

    def lock(self, key: str, version: str, until: datetime) -> None:
        """COMPLIANCE: not even an administrator of the store can shorten it."""
        with self._supported():
            self._client.set_object_retention(
                bucket_name=self._bucket,
                object_name=key,
                config=Retention(mode=COMPLIANCE, retain_until_date=until),
                version_id=version,
            )

    def hold(self, key: str, version: str, on: bool) -> None:
        change = self._client.enable_object_legal_hold if on else self._client.disable_object_legal_hold
        with self._supported():
            change(bucket_name=self._bucket, object_name=key, version_id=version)

    def state(self, key: str, version: str) -> LockState:
        return LockState(self._until(key, version), self._held(key, version))

    def _until(self, key: str, version: str) -> datetime | None:
        """None also for GOVERNANCE, which an administrator can lift."""
        try:
            found = self._client.get_object_retention(bucket_name=self._bucket, object_name=key, version_id=version)
        except S3Error as error:
            if error.code in (*_NO_RETENTION, "InvalidRequest"):
                return None
            raise
        return found.retain_until_date if found is not None and found.mode == COMPLIANCE else None

    def _held(self, key: str, version: str) -> bool:
        try:
            return bool(
                self._client.is_object_legal_hold_enabled(bucket_name=self._bucket, object_name=key, version_id=version)
            )
        except S3Error as error:
            if error.code in (*_NO_HOLD, "InvalidRequest"):
                return False
            raise

    @contextmanager
    def _supported(self) -> Iterator[None]:
        """A bucket without locks refuses in many ways; those that are about the object stay what they are."""
        try:
            yield
        except S3Error as error:
            if error.code in _NO_LOCKS and not self.enabled():
                raise Unsupported(WITHOUT.format(self._bucket)) from error
            raise
