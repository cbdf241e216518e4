"""Files that try to run code or to take memory, made from nothing; each named by what it tries."""

from __future__ import annotations

import builtins
import importlib
import io
import json
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

MAGIC = 0x1950A86A20F9469CFC6C
TOP = "archive"
HUGE = 1 << 40
BOMB_BYTES = 300 << 20
"""More than any of the files may take."""


class Calls:
    """Calls something where it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


class SetState:
    """Runs code as its state is set, if its class can be found."""

    def __setstate__(self, state: str) -> None:
        Path(state).touch()

    def __getstate__(self) -> str:
        return str(self.canary)  # type: ignore[attr-defined]


@dataclass
class Claim:
    """A persistent id."""

    about: Any


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.about if isinstance(obj, Claim) else None


def pickled(content: Any, protocol: int = 2) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol).dump(content)
    return stream.getvalue()


def zipped(data: bytes, records: dict[str, bytes] | None = None, **how: Any) -> bytes:
    """A file as torch writes it, around a pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **how) as archive:
        for name, content in {"data.pkl": data, "version": b"3\n", **(records or {})}.items():
            archive.writestr(name if name.startswith("/") else f"{TOP}/{name}", content)
    return stream.getvalue()


def legacy(
    data: bytes,
    keys: Any = (),
    storages: bytes = b"",
    protocol: bytes | None = None,
    system: bytes | None = None,
    listed: bytes | None = None,
) -> bytes:
    return b"".join(
        (
            pickled(MAGIC),
            protocol or pickled(1001),
            system or pickled({"little_endian": True}),
            data,
            listed or pickled(list(keys)),
            storages,
        )
    )


def tensor(
    numel: int = 4,
    size: tuple[int, ...] = (4,),
    stride: tuple[int, ...] = (1,),
    offset: int = 0,
    claim: tuple[Any, ...] | None = None,
    old: bool = False,
) -> bytes:
    """The pickle of a state dict of one tensor, whatever it claims."""
    about = claim or ("storage", torch.FloatStorage, "0", "cpu", numel, *((None,) if old else ()))
    rebuilt = Calls(
        torch._utils._rebuild_tensor_v2, Claim(about), offset, size, stride, False, OrderedDict()
    )
    return pickled({"w": rebuilt})


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _short(opcode: bytes, text: str) -> bytes:
    return opcode + struct.pack("<I", len(text)) + text.encode()


def _nested_archive(inner: bytes) -> bytes:
    return zipped(pickled({}), {"inner.pt": inner})


def _deflated(pickle_too: bool) -> bytes:
    stream = io.BytesIO()
    zeros = b"\0" * BOMB_BYTES
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(f"{TOP}/data.pkl", zeros if pickle_too else tensor(BOMB_BYTES // 4))
        archive.writestr(f"{TOP}/data/0", b"" if pickle_too else zeros)
    return stream.getvalue()


def _overlapping() -> bytes:
    """Two entries of the table of contents that are one record."""
    whole = bytearray(zipped(tensor(), {"data/0": bytes(16), "data/1": bytes(16)}))
    with zipfile.ZipFile(io.BytesIO(bytes(whole))) as archive:
        at = archive.getinfo(f"{TOP}/data/0").header_offset
        start = archive.start_dir
    entry = whole.index(b"data/1", start) - len(TOP) - 1 - 46
    whole[entry + 42 : entry + 46] = struct.pack("<I", at)
    return bytes(whole)


def _tar(canary: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            content = pickled(Calls(Path.touch, canary))
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return stream.getvalue()


def code_files(canary: Path, folder: Path) -> dict[str, tuple[bytes, str]]:
    """Files whose reading would run code: by name, with words of their refusal."""
    numbers = folder / "objects.npy"
    np.save(numbers, np.array([Calls(Path.touch, canary)], dtype=object), allow_pickle=True)
    elsewhere = folder / "elsewhere.pt"
    elsewhere.write_bytes(pickle.dumps(Calls(Path.touch, canary)))
    shell = f"touch {canary}"
    payloads = {
        "os_system": Calls(os.system, shell),
        "eval": Calls(builtins.eval, f"open({str(canary)!r}, 'w')"),
        "exec": Calls(builtins.exec, f"open({str(canary)!r}, 'w')"),
        "path_touch": Calls(Path.touch, canary),
        "subprocess": Calls(subprocess.call, ["touch", str(canary)]),
        "importlib": Calls(importlib.import_module, "antigravity"),
        "torch_hub": Calls(torch.hub.load, "someone/something", "model"),
        "torch_load": Calls(torch.load, str(elsewhere), None, None),
        "numpy_load": Calls(np.load, str(numbers), None, True),
        "getattr": Calls(getattr, "", "format"),
        "open": Calls(builtins.open, str(canary), "w"),
        "bytearray_bomb": Calls(bytearray, HUGE),
        "tensor_bomb": Calls(torch.Tensor, HUGE),
        "complex_storage_bomb": Calls(torch.UntypedStorage, HUGE),
        "setstate": (stateful := SetState()),
    }
    stateful.canary = canary  # type: ignore[attr-defined]
    touch = _short(b"X", shell)
    system = b"cposix\nsystem\n"
    instructions = {
        "inst": b"(" + touch + b"iposix\nsystem\n.",
        "obj": b"(" + system + touch + b"o.",
        "stack_global": _short(b"X", "posix")
        + _short(b"X", "system")
        + b"\x93"
        + touch
        + b"\x85R.",
        "newobj": b"ccollections\nOrderedDict\n)\x81.",
        "newobj_ex": b"ccollections\nOrderedDict\n)}\x92.",
        "extension_registry": b"\x82\x01" + touch + b"\x85R.",
        "extension_registry_4": b"\x84\x01\0\0\0" + touch + b"\x85R.",
        "text_persistent_id": b"Pstorage\n.",
        "persistent_id_of_code": b"(" + _short(b"X", "module") + system + b"NNtQ.",
        "persistent_id_of_text": _short(b"X", "storage") + b"Q.",
        "build_on_ordered_dict": b"ccollections\nOrderedDict\n)R}"
        + _short(b"X", "items")
        + b"ccollections\nOrderedDict\nsb.",
        "build_on_type": b"ccollections\nOrderedDict\n}" + _short(b"X", "items") + b"Nsb.",
        "build_on_tensor": tensor()[2:-2] + b"}bs.",
        "set_item_of_list": b"]K\x00K\x01s.",
        "append_to_dict": b"}K\x01a.",
        "escaped_name": b"cpo\\x73ix\nsystem\n" + touch + b"\x85R.",
        "wrapped_name": b"ctorch._utils\n__builtins__.eval\n.",
        "codec": b"c_codecs\nencode\n" + _short(b"X", "a") + _short(b"X", "zip") + b"\x86R.",
        "object_scalar": b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n"
        + _short(b"X", "O8")
        + b"\x85R\x86R.",
        "unknown_protocol_4": b"\x8c\x01a\x94.",
    }
    hidden = pickled(payloads["path_touch"])
    return {
        **{f"{name}.pt": (zipped(pickled({"w": p})), "refused") for name, p in payloads.items()},
        **{
            f"{name}_legacy.pth": (legacy(pickled({"w": payloads[name]})), "refused")
            for name in ("os_system", "eval", "bytearray_bomb", "setstate")
        },
        **{
            f"{name}.bin": (zipped(b"\x80\x02" + data, {"data/0": bytes(16)}), "refused")
            for name, data in instructions.items()
        },
        **{
            f"plain_protocol_{n}.pkl": (pickle.dumps(payloads["path_touch"], n), "running code")
            for n in range(6)
        },
        "called.safetensors": (hidden, "running code"),
        "second_pickle.pth": (legacy(pickled({}), protocol=hidden), "refused"),
        "third_pickle.pth": (legacy(pickled({}), system=hidden), "refused"),
        "fifth_pickle.pth": (legacy(pickled({}), listed=hidden), "refused"),
        "legacy_tar.pth": (_tar(canary), "tar archive"),
    }


def bombs() -> dict[str, tuple[bytes, str]]:
    """Files that claim more than they hold, or are not what torch writes, with words of refusal."""
    four = bytes(16)
    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    many = b",".join(
        b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(200_000)
    )
    good_zip = zipped(tensor(), {"data/0": four})
    count = struct.pack("<q", 4)
    script = {"constants.pkl": b"\x80\x02).", "code/__torch__.py": b"import os"}
    text = "a" * 60_000
    return {
        "storage_beyond_record.pt": (
            zipped(tensor(HUGE, (HUGE,)), {"data/0": four}),
            "should have",
        ),
        "storage_of_no_record.pt": (zipped(tensor()), "the file holds no"),
        "negative_storage.pt": (zipped(tensor(-1), {"data/0": four}), "less than none"),
        "size_beyond_storage.pt": (zipped(tensor(4, (5,)), {"data/0": four}), "does not lie"),
        "offset_beyond_storage.pt": (
            zipped(tensor(4, (4,), offset=1), {"data/0": four}),
            "does not lie",
        ),
        "negative_offset.pt": (
            zipped(tensor(4, (4,), offset=-1), {"data/0": four}),
            "does not lie",
        ),
        "negative_stride.pt": (zipped(tensor(4, (4,), (-1,)), {"data/0": four}), "does not lie"),
        "huge_stride.pt": (zipped(tensor(4, (2,), (1 << 62,)), {"data/0": four}), "does not lie"),
        "stride_0.pt": (zipped(tensor(4, (HUGE,), (0,)), {"data/0": four}), "does not lie"),
        "overflowing_size.pt": (
            zipped(tensor(4, (1 << 63, 1 << 63), (0, 0)), {"data/0": four}),
            "does not lie",
        ),
        "many_dimensions.pt": (
            zipped(tensor(4, (1,) * 5000, (1,) * 5000), {"data/0": four}),
            "does not lie",
        ),
        "storage_beyond_file.pth": (
            legacy(tensor(HUGE, old=True), ["0"], struct.pack("<q", HUGE)),
            "in all",
        ),
        "storage_not_listed.pth": (legacy(tensor(4, old=True)), "not those it uses"),
        "storage_listed_twice.pth": (
            legacy(tensor(4, old=True), ["0", "0"], (count + four) * 2),
            "not those it uses",
        ),
        "count_of_another_size.pth": (
            legacy(tensor(4, old=True), ["0"], struct.pack("<q", 3) + four),
            "damaged",
        ),
        "part_of_a_storage.pth": (
            legacy(
                tensor(claim=("storage", torch.FloatStorage, "0", "cpu", 4, ("1", 0, HUGE))),
                ["0"],
                count + four,
            ),
            "parts of storages",
        ),
        "deflated_storage.pt": (_deflated(pickle_too=False), "compressed"),
        "deflated_pickle.pt": (_deflated(pickle_too=True), "compressed"),
        "huge_pickle.pt": (zipped(b"\x80\x02" + b"N" * (17 << 20) + b"."), "description of 17 MiB"),
        "many_instructions.pt": (zipped(b"\x80\x02" + b"]" * (4 << 20) + b"."), "instructions"),
        "copied_text.pt": (
            zipped(
                b"\x80\x02c_codecs\nencode\nq\x00"
                + _short(b"X", text)
                + _short(b"X", "latin1")
                + b"\x86q\x01"
                + b"h\x00h\x01R" * 30_000
                + b"."
            ),
            "instructions",
        ),
        "huge_memo.pt": (zipped(b"\x80\x02Nr\xff\xff\xff\xff."), "no state dict"),
        "long_text.pt": (zipped(b"\x80\x02X\xff\xff\xff\xfea."), "damaged or truncated"),
        "nested_lists.pt": (zipped(b"\x80\x02" + b"]" * 500 + b"a" * 499 + b"."), "nests"),
        "nested_tuples.pt": (zipped(b"\x80\x02)" + b"\x85" * 100_000 + b"."), "nests"),
        "nested_marks.pt": (zipped(b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."), "nests"),
        "empty_stack.pt": (zipped(b"\x80\x02\x85."), "damaged or truncated"),
        "no_stop.pt": (zipped(b"\x80\x02}"), "damaged or truncated"),
        "second_pickle.pt": (zipped(pickled({}), {"sub/data.pkl": b"."}), "also 'sub/data.pkl'"),
        "two_folders.pt": (zipped(pickled({}), {"/other/data.pkl": b"."}), "entry"),
        "same_name_twice.pt": (
            zipped(pickled({}), {"data.PKL": pickled({"w": 1})}),
            "twice",
        ),
        "climbing_entry.pt": (zipped(tensor(), {"../../data/0": four}), "entry"),
        "nested_zip.pt": (_nested_archive(good_zip), "also 'inner.pt'"),
        "overlapping_entries.pt": (_overlapping(), "overlap"),
        "appended.pt": (good_zip + b"more", "something was added"),
        "second_zip_appended.pt": (good_zip + good_zip, "does not lie where"),
        "commented.pt": (
            good_zip[:-2] + struct.pack("<H", len(good_zip)) + good_zip,
            "does not lie where",
        ),
        "torchscript.pt": (zipped(pickled({}), script), "TorchScript"),
        "header_of_8_EiB.safetensors": (safetensors({"a": one}, bytes(4), 1 << 63), "truncated"),
        "header_beyond_file.safetensors": (safetensors({"a": one}, bytes(4), 4000), "truncated"),
        "huge_header.safetensors": (safetensors(b"{" + many + b"}"), "header of"),
        "nested_header.safetensors": (safetensors(b'{"a":' * 100_000), "damaged"),
        "overlapping.safetensors": (safetensors({"a": one, "b": one}, bytes(4)), "damaged"),
        "unknown_dtype.safetensors": (
            safetensors({"a": one | {"dtype": "X9"}}, bytes(4)),
            "damaged",
        ),
        "overflowing_shape.safetensors": (
            safetensors({"a": one | {"shape": [1 << 62, 4]}}, bytes(4)),
            "damaged",
        ),
        "offsets_beyond_file.safetensors": (
            safetensors({"a": one | {"shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}, bytes(4)),
            "damaged",
        ),
        "data_that_nothing_names.safetensors": (safetensors({"a": one}, bytes(64)), "damaged"),
        "empty.pt": (b"", "empty"),
        "text.pt": (b"hello world", "without running code"),
        "git_lfs.pt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs"),
    }
