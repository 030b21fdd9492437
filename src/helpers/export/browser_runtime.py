"""TensorFlow.js as a browser loads it: four scripts and a WebAssembly binary from npm, verified."""

from pathlib import Path

from helpers.obtain.places import download, package_registries
from helpers.obtain.places.files import Download, File, PackageSource

VERSION = "4.22.0"
# npm package after "tfjs-": the hash and the size of its script
PACKAGES = {
    "core": ("c55367325aa628ed685164d5c4210892e31c6d2d0e8c163a827b15ad330d1eba", 255_317),
    "converter": ("42a8166c840173bae6180e8ab715a4c811f0371de1b81f28977fd4a7d2c39adf", 286_781),
    "backend-cpu": ("5d703dd6791356c98c3131aa6340ca48d82806228dfad8b439e83bcaedbb508e", 126_194),
    "backend-wasm": ("bdd8c3c1fb0b37601bc2a122efa20b8d78e2936d104b03a44591be4188c63f65", 144_402),
}
SCRIPTS = tuple(File(f"tf-{package}.es2017.min.js", *script) for package, script in PACKAGES.items())
BINARY = File(
    "tfjs-backend-wasm-simd.wasm",
    "77ebb28a6d34f371dbbf2086b7f2de8994acd8ea5a3cf1fa24d2c26c840cac7b",
    424_594,
)
FILES = (*SCRIPTS, BINARY)
RUNTIME = Download(
    name=f"tfjs/{VERSION}",
    title=f"TensorFlow.js {VERSION}",
    files=FILES,
    package=PackageSource(
        "npm",
        package_registries.fetch_npm,
        tuple(f"@tensorflow/tfjs-{package}@{VERSION}" for package in PACKAGES),
        "package/dist",
    ),
)


def folder(network: download.Network | None = None) -> Path:
    """Return the folder in the cache that holds `FILES`, each verified.

    Args:
        network: time limits and progress.

    Raises:
        AcquisitionError: no source has the files complete, or the cache cannot be written.
    """
    download.fetch(RUNTIME, network)
    return RUNTIME.folder
