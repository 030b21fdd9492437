"""Installs the tools that check the page in `web/` and the report's explorer and charts (Biome, axe-core: pinned in web/package.json), and lints both.

    python tools/web_tools.py [--fix]

If npm's registry cannot be reached, a message says that the page is not checked; tests with axe-core are skipped.
"""

import os
import subprocess
import sys
from pathlib import Path

from helpers.obtain.places import package_registries

WEB = Path(__file__).resolve().parents[1] / "web"
TEMPLATE = WEB.parent / "reports" / "template"
INSTALLED = WEB / "node_modules" / ".package-lock.json"
BIOME = WEB / "node_modules" / "@biomejs" / "biome" / "bin" / "biome"
SECONDS = 300.0


def install() -> bool:
    """Install the tools if they are missing or outdated; return True if they are installed now."""
    if INSTALLED.is_file() and INSTALLED.stat().st_mtime >= (WEB / "package.json").stat().st_mtime:
        return True
    try:
        code, output = package_registries.call_tool(
            [*package_registries.npm(), "install", "--no-package-lock", "--no-audit", "--no-fund"],
            WEB,
            SECONDS,
        )
    except (package_registries.SourceFailedError, OSError) as error:
        code, output = 1, str(error)
    if code:
        reason = package_registries.ADDRESS.sub("…", " ".join(output.split()))[-200:]
        print(f"The page in web/ is not checked, because npm could not install the tools: {reason}")
        return False
    os.utime(INSTALLED)
    return True


def main() -> int:
    """Install and lint; return Biome's exit status."""
    if not install():
        return 0
    options = ["--write"] if "--fix" in sys.argv[1:] else []
    command = [package_registries.node(), BIOME, "check", "--error-on-warnings", *options]
    of_report = [*command, "--config-path=../../web", "explorer.js", "charts.js"]
    runs = (
        subprocess.run(call, cwd=folder, check=False)
        for call, folder in ((command, WEB), (of_report, TEMPLATE))
    )
    return max(run.returncode for run in runs)


if __name__ == "__main__":
    sys.exit(main())
