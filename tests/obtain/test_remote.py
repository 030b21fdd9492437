import base64
import errno
import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
import requests

import local_stores
from helpers.errors import AcquisitionError
from helpers.obtain.options import Options
from helpers.obtain.places import locations, remote, remote_files, stores
from helpers.obtain.places.download import Network

FILES = local_stores.content()
SECRET = local_stores.SECRET
OPTIONS = Options(network=Network(progress=False))


@dataclass
class Store:
    """A place with files that a test changes."""

    address: str
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]

    def fill(self, files: dict[str, bytes]) -> "Store":
        for name, data in files.items():
            self.put(name, data)
        return self


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and an environment without anybody's credentials."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HF_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(stores, "WAIT", 0.0)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def s3_server() -> Iterator[tuple[str, object]]:
    from botocore.session import Session

    keys = {"aws_access_key_id": "me", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    with local_stores.s3() as address:
        yield address, Session().create_client("s3", endpoint_url=address, **keys)


@pytest.fixture
def s3(s3_server, monkeypatch) -> Store:
    """An empty bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server[0])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client, bucket = s3_server[1], f"shop-{time.time_ns()}"
    client.create_bucket(Bucket=bucket)

    def put(name: str, data: bytes, **options: str) -> None:
        client.put_object(Bucket=bucket, Key=f"pets/{name}", Body=data, **options)

    return Store(
        f"s3://{bucket}/pets", put, lambda name: client.delete_object(Bucket=bucket, Key=f"pets/{name}")
    )


@pytest.fixture(scope="module")
def google_server() -> Iterator[str]:
    with local_stores.google() as address:
        yield address


@pytest.fixture
def gs(google_server, monkeypatch) -> Store:
    """An empty bucket."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google_server)
    bucket = f"shop-{time.time_ns()}"
    requests.post(f"{google_server}/storage/v1/b?project=x", json={"name": bucket}).raise_for_status()

    def put(name: str, data: bytes) -> None:
        params = {"uploadType": "media", "name": f"pets/{name}"}
        done = requests.post(f"{google_server}/upload/storage/v1/b/{bucket}/o", params=params, data=data)
        done.raise_for_status()

    def remove(name: str) -> None:
        key = requests.utils.quote(f"pets/{name}", safe="")
        requests.delete(f"{google_server}/storage/v1/b/{bucket}/o/{key}").raise_for_status()

    return Store(f"gs://{bucket}/pets", put, remove)


@pytest.fixture
def hub(monkeypatch) -> Iterator[Store]:
    """An empty data set of the stand-in for the hub, which asks for a token."""
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with local_stores.serving(local_stores.HubStandIn, files={}, token=SECRET, asked=[]) as server:
        from huggingface_hub import constants

        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.address)  # HF_ENDPOINT is read at import
        yield Store("hf://datasets/owner/pets", server.files.__setitem__, server.files.__delitem__)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory) -> Iterator[tuple[Path, Path, str, str]]:
    """The folder that nginx serves, a folder with its certificate, and its addresses for http and https."""
    if not local_stores.NGINX:
        pytest.skip("nginx is not installed")
    folder, work = tmp_path_factory.mktemp("web"), tmp_path_factory.mktemp("nginx")
    with local_stores.nginx(folder, work) as (plain, secure):
        yield folder, work, plain, secure


@pytest.fixture
def web(nginx) -> Iterator[Store]:
    """An empty folder of nginx."""
    folder, _, plain, _ = nginx
    pets = folder / "pets"
    pets.mkdir()
    yield Store(
        f"{plain}/pets",
        lambda name, data: local_stores.write(pets, {name: data}),
        lambda name: (pets / name).unlink(),
    )
    shutil.rmtree(pets)


@pytest.fixture(params=["s3", "gs", "hub", "web"])
def store(request) -> Store:
    """Each of the stores in turn, with twelve files."""
    return request.getfixturevalue(request.param).fill(FILES)


def located(address: str, options: Options = OPTIONS) -> dict[str, bytes]:
    return local_stores.read(locations.locate(address, options).path)


def refused(address: str, said: str, options: Options = OPTIONS) -> None:
    with pytest.raises(AcquisitionError, match=said) as raised:
        locations.locate(address, options)
    assert SECRET not in str(raised.value)


def test_folder_is_downloaded_and_an_unchanged_one_is_not_downloaded_again(store, cache, monkeypatch):
    first = locations.locate(store.address, OPTIONS)
    assert local_stores.read(first.path) == FILES
    assert (first.source, first.title, first.note) == (store.address, "pets", "")
    monkeypatch.setattr(remote, "download", None)
    assert locations.locate(store.address, OPTIONS) == first
    assert locations.fingerprint(store.address, OPTIONS) == first.fingerprint
    assert not [
        path for path in cache.rglob("*") if path.is_file() and SECRET in path.read_text(errors="ignore")
    ]


def test_changed_added_and_removed_files_are_noticed_and_nothing_else_is_downloaded(store):
    first = locations.locate(store.address, OPTIONS)
    times = {name: (first.path / name).stat().st_mtime_ns for name in FILES}
    changed = {"cat/000.png": FILES["cat/000.png"][::-1] + b"!", "bird/1.png": b"new"}
    store.fill(changed).remove("dog/001.png")
    assert locations.fingerprint(store.address, OPTIONS) != first.fingerprint
    files = located(store.address)
    assert files == {name: data for name, data in (FILES | changed).items() if name != "dog/001.png"}
    again = {name for name in files if (first.path / name).stat().st_mtime_ns != times.get(name)}
    assert again == set(changed)


def test_archive_is_downloaded_and_unpacked_and_only_its_content_is_stored(store, tmp_path, cache):
    local_stores.write(tmp_path / "pets", FILES)
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path, "pets")
    store.put("pets.zip", Path(archive).read_bytes())
    assert located(f"{store.address}/pets.zip") == FILES
    assert not list(cache.rglob("*.zip"))
    (next(cache.rglob("unpacked")) / "pets" / "cat" / "000.png").unlink()
    assert located(f"{store.address}/pets.zip") == FILES, "what is damaged is downloaded again"


def test_table_is_downloaded_with_the_files_beside_it(store):
    store.put("labels.csv", b"file,label\ncat/000.png,cat\n")
    place = locations.locate(f"{store.address}/labels.csv", OPTIONS)
    assert (place.path.name, place.title) == ("labels.csv", "pets")
    assert local_stores.read(place.path.parent).keys() == {*FILES, "labels.csv"}


@pytest.mark.parametrize("name", ["none", "none.zip", "none.csv"])
def test_place_that_does_not_exist_is_reported_in_a_sentence(store, name):
    refused(f"{store.address}/{name}", r"it does not exist|There are no files at")


@pytest.mark.parametrize(
    "address", ["s3://no-such-bucket/x", "gs://no-such-bucket/x", "hf://datasets/owner/none"]
)
def test_bucket_that_does_not_exist_is_reported_in_a_sentence(address, s3, gs, hub):
    refused(address, f"{address} could not be listed: it does not exist, or these credentials may not see it")


def test_access_without_credentials_is_refused_with_the_name_of_the_variables(s3, nginx, web, monkeypatch):
    s3.fill(FILES)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    refused(s3.address, r"access was refused(?s:.*)AWS_ACCESS_KEY_ID")
    web.fill(FILES)
    refused(f"{nginx[2]}/private/pets", r"access was refused(?s:.*)netrc")


def test_password_of_a_web_server_comes_from_netrc(nginx, web, tmp_path, monkeypatch):
    web.fill(FILES)
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert located(f"{nginx[2]}/private/pets") == FILES


def test_https_is_verified_with_the_certificates_of_the_environment(nginx, web, cache):
    web.fill(FILES)
    command = [sys.executable, "-c", local_stores.LOCATE, f"{nginx[3]}/pets"]
    trusted = {**local_stores.environment(cache), "SSL_CERT_FILE": str(nginx[1] / "cert.pem")}
    done = subprocess.run(command, env=trusted, capture_output=True, text=True, check=True)
    assert local_stores.read(Path(done.stdout.strip())) == FILES


def test_unreachable_address_uses_the_downloaded_copy_and_says_so(cache):
    told = []
    options = Options(network=Network(progress=False, tell=told.append))
    with local_stores.serving(Folder, files=FILES, broken=0) as server:
        address = f"{server.address}/pets"
        first = locations.locate(address, options)
    place = locations.locate(address, options)
    assert (place.path, place.fingerprint) == (first.path, first.fingerprint)
    assert "could not be listed: the connection failed" in place.note
    assert "The copy downloaded on 20" in place.note
    assert locations.fingerprint(address, options) == first.fingerprint
    assert told == [place.note, place.note]
    (place.path / "cat" / "000.png").unlink()
    refused(address, "files of its downloaded copy are missing")


def test_unreachable_address_without_a_copy_is_an_error(cache):
    refused(f"http://127.0.0.1:{local_stores.free_port()}/pets", "could not be listed: the connection failed")


class Folder(SimpleHTTPRequestHandler):
    """A web server without ranges, with links that lead elsewhere; the first `broken` files arrive cut off."""

    def log_message(self, *arguments: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        files, name = self.server.files, self.path.removeprefix("/pets/").rstrip("/")
        if name in files:
            content, kind = files[name], "image/png"
        else:
            inside = [path.removeprefix(f"{name}/") for path in files if name in ("", path.partition("/")[0])]
            links = sorted({f"{path.partition('/')[0]}/" if "/" in path else path for path in inside})
            others = (
                "?C=N;O=D",
                "../",
                "/",
                "/style.css",
                "mailto:me@host",
                "https://elsewhere/x.png",
                "#top",
            )
            content = "".join(f'<a href="{link}">x</a>\n' for link in (*others, *links)).encode()
            kind = "text/html"
        cut = body and name in files and self.server.broken > 0
        self.server.broken -= cut
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", kind)
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if cut else content)


@pytest.fixture
def odd() -> Iterator[object]:
    with local_stores.serving(Folder, files=dict(FILES), broken=0) as server:
        yield server


def test_links_that_lead_elsewhere_are_left_alone(odd):
    assert located(f"{odd.address}/pets") == FILES


def test_server_that_ignores_ranges_is_read_from_the_beginning(odd, monkeypatch):
    monkeypatch.setattr(remote, "BLOCK", 1_000)
    assert located(f"{odd.address}/pets") == FILES


def test_connection_that_breaks_is_tried_again(odd):
    odd.broken = 10
    assert located(f"{odd.address}/pets") == FILES


def test_connection_that_stays_broken_is_an_error_and_complete_files_stay(odd, cache):
    odd.broken = 10_000
    refused(
        f"{odd.address}/pets", r"could not be downloaded: the connection failed .* 0 of 12 files are complete"
    )
    odd.broken, full = 0, dict(odd.files)
    odd.files["cat/000.png"] = None  # the server fails on this one
    refused(f"{odd.address}/pets", "could not be listed")
    odd.files.update(full)
    assert located(f"{odd.address}/pets") == FILES


def test_table_without_a_page_of_links_is_downloaded_with_the_files_that_it_names(nginx, web):
    """The columns are those of ELPV: no header, divided by spaces."""
    web.fill(FILES).put("my photo #1.png", b"spaces and signs")
    rows = ["cat/000.png  1.0  mono", "dog/001.png 0.3333 poly", "my photo #1.png,1", "absent.png 0.0 mono"]
    web.put("labels.csv", "\n".join(rows).encode())
    place = locations.locate(f"{nginx[2]}/bare/pets/labels.csv", OPTIONS)
    names = {"labels.csv", "cat/000.png", "dog/001.png", "my photo #1.png"}
    assert local_stores.read(place.path.parent).keys() == names
    refused(f"{nginx[2]}/bare/pets", "access was refused")


@pytest.mark.parametrize("name", ["../out.png", "cat/../../../out.png", "/out.png"])
def test_object_that_would_leave_the_cache_is_refused(s3, cache, name):
    s3.fill(FILES).put(name, b"x")
    refused(s3.address, "would be written outside the target folder")
    assert not list(cache.parent.rglob("out.png"))


def test_two_objects_for_one_file_are_refused(s3):
    s3.fill(FILES).put("cat//000.png", b"x")
    refused(s3.address, "two objects would be written to 'cat/000.png'")


def test_hidden_objects_and_folder_marks_are_skipped(s3):
    s3.fill({**FILES, "": b"", "cat/": b"", ".git/config": b"x", "__MACOSX/cat/._1.png": b"x"})
    assert located(s3.address) == FILES


def test_download_above_the_bound_is_refused_before_it_begins(s3, odd, cache):
    s3.fill(FILES)
    refused(s3.address, "unpack_gb", Options(unpack_gb=1e-5))
    assert local_stores.half_taken(cache, FILES) == []
    assert not [path for path in cache.rglob("files/*") if path.is_file()]


def test_disk_that_is_too_small_is_noticed_before_the_download(odd, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda path: usage._replace(free=1_000))
    refused(f"{odd.address}/pets", "There is not enough space on the disk")


def test_disk_that_fills_up_is_reported_and_complete_files_stay(odd, cache, monkeypatch):
    taken, block = [], remote._Download._block

    def fill_up(download, file, start, end):
        taken.append(file.name)
        if len(taken) > 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        return block(download, file, start, end)

    monkeypatch.setattr(remote._Download, "_block", fill_up)
    refused(f"{odd.address}/pets", r"not enough space on the disk(?s:.*)OSEMN_CACHE_DIR")
    assert local_stores.half_taken(cache, FILES) == []
    monkeypatch.setattr(remote._Download, "_block", block)
    assert located(f"{odd.address}/pets") == FILES


def test_files_that_change_during_the_download_arrive_as_they_are_at_its_end(s3, monkeypatch):
    s3.fill(FILES)
    fetch, changed = remote._Download._fetch, []

    def disturbed(download, file):
        if not changed:
            changed.append(file)
            s3.fill({"cat/010.png": b"another", "cat/new.png": b"new"}).remove("dog/011.png")
        fetch(download, file)

    monkeypatch.setattr(remote._Download, "_fetch", disturbed)
    now = {**FILES, "cat/010.png": b"another", "cat/new.png": b"new"}
    del now["dog/011.png"]
    assert located(s3.address) == now


def test_place_that_never_stops_changing_is_an_error(odd, monkeypatch):
    fetch, count = remote._Download._fetch, iter(range(100))

    def disturbed(download, file):
        odd.files[f"cat/{next(count)}.png"] = b"one more"
        fetch(download, file)

    monkeypatch.setattr(remote._Download, "_fetch", disturbed)
    refused(f"{odd.address}/pets", "change while they are downloaded")


def test_file_whose_checksum_differs_is_refused(s3, cache, monkeypatch):
    s3.fill(FILES)
    monkeypatch.setattr(remote_files, "_checksum", lambda method, path: "0")
    refused(s3.address, "arrived damaged: its size or checksum differs")
    assert not [path for path in cache.rglob("files/*") if path.is_file()]


def test_etag_that_is_not_a_checksum_is_not_compared(s3, monkeypatch):
    for name, data in FILES.items():
        s3.put(name, data, ServerSideEncryption="aws:kms")
    monkeypatch.setattr(remote_files, "_checksum", lambda method, path: "0")
    assert located(s3.address) == FILES


@pytest.mark.parametrize(
    "checksum",
    [
        f"md5:{hashlib.md5(b'123456789').hexdigest()}",
        f"sha256:{hashlib.sha256(b'123456789').hexdigest()}",
        "git:e2e107ac61ac259b87c544f6e7a4eb03422c6c21",
        f"crc32c:{base64.b64encode(bytes.fromhex('e3069283')).decode()}",  # the check value of CRC-32C
    ],
)
def test_checksums_of_every_store(tmp_path, checksum):
    file = remote_files.RemoteFile("a", "a", 9, "", checksum)
    (tmp_path / "a").write_bytes(b"123456789")
    assert remote_files.is_verified(file, tmp_path / "a", None)
    (tmp_path / "a").write_bytes(b"123456780")
    assert not remote_files.is_verified(file, tmp_path / "a", None)


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    refused("s3://bucket/pets", r'pip install "osemn-vision\[cloud\]"')


def test_file_is_continued_where_it_broke_off(hub, monkeypatch):
    hub.fill(FILES)
    monkeypatch.setattr(remote, "BLOCK", 1_000)
    block, starts, broken = remote._Download._block, [], True

    def noted(download, file, start, end):
        if broken and start == 2_000:
            raise ConnectionError
        starts.append(start)
        return block(download, file, start, end)

    monkeypatch.setattr(remote._Download, "_block", noted)
    refused(hub.address, "0 of 12 files are complete")
    before = sorted(starts)
    broken = False
    starts.clear()
    assert located(hub.address) == FILES
    assert sorted(before + starts) == sorted([0, 1_000, 2_000] * 12 + [3_000] * 11), "no block twice"


def test_killed_download_is_continued_and_nothing_half_is_taken_for_complete(s3, cache):
    """Complete files keep their inode, and the large one is continued from its part."""
    files = {**local_stores.content(150), "large/1.png": bytes(3 * remote.BLOCK)}
    s3.fill(files)
    environment, total = local_stores.environment(cache), sum(map(len, files.values()))
    kept = {}
    for fraction in (0.02, 0.35, 0.7):
        assert local_stores.killed(s3.address, cache, int(fraction * total), environment), (
            "it ended too early"
        )
        assert local_stores.half_taken(cache, files) == []
        now = {path: path.stat().st_ino for path in cache.glob("images/*/files/*/*")}
        assert now.items() >= kept.items()
        kept = now
    assert local_stores.size(cache) >= 2 * remote.BLOCK
    assert located(s3.address) == files
    assert {path: path.stat().st_ino for path in kept} == kept
