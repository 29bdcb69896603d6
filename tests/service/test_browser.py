"""The pages as a person sees them: headless Chromium opens, searches, follows, looks at a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

from tests.pages import FAILED, served, site

WIDE, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config, journal = site(tmp_path_factory.mktemp("browser"))
    with served(config, journal) as url:
        yield url
    journal.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    for word in (
        "--headless",
        "--no-sandbox",  # root's Chromium has none
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(word)
    options.add_experimental_option(
        "prefs", {"profile.managed_default_content_settings.javascript": 2}
    )
    driver = Chrome(options=options, service=ChromeService("/usr/bin/chromedriver"))
    driver.implicitly_wait(5)
    yield driver
    driver.quit()


def look(browser: Chrome, dark: bool, size: tuple[int, int]) -> None:
    """Let the browser be a phone or a desk, by night or by day."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def test_open_search_follow_to_a_patch(browser: Chrome, address: str) -> None:
    look(browser, dark=False, size=WIDE)
    browser.get(address)
    assert "kernel-6.12.8-201.fc41" in browser.find_element(By.TAG_NAME, "main").text
    box = browser.find_element(By.NAME, "q")
    box.send_keys("usb hub\n")
    found = browser.find_element(By.TAG_NAME, "main").text
    assert "usb-hub-wait.patch" in found and "tun" not in found
    browser.find_element(By.PARTIAL_LINK_TEXT, "kernel-4.15.0-1.fc28").click()
    assert browser.find_element(By.TAG_NAME, "h1").text == "kernel-4.15.0-1.fc28"
    browser.find_element(By.LINK_TEXT, "usb: hub: wait longer").click()
    commit = browser.find_element(By.TAG_NAME, "main").text
    assert "Signed-off-by: Hans de Goede" in commit and "drivers/usb/core/hub.c" in commit


def test_see_a_failure(browser: Chrome, address: str) -> None:
    browser.get(address)
    browser.find_element(By.PARTIAL_LINK_TEXT, FAILED).click()
    main = browser.find_element(By.TAG_NAME, "main").text
    assert "a.patch: does not apply" in main and f"srcgit convert {FAILED}" in main
    assert r"expected <script>\u202ealert(1)</script>" in main  # text, not a program


@pytest.mark.parametrize("dark", [False, True], ids=["day", "night"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("path", ["/", "/build/kernel-4.15.0-1.fc28", f"/build/{FAILED}"])
def test_fits_the_screen_and_can_be_read(
    browser: Chrome, address: str, path: str, size: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    look(browser, dark, size)
    browser.get(address + path)
    measured = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})
    assert measured["cssContentSize"]["width"] <= size[0]  # nothing to scroll sideways
    body = browser.find_element(By.TAG_NAME, "body")
    ink, paper = (
        _luminance(body.value_of_css_property(name)) for name in ("color", "background-color")
    )
    assert (ink > paper) is dark
    bright, dim = max(ink, paper), min(ink, paper)
    assert (bright + 0.05) / (dim + 0.05) >= 7  # WCAG 2.1, 1.4.6


def _luminance(color: str) -> float:
    """Return the relative luminance of ``rgb(a)(r, g, b...)`` (WCAG 2.1)."""
    parts = color[color.index("(") + 1 :].rstrip(")").split(",")[:3]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(part) / 255 for part in parts)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
