"""Files that are not what they say, through ``normalforms analyze``: one line and exit 2, in little memory."""

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import rnn.studies.analysis  # noqa: F401  loading it is not counted as memory of a file
from normalforms.cli.main import main
from rnn.weights import load_report

MOST = 100 * 2**20


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(header, data=b"", version=(1, 0), length=None):
    """An array file with any header."""
    text = header.encode("latin-1") + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes(version) + size + text + data


def archive(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def shape(dims, descr="<f4"):
    return f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {dims}, }}"


def entry(dtype="F32", dims=(2, 2), offsets=(0, 16), name="weight_hh"):
    return {name: {"dtype": dtype, "shape": list(dims), "data_offsets": list(offsets)}}


def patched(data, find, replace):
    """All occurrences replaced; the file must have some."""
    assert find in data
    return data.replace(find, replace)


def marked(data, place, value):
    """A byte of the zip's directory changed."""
    k = data.index(b"PK\x01\x02") + place
    return data[:k] + bytes([value]) + data[k + 1 :]


def small_bomb(size):
    """The directory says 64 bytes, the stream unpacks to ``size`` zeros."""
    inner = npy(shape((2, 2)), bytes(size))
    data = archive({"weight_hh.npy": inner})
    return patched(data, struct.pack("<I", len(inner)), struct.pack("<I", 64))


WHOLE = npz(weight_hh=np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32))
SAFE = tensors(entry(dims=(8, 8), offsets=(0, 256)), np.ones((8, 8), np.float32).tobytes())
CODE = b"cos\nsystem\n(S'touch hacked'\ntR."

FILES = {
    "empty.npz": b"",
    "empty.safetensors": b"",
    "text.npz": b"step,loss\n1,2\n",
    "text.safetensors": b"step,loss\n1,2\n",
    "notes.txt": b"mine",
    "code.npz": CODE,
    "code.pt": CODE,
    "code.safetensors": CODE,
    "pickled_dict.npz": pickle.dumps({"weight_hh": [[1.0]]}),
    "objects.npz": npz(weight_hh=np.array([[{"a": 1}]], dtype=object)),
    "strings.npz": npz(weight_hh=np.array([["a", "b"], ["c", "d"]])),
    "complex.npz": npz(weight_hh=np.eye(2) * 1j),
    "integers.npz": npz(weight_hh=np.eye(2, dtype=int)),
    "structured.npz": npz(weight_hh=np.zeros((2, 2), dtype=[("a", "f4"), ("b", "i4")])),
    "nan.npz": npz(weight_hh=np.full((2, 2), np.nan)),
    "infinite.npz": npz(weight_hh=np.full((2, 2), np.inf)),
    "scalar.npz": npz(weight_hh=np.float32(1)),
    "one_axis.npz": npz(weight_hh=np.ones(4, np.float32)),
    "three_axes.npz": npz(weight_hh=np.ones((2, 2, 2), np.float32)),
    "no_units.npz": npz(weight_hh=np.ones((0, 0), np.float32)),
    "no_rows.npz": npz(weight_hh=np.ones((0, 4), np.float32)),
    "short_bias.npz": npz(weight_hh=np.eye(4), bias_hh=np.ones(3)),
    "other_names.npz": npz(conv=np.eye(4)),
    "no_arrays.npz": archive({}),
    "no_npy.npz": archive({"readme": b"mine"}),
    "zip_in_zip.npz": archive({"weight_hh.npy": WHOLE}),
    "cut_3.npz": WHOLE[: len(WHOLE) // 3],
    "cut_end.npz": WHOLE[:-9],
    "cut.safetensors": SAFE[: len(SAFE) // 2],
    "flipped.npz": WHOLE[: len(WHOLE) // 2] + bytes([WHOLE[len(WHOLE) // 2] ^ 255]) + WHOLE[len(WHOLE) // 2 + 1 :],
    "locked.npz": marked(WHOLE, 8, 1),  # a flag says that it is encrypted
    "unknown_packing.npz": marked(WHOLE, 10, 99),
    "large_shape.npz": archive({"weight_hh.npy": npy(shape((10**6, 10**6)), bytes(64))}),
    "huge_shape.npz": archive({"weight_hh.npy": npy(shape((2**62, 4)), bytes(64))}),
    "negative_shape.npz": archive({"weight_hh.npy": npy(shape((-2, 2)), bytes(16))}),
    "wrong_shape.npz": archive({"weight_hh.npy": npy(shape((3, 3)), bytes(16))}),
    "expression.npz": archive({"weight_hh.npy": npy("{'descr': __import__('os').getcwd()}")}),
    "deep_header.npz": archive({"weight_hh.npy": npy("(" * 5000)}),
    "endless_header.npz": archive({"weight_hh.npy": npy(shape((2, 2)), version=(2, 0), length=2**31)}),
    "no_header.npz": archive({"weight_hh.npy": b"\x93NUMPY"}),
    "next_version.npz": archive({"weight_hh.npy": npy(shape((2, 2)), bytes(16), version=(9, 0))}),
    "unknown_type.npz": archive({"weight_hh.npy": npy(shape((2, 2), "<q99"), bytes(16))}),
    "bomb.npz": archive({"weight_hh.npy": npy(shape((7000, 7000)), bytes(7000 * 7000 * 4))}),
    "secret_bomb.npz": small_bomb(7000 * 7000 * 4),
    "bomb_beside.npz": archive({"weight_hh.npy": npy(shape((2, 2)), bytes(16)), "b.npy": npy(shape(2), bytes(2**27))}),
    "endless_header.safetensors": struct.pack("<Q", 2**60) + b"{}",
    "no_json.safetensors": tensors(b"[[[["),
    "deep_json.safetensors": tensors(b"[" * 50_000),
    "lying_shape.safetensors": tensors(entry(dims=(10**6, 10**6), offsets=(0, 4 * 10**12)), bytes(64)),
    "short_data.safetensors": tensors(entry(), bytes(8)),
    "backwards.safetensors": tensors(entry(offsets=(16, 0)), bytes(16)),
    "overlapping.safetensors": tensors(entry() | entry(name="other", offsets=(8, 24)), bytes(24)),
    "unknown_type.safetensors": tensors(entry("F8_E4M3", offsets=(0, 4)), bytes(4)),
    "not_an_object.safetensors": tensors(b"3"),
}  # fmt: skip


def refused(capsys, path, out):
    """The one line with which a path is refused."""
    assert main(["analyze", str(path), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert not out.exists()
    return line


@pytest.mark.parametrize("name", FILES)
def test_an_odd_file_is_one_line(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(FILES[name])
    tracemalloc.start()
    try:
        line = refused(capsys, tmp_path / name, tmp_path / "out")
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert name in line
    assert len(line) < 500
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("what", ["folder.npz", "loop.npz", "nowhere.npz", "pipe.npz", "zero.npz", "gone.npz", "nul"])
def test_what_is_no_file_is_one_line(tmp_path, capsys, what):
    path = tmp_path / what
    if what == "folder.npz":
        path.mkdir()
    elif what == "loop.npz":
        path.symlink_to(path)
    elif what == "nowhere.npz":
        path.symlink_to(tmp_path / "none")
    elif what == "pipe.npz":
        os.mkfifo(path)
    elif what == "zero.npz":
        path.symlink_to("/dev/zero")
    elif what == "nul":
        path = tmp_path / "w\0.npz"
    assert refused(capsys, path, tmp_path / "out")


def test_every_byte_of_a_header_may_be_wrong(tmp_path, capsys):
    """One byte of the array's header, of the zip's, or of the tensors' header at a time."""
    plain = archive({"weight_hh.npy": npy(shape((2, 2)).ljust(117), np.eye(2, dtype=np.float32).tobytes())}, 0)
    safe = tensors(entry(), np.eye(2, dtype=np.float32).tobytes())
    rng, seen = np.random.default_rng(0), []
    for name, data in (("w.npz", plain), ("w.safetensors", safe)):
        for _ in range(60):
            changed = bytearray(data)
            changed[rng.integers(len(data))] ^= int(rng.integers(1, 256))
            (tmp_path / name).write_bytes(bytes(changed))
            try:
                load_report(tmp_path / name)  # the byte does not matter, or is one of a number
            except ValueError as error:
                seen.append(str(error))
    assert len(seen) > 40
    assert all(len(line.splitlines()) == 1 for line in seen)


def test_a_folder_of_foreign_files_says_how_to_convert_them(tmp_path, capsys):
    (tmp_path / "step_1.pt").write_bytes(CODE)
    line = refused(capsys, tmp_path, tmp_path / "out")
    assert "step_1.pt may hold code and is not opened" in line
    code = line[line.index("import numpy") :]
    compile(code, "the remedy", "exec")  # both lines, joined to one, are still a program
