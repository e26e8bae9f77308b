"""A real headless Chromium for tests that look at pages: Debian's, driven by Playwright.

Where it isn't there and the tests run as root, `apt-get install chromium` is tried; else such tests are skipped, saying
so. By hand: `apt-get install --no-install-recommends chromium`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_INSTALL_TIMEOUT_S = 180


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: `make setup`")
    path = shutil.which("chromium") or _installed()
    if path is None:
        pytest.skip("no Chromium: apt-get install --no-install-recommends chromium")
    with playwright.sync_playwright() as driver:
        # Its sandbox needs user namespaces, which containers withhold and root can't enter.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def _installed() -> str | None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "chromium"]):
        try:
            subprocess.run(
                ["apt-get", *command], env=environment, timeout=_INSTALL_TIMEOUT_S, check=False, capture_output=True
            )
        except subprocess.TimeoutExpired:
            return None
    return shutil.which("chromium")
