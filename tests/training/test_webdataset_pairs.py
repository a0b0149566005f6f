"""Captioned images are read from webdataset shards, and faults are named."""

from __future__ import annotations

import errno
import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from webdataset import ShardWriter, WebDataset

from align_zoo.errors import InvalidText
from align_zoo.training.errors import TrainingError
from align_zoo.training.finetune import open_pairs


def image(colour="red", format="PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, format)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        (tmp_path / "images" / f"{name}.png").write_bytes(image())
    return tmp_path


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["absent.csv", "absent.tar", "absent-{00..01}.tar", "no*.tar"])
def test_an_absent_file_is_named(folder, name):
    with pytest.raises(TrainingError, match="does not exist"):
        open_pairs(folder / name)


def test_another_kind_of_file_is_refused(folder):
    with pytest.raises(TrainingError, match=r"neither a \.csv nor \.tar"):
        open_pairs(folder / "pairs.parquet")


def test_another_address_than_a_path_is_refused():
    with pytest.raises(TrainingError, match="not a local shard"):
        open_pairs("s3://bucket/00.tar")


@pytest.mark.parametrize("pattern", ["shard-{000000..000001}.tar", "shard-*.tar"])
def test_the_shards_that_webdataset_writes_are_read(tmp_path, pattern):
    with ShardWriter(str(tmp_path / "shard-%06d.tar"), maxcount=2, verbose=0) as writer:
        for i, (extension, format) in enumerate(
            [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")]
        ):
            written = {"__key__": f"{i:04d}", extension: image(format=format), "txt": f"text {i}"}
            writer.write({**written, "json": {"more": 1}})
    pairs = open_pairs(tmp_path / pattern)
    assert [pairs.read(i).caption for i in range(len(pairs))] == ["text 0", "text 1", "text 2"]
    assert pairs.read(2).image == image(format="WEBP")
    assert "shard-000001.tar sample 0002" in pairs.where(2)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"a/0.png": b"", "a/0.txt": b"b", "a/1.png": b""}, "sample a/1 has no .txt"),
        ({"0.png": b"", "0.txt": b"b", "1.txt": b""}, "sample 1 has no image"),
        ({"a.0.png": b"", "a.0.txt": b"b", "a.1.txt": b"b"}, "sample a.1 has no image"),
        ({"0.png": b"", "0.txt": b""}, "sample 0 has an empty .txt"),
        ({"0.png": b"", "0.jpg": b"", "0.txt": b"a"}, "sample 0 has more than one image"),
        ({"0.png": b"", "0.txt": b"a", "0.TXT": b"b"}, "sample 0 has more than one .txt"),
    ],
)
def test_incomplete_sample_is_refused_on_request(tmp_path, files, named):
    with pytest.raises(TrainingError, match=named):
        open_pairs(shard(tmp_path / "0.tar", files), strict=True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"1.txt": b"b"}, "1 sample with no image (0.tar sample 1)"),
        ({"1.jpg": b"b", "2.jpg": b"b"}, "2 samples with no .txt (0.tar sample 1, 0.tar sample 2)"),
        ({"1.jpg": b"b", "1.txt": b""}, "1 sample with an empty .txt (0.tar sample 1)"),
        ({"1.jpg": b"", "1.png": b"", "1.txt": b"b"}, "1 sample with more than one image ("),
        ({"1.jp2": b"b", "1.txt": b"b"}, "no image (0.tar sample 1); other files: 1 .jp2"),
        ({"0.json": b"{}", "1.json": b"{}", "readme": b""}, "other files: 2 .json, 1 without an"),
        ({"0.seg.png": b"b"}, "other files: 1 .seg.*"),
        ({"._0.png": b"b", "._0.txt": b"b"}, "other files: 2 hidden files"),
        ({"a/.cache/0.png": b"b", "__MACOSX/0.txt": b"b"}, "other files: 2 hidden files"),
    ],
)
def test_incomplete_samples_are_counted(tmp_path, more, said):
    files = {"0.png": b"a", "0.txt": b"a", **more}
    pairs = open_pairs(shard(tmp_path / "0.tar", files))
    assert len(pairs) == 1
    assert said in str(pairs.left_out)


def special(name: str, kind: bytes, **values: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    for field, value in values.items():
        setattr(member, field, value)
    return member


SPARSE = {"GNU.sparse.map": "0,0", "GNU.sparse.size": "1024"}


@pytest.mark.parametrize(
    "member",
    [
        special("1.png", tarfile.LNKTYPE, linkname="0.png"),
        special("1.png", tarfile.SYMTYPE, linkname="0.png"),
        special("1.png", tarfile.REGTYPE, pax_headers=SPARSE),
    ],
    ids=["hard-link", "link", "sparse-file"],
)
def test_a_special_file_in_a_shard_is_counted(tmp_path, member):
    path = shard(tmp_path / "0.tar", {"0.png": b"a", "0.txt": b"a"})
    with tarfile.open(path, "a") as tar:
        tar.addfile(member)
    assert "other files: 1 links and other special files" in str(open_pairs(path).left_out)


def test_folders_in_a_shard_are_not_counted(tmp_path):
    path = shard(tmp_path / "0.tar", {})
    with tarfile.open(path, "w") as tar:
        for name in (".", "./more.d"):
            tar.addfile(special(name, tarfile.DIRTYPE))
        for name in ("./more.d/0.png", "./more.d/0.txt", "./more.d/readme"):
            tar.addfile(special(name, tarfile.REGTYPE, size=1), io.BytesIO(b"a"))
    pairs = open_pairs(path)
    assert len(pairs) == 1
    assert str(pairs.left_out) == "other files: 1 without an extension"


@pytest.mark.parametrize(
    "files", [{"readme": b"", "0.json": b"{}"}, {"0.txt": b"a", "1.txt": b"b"}, {}]
)
def test_a_shard_without_pairs_says_what_it_holds(tmp_path, files):
    said = "holds no pairs; (other files: 1 with|2 samples with no image|it is empty)"
    with pytest.raises(TrainingError, match=said):
        open_pairs(shard(tmp_path / "0.tar", files))


def test_names_with_dots_make_pairs(tmp_path):
    names = ["img.000.png", "img.000.txt", "img.001.png", "img.001.txt", "a.b/c.v2.JPEG"]
    files = dict.fromkeys([*names, "a.b/c.v2.txt"], b"content")
    pairs = open_pairs(shard(tmp_path / "0.tar", files))
    assert [pairs.where(i).rpartition(" ")[2] for i in range(len(pairs))] == [
        "img.000",
        "img.001",
        "a.b/c.v2",
    ]
    assert not str(pairs.left_out)


@pytest.mark.parametrize("extension", ["jpe", "JFIF", "bmp", "tiff", "gif"])
def test_rarer_extensions_are_images_too(tmp_path, extension):
    files = {f"0.{extension}": b"a", "0.txt": b"a", "1.png": b"b", f"1.{extension}": b"c"}
    pairs = open_pairs(shard(tmp_path / "0.tar", {**files, "1.txt": b"b"}))
    assert [pairs.read(i).image for i in range(len(pairs))] == [b"b", b"a"]


def test_a_shard_named_twice_is_refused(tmp_path):
    shard(tmp_path / "0.tar", {"0.png": b"a", "0.txt": b"a"})
    (tmp_path / "1.tar").symlink_to("0.tar")
    with pytest.raises(TrainingError, match=r"names .*1\.tar twice, the first time as .*0\.tar"):
        open_pairs(tmp_path / "*.tar")


members = st.tuples(
    st.sampled_from(["a", "b", "a.v2", "b.v2.x", "d/a", "./a", "d.e/f", ".h", "__x__"]),
    st.sampled_from(["", ".png", ".jpg", ".JPE", ".txt", ".TXT", ".json", ".seg.png", ".de.txt"]),
    st.sampled_from([b"", b"some"]),
)


@given(st.lists(members, max_size=14, unique_by=lambda one: (one[0], one[1].lower())))
def test_pairs_and_omissions_cover_the_shard(members):
    files = {f"{stem}{suffix}": content for stem, suffix, content in sorted(members)}
    files.update({"sound.png": b"a", "sound.txt": b"b"})
    with tempfile.TemporaryDirectory() as folder:
        path = shard(Path(folder) / "0.tar", files)
        pairs = open_pairs(path)
        counted = pairs.left_out.files + sum(pairs.left_out.others.values())
        assert 2 * len(pairs) + counted == len(files)
        found = {pairs.where(i).rpartition(" ")[2] for i in range(len(pairs))}
        # What webdataset reads of the same shard as an image with a caption.
        samples = WebDataset(str(path), shardshuffle=False, empty_check=False)
        theirs = {
            sample["__key__"]
            for sample in samples
            if sample.get("txt") and len(sample.keys() & {"png", "jpg", "jpe"}) == 1
        }
        hidden = {key for key in theirs if "/." in f"/{key.removeprefix('./')}"}
        assert theirs - hidden <= found


@pytest.fixture
def three(tmp_path) -> Path:
    """A shard of three samples: each file has a block for its header and one for its content."""
    files = {f"{i}.{kind}": b"content" for i in range(3) for kind in ("png", "txt")}
    return shard(tmp_path / "0.tar", files)


@pytest.mark.parametrize(("block", "last"), [(4, "0"), (6, "1"), (10, "2")])
def test_damaged_shard_is_refused(three, block, last):
    content = bytearray(three.read_bytes())
    content[block * 512 : block * 512 + 100] = b"\xff" * 100
    three.write_bytes(content)
    with pytest.raises(TrainingError, match=rf"0\.tar is damaged or cut after sample {last}"):
        open_pairs(three)


@pytest.mark.parametrize("size", [8 * 512, 8 * 512 + 99, 12 * 512])
def test_shard_cut_between_files_is_refused(three, size):
    three.write_bytes(three.read_bytes()[:size])
    with pytest.raises(TrainingError, match=r"0\.tar is damaged or cut after sample [12]"):
        open_pairs(three)


def test_two_shards_in_one_file_are_refused(three):
    three.write_bytes(three.read_bytes() * 2)
    with pytest.raises(TrainingError, match=r"0\.tar goes on after its end, .* a shard of its own"):
        open_pairs(three)


@pytest.mark.parametrize("pattern", ["a{1.tar", "a}.tar", "{00..01.tar"])
def test_braces_that_do_not_match_are_refused(tmp_path, pattern):
    with pytest.raises(TrainingError, match=r"is no pattern of shards: .* Braces come in pairs"):
        open_pairs(tmp_path / pattern)


def test_a_file_that_is_no_tar_is_refused(tmp_path):
    (tmp_path / "0.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(TrainingError, match=r"0\.tar cannot be read as an uncompressed tar"):
        open_pairs(tmp_path / "0.tar")


def test_a_shard_that_cannot_be_opened_is_named(three, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(tarfile, "open", refuse)
    with pytest.raises(TrainingError, match=r"0\.tar cannot be read as .*Permission denied"):
        open_pairs(three)


def test_a_compressed_shard_is_refused(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w:gz"):
        pass
    with pytest.raises(TrainingError, match="uncompressed"):
        open_pairs(tmp_path / "0.tar")


def test_caption_that_is_not_utf_8_is_refused(tmp_path):
    path = shard(tmp_path / "0.tar", {"0.png": image(), "0.txt": "é".encode("latin-1")})
    with pytest.raises(InvalidText, match="UTF-8"):
        open_pairs(path).read(0)


def test_blank_caption_is_refused(tmp_path):
    path = shard(tmp_path / "0.tar", {"0.png": image(), "0.txt": b" \n"})
    with pytest.raises(InvalidText, match="the caption is blank"):
        open_pairs(path).read(0)


def test_case_and_surrounding_blanks_are_ignored(tmp_path):
    path = shard(tmp_path / "0.tar", {"0.PNG": image(), "0.TXT": b" a cat\n"})
    assert open_pairs(path).read(0) == (image(), "a cat")


def test_shards_have_their_fingerprint_wherever_they_lie(tmp_path):
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        found.append(open_pairs(shard(tmp_path / name / "0.tar", {"0.png": b"a", "0.txt": b"b"})))
    assert found[0].fingerprint == found[1].fingerprint
    renamed = shard(tmp_path / "1.tar", {"0.png": b"a", "0.txt": b"b"})
    assert open_pairs(renamed).fingerprint != found[0].fingerprint
