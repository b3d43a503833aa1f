"""The charting library of the dashboard, uPlot (MIT): the version in `assets/`, and how to change it.

`python -m provider.admin.dashboard.uplot` fetches that version with `npm pack`, checks it and writes the files.
"""

import base64
import hashlib
from pathlib import Path

VERSION = "1.6.32"
# As the npm registry states it of the package (Subresource Integrity, W3C).
PACKAGE_INTEGRITY = "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw=="
INTEGRITY = {
    "uplot.min.js": "sha384-Gx3t0zdBAuQOuvvmaLZj7HKEiSgWTAs+VdtNY7wt19QDPTDQjFIwAuXDj0zeN00c",
    "uplot.min.css": "sha384-IfV0B7MIOYuO95kO9G5ySKPz/85zqFNOAs8iy4tkK5zd9izhJAB8b7lHrwYqqmYE",
    "uplot.LICENSE": "sha384-LBMwZlHtMnim4BBA9gOI4OOPUI5cNjaxzIZCJRYYEyIykienqB4X7/vxq0t1Ihgd",
}
MEMBERS = {
    "uplot.min.js": "package/dist/uPlot.iife.min.js",
    "uplot.min.css": "package/dist/uPlot.min.css",
    "uplot.LICENSE": "package/LICENSE",
}
FOLDER = Path(__file__).with_name("assets")


def integrity(data: bytes, algorithm: str) -> str:
    """Return an integrity value in the notation of browsers and npm."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def vendor() -> None:
    """Fetch, check and write the files. Raises ValueError if the bytes are not the pinned ones."""
    import subprocess  # noqa: PLC0415 - for those who change the version only
    import tarfile  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"uplot@{VERSION}"], cwd=folder, check=True)  # noqa: S603, S607
        package = Path(folder, f"uplot-{VERSION}.tgz")
        if integrity(package.read_bytes(), "sha512") != PACKAGE_INTEGRITY:
            raise ValueError("this is not the package that was pinned")
        with tarfile.open(package) as archive:
            for name, member in MEMBERS.items():
                held = archive.extractfile(member)
                if held is None:
                    raise ValueError(f"{member} is no file")
                data = held.read()
                if integrity(data, "sha384") != INTEGRITY[name]:
                    raise ValueError(f"{member} is not the file that was pinned")
                (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    vendor()
