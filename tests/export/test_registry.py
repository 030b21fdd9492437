"""A version is complete or absent, a served version has passed its checks, and no accident changes it."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import registry_versions
from conftest import TESTS
from helpers import scoring
from helpers.errors import OsemnError, UsageError
from helpers.export import versions as checks
from helpers.export.registry import NAME, Registry
from helpers.series import disk

FILES = (
    "golden.npz",
    "model.keras",
    "model.onnx",
    "model_card.md",
    "tfjs/model.json",
    *(f"tfjs/weights_{number}_of_4.bin" for number in range(1, 5)),
)
MOMENTS = 20


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return registry_versions.content(tmp_path / "content")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "out"))
    return Registry("digits")


@pytest.fixture
def served(registry: Registry, content: Path) -> str:
    """The name of a version that is served."""
    return registry.promote(registry.publish(content, registry_versions.facts()).name).name


def test_version_holds_every_file_and_says_so_in_its_name(registry, content):
    version = registry.publish(content, registry_versions.facts())
    assert NAME.fullmatch(version.name)
    assert sorted(version.manifest["files"]) == sorted(FILES)
    assert version.manifest["dataset"] == "digits"
    assert checks.faults(version) == []
    assert [one.name for one in registry.versions()] == [version.name]
    assert [path.name for path in registry.folder.iterdir() if path.name != ".lock"] == [version.name]


def test_promotion_rollback_and_promotion_again(registry, content, served):
    second = registry.publish(content, registry_versions.facts()).name
    assert registry.current().name == served, "publishing alone serves nothing"
    registry.promote(second)
    assert registry.current().name == second
    assert registry.rollback().name == served
    assert registry.current().name == served
    with pytest.raises(UsageError, match="no version to go back to"):
        registry.rollback()
    registry.promote(second)
    registry.promote(served)
    assert registry.promoted() == [served, second]


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_one_byte_flipped_in_any_file_is_refused_by_name(registry, content, served, name):
    version = registry.publish(content, registry_versions.facts())
    path = version.folder / name
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(OsemnError, match=re.escape(name)):
        registry.promote(version.name)
    assert registry.current().name == served


def test_file_that_is_missing_cut_or_not_listed_is_refused_by_name(registry, content, served):
    version = registry.publish(content, registry_versions.facts())
    (version.folder / "model.keras").unlink()
    (version.folder / "model_card.md").write_text("#", encoding="utf-8")
    (version.folder / "tfjs" / "more.js").write_text("", encoding="utf-8")
    with pytest.raises(OsemnError) as caught:
        registry.promote(version.name)
    for words in ("model.keras is missing", "model_card.md has 1 bytes", "tfjs/more.js is not listed"):
        assert words in str(caught.value)
    assert registry.current().name == served


def test_link_is_refused_whether_a_file_or_a_version(registry, content, served, tmp_path):
    version = registry.publish(content, registry_versions.facts())
    outside = tmp_path / "outside.onnx"
    shutil.copy(version.folder / "model.onnx", outside)
    (version.folder / "model.onnx").unlink()
    (version.folder / "model.onnx").symlink_to(outside)
    with pytest.raises(OsemnError, match=r"model.onnx is a link"):
        registry.promote(version.name)
    intact = registry.find(served)
    shutil.move(intact.folder, tmp_path / served)
    intact.folder.symlink_to(tmp_path / served)
    with pytest.raises(OsemnError, match="lead out of the registry"):
        registry.promote(served)


@pytest.mark.parametrize(
    "name",
    ["..", "../digits", "/etc", "current", "", "20260101-000000-0000000g", "20260101-000000-00000000/.."],
)
def test_bad_version_name_never_reaches_the_disk(registry, served, name):
    with pytest.raises(UsageError, match="is not a version name"):
        registry.promote(name)
    assert registry.current().name == served


def test_version_that_does_not_exist_is_refused_and_the_nearest_named(registry, served):
    wrong = served[:-1] + ("0" if served[-1] != "0" else "1")
    with pytest.raises(UsageError, match=f"did you mean '{served}'"):
        registry.promote(wrong)


def test_without_versions_the_error_says_how_to_make_one_and_who_has_some(registry, served):
    with pytest.raises(OsemnError) as raised:
        Registry("mnist").current()
    assert raised.value.remedy == (
        "export one: osemn run --dataset mnist --until 10_export, or name a data set that has one: --dataset digits"
    )
    shutil.rmtree(registry.folder)
    with pytest.raises(OsemnError, match=r"osemn run --dataset digits --until 10_export$"):
        registry.current()


def test_wrong_golden_output_is_refused_whatever_the_hashes_say(registry, content, served):
    with np.load(content / "golden.npz") as golden:
        images, probabilities = golden["images"], golden["probabilities"]
    np.savez(content / "golden.npz", images=images, probabilities=probabilities + 0.01)
    version = registry.publish(content, registry_versions.facts())
    with pytest.raises(OsemnError, match="does not give its golden outputs"):
        registry.promote(version.name)
    assert registry.current().name == served


def test_model_that_cannot_be_loaded_is_refused(registry, content, served):
    (content / "model.onnx").write_bytes(b"no model")
    version = registry.publish(content, registry_versions.facts())
    with pytest.raises(OsemnError, match=r"model\.onnx .* cannot be loaded"):
        registry.promote(version.name)
    assert registry.current().name == served


def test_rollback_to_a_damaged_version_changes_nothing(registry, content, served):
    second = registry.promote(registry.publish(content, registry_versions.facts()).name).name
    (registry.find(served).folder / "model.keras").write_bytes(b"else")
    with pytest.raises(OsemnError, match=r"model\.keras"):
        registry.rollback()
    assert registry.current().name == second


def test_file_of_the_served_versions_that_names_something_else_is_an_error(registry, served):
    (registry.folder / "current").write_text("../../etc\n", encoding="utf-8")
    with pytest.raises(OsemnError, match=r"names '../../etc'"):
        registry.current()
    registry.promote(served)
    assert registry.current().name == served


def test_file_of_the_served_versions_that_is_no_text_is_an_error(registry, served):
    (registry.folder / "current").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OsemnError, match="which is not a version") as caught:
        registry.current()
    assert "osemn models promote VERSION" in caught.value.remedy
    registry.promote(served)
    assert registry.current().name == served


def test_new_version_is_the_newest_although_the_clock_was_set_back(registry, content):
    first = registry.publish(content, registry_versions.facts())
    first.folder.rename(first.folder.with_name(f"20990101-000000{first.name[15:]}"))
    second = registry.publish(content, registry_versions.facts())
    assert [version.name[:15] for version in registry.versions()] == ["20990101-000001", "20990101-000000"]
    assert registry.versions()[0].name == second.name


def test_pruning_keeps_the_newest_and_always_the_served_one(registry, content, served):
    names = [registry.publish(content, registry_versions.facts()).name for _ in range(3)]
    newest = max(names)
    removed = registry.prune(keep=2)
    assert {version.name for version in registry.versions()} == {served, newest}
    assert set(removed) == {*names} - {newest}
    assert registry.prune(keep=1) == [newest]
    assert registry.current().name == served
    with pytest.raises(UsageError, match="1 or more"):
        registry.prune(keep=0)


def test_pruning_keeps_the_version_that_a_rollback_goes_back_to(registry, content):
    names = sorted(registry.publish(content, registry_versions.facts()).name for _ in range(5))
    for name in names[:3]:
        registry.promote(name)
    assert registry.prune(keep=3) == [names[3], names[0]], (
        "the newest, beside the served one and the one before it"
    )
    assert set(registry.prune(keep=1)) == {names[4]}
    assert registry.rollback().name == names[1]


def test_pruning_skips_versions_that_are_gone_for_the_one_to_go_back_to(registry, content):
    names = sorted(registry.publish(content, registry_versions.facts()).name for _ in range(4))
    for name in names[:3]:
        registry.promote(name)
    shutil.rmtree(registry.folder / names[1])
    assert registry.prune(keep=2) == [names[3]]
    assert registry.rollback().name == names[0]


def test_pruning_removes_nothing_where_the_served_version_is_missing(registry, content, served):
    names = {registry.publish(content, registry_versions.facts()).name for _ in range(2)}
    shutil.rmtree(registry.folder / served)
    with pytest.raises(OsemnError, match=f"{served}, is missing from .*nothing was removed"):
        registry.prune(keep=1)
    assert {version.name for version in registry.versions()} == names


@pytest.mark.parametrize("left", ["", "{}", '{"metrics": {"test": {}}, "hashes": {"test": "t"}}', "[1"])
def test_served_version_that_cannot_be_read_may_be_replaced(registry, content, served, left):
    (registry.folder / served / "manifest.json").write_text(left, encoding="utf-8")
    new = registry.publish(content, registry_versions.facts()).name
    worth, reason = registry.worth_promoting(new)
    assert worth
    assert f"the manifest of {served}, which was served, cannot be read" in reason
    assert registry.promote(new).name == registry.current().name == new


def test_better_version_is_not_replaced_unasked(registry, content):
    def publish(**options):
        return registry.publish(content, registry_versions.facts(**options)).name

    good = publish(accuracy=0.95)
    assert registry.worth_promoting(good) == (True, "no version was served before")
    registry.promote(good)
    worse, close, other = (
        publish(accuracy=0.90),
        publish(accuracy=0.94),
        publish(accuracy=0.5, test_sha256="u"),
    )
    worth, reason = registry.worth_promoting(worse)
    assert not worth
    assert "significantly better: 95.0% against 90.0%" in reason
    assert registry.worth_promoting(close)[0]
    worth, reason = registry.worth_promoting(other)
    assert worth
    assert "other images" in reason


def test_same_network_is_recognised_by_its_weights_whatever_its_files(registry, content):
    def publish(accuracy, weights):
        facts = registry_versions.facts(accuracy=accuracy)
        return registry.publish(content, facts | {"hashes": facts["hashes"] | {"weights": weights}}).name

    served = publish(0.95, "w" * 64)
    registry.promote(served)
    assert registry.worth_promoting(publish(0.90, "w" * 64)) == (
        True,
        f"it has the same weights as {served}, which was served",
    )
    assert not registry.worth_promoting(publish(0.90, "v" * 64))[0]


def test_new_version_is_promoted_unless_worse_and_says_why(registry, content):
    good = registry.publish(content, registry_versions.facts(accuracy=0.95)).name
    first = registry.promote_new(good, "unless_worse")
    assert first.id == "promotion"
    assert "is served now (promote is unless_worse): no version was served before." in first.text
    worse = registry.publish(content, registry_versions.facts(accuracy=0.90)).name
    assert "not served" in registry.promote_new(worse, "unless_worse").text
    assert registry.promote_new(worse, "never").numbers["promoted"] is False
    assert registry.current().name == good
    assert registry.promote_new(worse, "always").numbers["promoted"] is True
    assert registry.current().name == worse


def test_a_difference_is_significant_although_the_two_intervals_overlap(registry, content):
    def publish(accuracy):
        facts = registry_versions.facts(accuracy=accuracy)
        low, high = scoring.wilson_interval(round(10_000 * accuracy), 10_000)
        facts["metrics"]["test"]["accuracy_ci95"] = [low, high]
        return registry.publish(content, facts).name, (low, high)

    (good, ends), (worse, theirs) = publish(0.935), publish(0.926)
    assert theirs[1] > ends[0]
    registry.promote(good)
    worth, reason = registry.worth_promoting(worse)
    assert not worth
    assert "significantly better: 93.5% against 92.6%" in reason
    assert registry.worth_promoting(publish(0.93)[0])[0]


def publish_with(registry, content, right):
    facts = registry_versions.facts(accuracy=float(right.mean()))
    ends = scoring.wilson_interval(int(right.sum()), len(right))
    facts["metrics"]["test"] |= {"n": len(right), "accuracy_ci95": list(ends), "right": checks.packed(right)}
    return registry.publish(content, facts).name


def test_versions_are_compared_image_by_image_where_their_manifests_allow(registry, content):
    good = np.arange(10_001) >= 700
    little_worse = good & (np.arange(10_001) < 9_941)  # 60 of 10,001, of which none the other way
    registry.promote(publish_with(registry, content, good))
    worth, reason = registry.worth_promoting(publish_with(registry, content, little_worse))
    assert not worth
    assert "significantly better" in reason
    assert "different images" not in reason
    mixed = np.roll(good, 300) & (np.arange(10_001) < 9_971)  # 30 worse in all, but 630 predictions differ
    assert registry.worth_promoting(publish_with(registry, content, mixed))[0]


@pytest.mark.parametrize("right", ["", "AAAA", "not base64!", 5, None])
def test_manifest_with_bad_correct_predictions_is_compared_by_its_intervals(registry, content, right):
    registry.promote(publish_with(registry, content, np.arange(1_000) >= 70))
    facts = registry_versions.facts(accuracy=0.9)
    facts["metrics"]["test"] |= {"n": 1_000, "accuracy_ci95": [0.88, 0.92], "right": right}
    worth, reason = registry.worth_promoting(registry.publish(content, facts).name)
    assert not worth
    assert "as if they were different images" in reason


PUBLISHING = """
    import errno, json, os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import registry_versions
    from helpers.errors import OsemnError
    from helpers.export.registry import Registry

    WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    inside, stop_at, seen, action = {inside!r}, 0, 0, ""

    def watch(event, arguments):
        global seen
        if event == "open":
            path, _, flags = arguments
            counts = bool(flags & WRITES)
        else:
            path, counts = arguments[0] if arguments else "", event in ("os.mkdir", "os.rename", "os.rmdir")
        if not counts or not isinstance(path, (str, bytes)) or inside not in os.fsdecode(path):
            return
        seen += 1
        if action and seen == stop_at:
            if action == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(getattr(errno, action), os.strerror(getattr(errno, action)))

    sys.addaudithook(watch)
    registry, content = Registry("digits"), Path({content!r})

    def attempt(what, moment):
        # in a process of its own; returns how it ended
        global seen, stop_at, action
        child = os.fork()
        if child == 0:
            seen, stop_at, action = 0, moment, what
            try:
                registry.publish(content, registry_versions.facts())
            except OsemnError as error:
                os._exit(3 if "cannot be written to" in str(error) and "nothing was changed" in str(error) else 4)
            except BaseException:
                os._exit(5)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    before = seen
    registry.publish(content, registry_versions.facts())
    total = seen - before
    moments = sorted({{1 + round(k * (total - 1) / ({moments} - 1)) for k in range({moments})}})
    ends = [attempt({what!r}, moment) for moment in moments]
    print(json.dumps({{"total": total, "moments": moments, "ends": ends}}))
"""


@pytest.mark.parametrize("what", ["kill", "ENOSPC", "EROFS"])
def test_export_that_is_killed_or_cannot_write_leaves_no_partial_version(registry, content, served, what):
    for number in range(5):
        (content / f"more_{number}.bin").write_bytes(b"one of many files")
    program = textwrap.dedent(PUBLISHING).format(
        tests=str(TESTS),
        inside=str(registry.folder),
        content=str(content),
        moments=MOMENTS,
        what=what,
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)["ends"]
    assert len(ends) == MOMENTS
    assert set(ends) <= ({-9, 0} if what == "kill" else {3, 0}), ends
    assert ends.count(-9 if what == "kill" else 3) >= MOMENTS - 5, (
        "locks are tried again, and the last moments may come after the version has appeared"
    )
    for version in registry.versions():
        checks.verify(version)
    assert registry.current().name == served
    again = registry.publish(content, registry_versions.facts())
    checks.verify(again)
    left = [
        path.name for path in registry.folder.iterdir() if path.name.startswith(".") and path.name != ".lock"
    ]
    assert left == [], "leftovers of killed exports were cleared"


def test_two_exports_at_once_give_two_complete_versions(registry, content):
    program = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "import registry_versions; from pathlib import Path; from helpers.export.registry import Registry\n"
        f"print(Registry('digits').publish(Path({str(content)!r}), registry_versions.facts()).name)"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    names = {process.communicate()[0].strip() for process in both}
    assert len(names) == 2
    assert {version.name for version in registry.versions()} == names
    for version in registry.versions():
        checks.verify(version)
        checks.replay(version)


def test_registry_where_a_file_stands_says_so(tmp_path, monkeypatch, content):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("OSEMN_OUTPUT_DIR", str(tmp_path / "file"))
    with pytest.raises(OsemnError, match="cannot be written to: not a directory"):
        Registry("digits").publish(content, registry_versions.facts())


def test_promotion_on_a_full_disk_leaves_the_served_version(registry, content, served, monkeypatch):
    second = registry.publish(content, registry_versions.facts()).name

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, "write", full)
    with pytest.raises(OsemnError, match="the disk is full"):
        registry.promote(second)
    assert registry.current().name == served
