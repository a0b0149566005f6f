"""Sources of images: a folder, a pattern, a table of paths, tar archives, an object store.

A source is listed without opening an image, and each image of it can be read alone, in any process.
"""

from __future__ import annotations

import csv
import glob
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, NamedTuple, Union

from align_zoo.collection.object_store import state_at, state_of, store_errors, store_of
from align_zoo.errors import AlignZooError, InvalidImage
from align_zoo.inputs.decode import MAX_BYTES
from align_zoo.inputs.image_files import SUFFIXES, is_of_tools

__all__ = ["Input", "Source", "is_gone", "list_names", "list_source", "read_bytes"]

Source = Union[str, "os.PathLike[str]"]
"""A folder, a file, a glob, a .csv or .parquet table, a .tar archive, or a URL of these."""

_PATH_COLUMNS = ("path", "image", "file", "filename", "image_path", "filepath", "url")
"""Names of a table's column of paths; the first that the table has is taken."""
_TEXTS_BESIDE = {".txt": "caption", ".cls": "label"}
"""Files of a webdataset sample that become columns of its image."""
_LONGEST_TEXT = 10_000


class Input(NamedTuple):
    """An image of a source: what names it, where its bytes are, and by what a change shows."""

    path: str
    """The image's name in the collection: an absolute path, a URL, or ``archive.tar/member``."""
    size: int
    """The size in bytes."""
    mtime_ns: int
    """The last change in nanoseconds since 1970; of an archive's member, the archive's."""
    offset: int | None = None
    """Where the bytes begin in the archive; None for a file of its own."""
    file: str = ""
    """The archive; empty for a file of its own."""
    columns: Mapping[str, Any] = {}
    """Further columns of the table, or the texts beside an archive's member."""


def list_source(source: Source) -> Iterator[Input]:
    """Yield the images of a source in the order in which the source has them.

    Files of a folder are known by their names' endings, in any case; hidden files, and folders
    that tools make, are left out. A table's paths count from the table's own folder.

    Raises:
        AlignZooError: there is no such source, a table has no column of paths, or an archive is
            damaged.
    """
    name = os.fspath(source)
    if "://" in name:
        yield from _remote(name)
        return
    path = Path(name).expanduser()
    suffix = path.suffix.lower()
    if path.is_dir():
        yield from _folder(os.path.abspath(path))
    elif not path.exists() and glob.has_magic(name):
        yield from _matches(os.path.expanduser(name))
    elif not path.exists():
        raise AlignZooError(f"there is no {name}; give a folder, a file, a pattern or a table")
    elif suffix in (".csv", ".tsv"):
        yield from _csv(path)
    elif suffix == ".parquet":
        yield from _parquet(path)
    elif suffix == ".tar":
        yield from _tar(path)
    else:
        yield _file(os.path.abspath(path))


def is_gone(source: Source) -> bool:
    """Return whether a path leads nowhere and a pattern matches nothing; of a URL, False."""
    name = os.fspath(source)
    return "://" not in name and not os.path.exists(name) and not glob.glob(name, recursive=True)


def list_names(lines: Iterable[bytes]) -> Iterator[Input]:
    """Yield the images of names, one a line, as programs pipe them. Blank lines are left out.

    A name of nothing is listed, too: its image fails by name, and the others do not.
    """
    for line in lines:
        if name := os.fsdecode(line.rstrip(b"\r\n\0")):
            yield Input(name, *state_at(name)) if "://" in name else _file(name)


def read_bytes(item: Input) -> bytes:
    """Read an image's encoded bytes, at most one more than an image may have.

    Raises:
        InvalidImage: the file is gone, is no file, or may not be read.
    """
    try:
        if "://" in (item.file or item.path):
            with store_errors(item.file or item.path):
                system, path = store_of(item.file or item.path)
                with system.open(path, "rb") as file:
                    return _part(file, item)
        # Opening a pipe would wait for a writer.
        with open(os.open(item.file or item.path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return _part(file, item)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidImage(f"the file cannot be read: {said}", "unreadable") from error
    except InvalidImage:
        raise
    except AlignZooError as error:
        raise InvalidImage(f"the file cannot be read: {error}", "unreadable") from error


def _part(file: Any, item: Input) -> bytes:
    if item.offset is None:
        data: bytes = file.read(MAX_BYTES + 1)
        return data
    file.seek(item.offset)
    data = file.read(min(item.size, MAX_BYTES + 1))
    if len(data) < min(item.size, MAX_BYTES + 1):
        raise InvalidImage("the archive ends before its member does", "unreadable")
    return data


def _folder(root: str) -> Iterator[Input]:
    """Walk depth first, each folder in the order of its names, one folder's names in memory."""
    try:
        names = sorted(os.listdir(root))
    except OSError as error:
        raise AlignZooError(f"{root} cannot be listed: {error.strerror}") from error
    folders = []
    prefix = os.path.join(root, "")
    for name in names:
        if name.startswith("."):
            continue
        path = prefix + name
        named_so = name[name.rfind(".") :].lower() in SUFFIXES
        try:
            state = os.stat(path) if named_so else os.lstat(path)
        except OSError:
            if named_so:  # a link that leads nowhere: the image is listed, and fails by name
                yield Input(path, 0, 0)
            continue
        if named_so and S_ISREG(state.st_mode):
            yield Input(path, state.st_size, state.st_mtime_ns)
        elif S_ISDIR(state.st_mode) and not is_of_tools(name) and not os.path.islink(path):
            folders.append(path)
    for folder in folders:
        yield from _folder(folder)


def _file(path: str, columns: Mapping[str, Any] | None = None) -> Input:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return Input(path, 0, 0, columns=columns or {})  # listed, so that it fails by name
    return Input(path, stat.st_size, stat.st_mtime_ns, columns=columns or {})


def _matches(pattern: str) -> Iterator[Input]:
    found = False
    for path in glob.iglob(pattern, recursive=True):
        if os.path.isfile(path) and os.path.splitext(path)[1].lower() in SUFFIXES:
            found = True
            yield _file(os.path.abspath(path))
    if not found:
        raise AlignZooError(f"no image matches {pattern!r}")


def _csv(path: Path) -> Iterator[Input]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            column = _path_column(path, rows.fieldnames or [])
            for number, row in enumerate(rows, 2):
                if None in row or None in row.values():
                    raise AlignZooError(f"{path}, line {number}: not as many columns as the header")
                yield _row(path, column, row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise AlignZooError(f"{path} is no CSV file in UTF-8: {error}") from error


def _parquet(path: Path) -> Iterator[Input]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        column = _path_column(path, file.schema_arrow.names)
        for batch in file.iter_batches(4096):
            for row in batch.to_pylist():
                yield _row(path, column, row)
    except pa.ArrowException as error:
        raise AlignZooError(f"{path} is no Parquet file: {error}") from error


def _path_column(path: Path, names: Any) -> str:
    for name in _PATH_COLUMNS:
        if name in names:
            return name
    raise AlignZooError(
        f"{path} has no column of paths ({', '.join(_PATH_COLUMNS)}); "
        f"there are {', '.join(names) or 'none'}"
    )


def _row(table: Path, column: str, row: dict[str, Any]) -> Input:
    columns = dict(row)
    name = str(columns.pop(column) or "").strip()
    if not name:
        raise AlignZooError(f"{table}: a row has an empty {column}")
    if "://" in name:
        return Input(name, *state_at(name), columns=columns)
    return _file(os.path.abspath(table.parent / name), columns)


def _tar(path: Path) -> Iterator[Input]:
    """List a webdataset archive: the texts of a sample become columns of its images."""
    stat, name = path.stat(), os.path.abspath(path)
    sample: list[tarfile.TarInfo] = []
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                if sample and _key(member.name) != _key(sample[0].name):
                    yield from _sample(archive, sample, name, stat.st_mtime_ns)
                    sample = []
                sample.append(member)
                archive.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps every header
            yield from _sample(archive, sample, name, stat.st_mtime_ns)
    except (tarfile.TarError, EOFError) as error:
        raise AlignZooError(f"{path} is damaged: {error}") from error


def _key(name: str) -> str:
    """Return a sample's key: webdataset's, the name up to the first dot of its last part."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def _sample(
    archive: tarfile.TarFile, members: list[tarfile.TarInfo], name: str, mtime_ns: int
) -> Iterator[Input]:
    columns: dict[str, str] = {}
    for member in members:
        column = _TEXTS_BESIDE.get(os.path.splitext(member.name)[1].lower())
        if column and member.size <= _LONGEST_TEXT and (file := archive.extractfile(member)):
            columns[column] = file.read().decode(errors="replace").strip()
    for member in members:
        if os.path.splitext(member.name)[1].lower() in SUFFIXES:
            yield Input(
                f"{name}/{member.name}",
                member.size,
                mtime_ns,
                offset=member.offset_data,
                file=name,
                columns=columns,
            )


def _remote(url: str) -> Iterator[Input]:
    try:
        with store_errors(url):
            system, root = store_of(url)
            system.invalidate_cache()
            if glob.has_magic(root):
                found = system.glob(root, detail=True)
            elif system.isdir(root):
                found = system.find(root, detail=True)
            else:
                found = {root: system.info(root)}
    except FileNotFoundError as error:
        raise AlignZooError(f"there is no {url}; give an address of images") from error
    for name, info in sorted(found.items()):
        parts = name.split("/")
        shown = not any(part.startswith(".") or is_of_tools(part) for part in parts)
        if shown and os.path.splitext(parts[-1])[1].lower() in SUFFIXES:
            yield Input(system.unstrip_protocol(name), *state_of(info))
