# SPDX-License-Identifier: GPL-3.0-or-later
"""The exceptions of the ``docker`` package that the emulator catches by name."""

from __future__ import annotations


class DockerException(Exception):  # noqa: N818  the names are docker's
    pass


class APIError(DockerException):
    pass


class NotFound(APIError):  # noqa: N818
    pass


class ImageNotFound(NotFound):
    pass


class ContainerError(DockerException):
    pass
