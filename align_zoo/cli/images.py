"""The commands about your own images: classify, embed, index, search, dedupe, label, collection."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from align_zoo.cli.rows import Csv, Format, Json, NamesOnly, Nul, chosen, printable, write_rows
from align_zoo.cli.shared import CHECKPOINT, needs, one_line_errors
from align_zoo.errors import AlignZooError, InvalidInput
from align_zoo.serving.model.settings import DEFAULT_MODEL

if TYPE_CHECKING:
    from align_zoo.collection.embedder import Embedder
    from align_zoo.collection.sources import Input
    from align_zoo.collection.writer import Report

__all__ = ["classify", "collection", "dedupe", "embed", "index", "label", "search"]

_PATHS = (Format.PATHS, Format.PATHS_NUL)
_SOME_FAILED = 2
_INTERRUPTED = 130
_SOURCE = (
    "A folder, a file, a pattern, a .csv or .parquet table with a column of paths, "
    "a webdataset .tar, or a URL."
)
_Model = Annotated[
    str, typer.Option("--model", envvar="ALIGN_ZOO_MODEL", metavar="CHECKPOINT", help=CHECKPOINT)
]
_Server = Annotated[
    Optional[str],
    typer.Option(
        envvar="ALIGN_ZOO_SERVER",
        metavar="HOST:PORT[,HOST:PORT]",
        help="Compute on these servers (gRPC), not in this process.",
    ),
]
_Workers = Annotated[
    Optional[int],
    typer.Option(metavar="N", min=1, help="Compute in N processes of Ray."),
]
_Ray = Annotated[
    Optional[str],
    typer.Option(metavar="ADDRESS", help="Compute on this Ray cluster, as HOST:PORT or auto."),
]
# A path would make s3:/ of s3://.
_Collection = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="The collection's folder, or an s3:// address.")
]


_Condition = Annotated[
    Optional[str],
    typer.Option("--where", metavar="SQL", help="As \"width > 1000 and path like '%2024%'\"."),
]
_Labels = Annotated[Optional[str], typer.Option(metavar="TEXT", help='Labels, as "cat, dog".')]
_LabelsFile = Annotated[Optional[Path], typer.Option(metavar="FILE", help="Labels, one per line.")]
_Template = Annotated[
    Optional[str],
    typer.Option(metavar="TEMPLATE", help="Prompt template; {} is replaced by the label."),
]
_Prompts = Annotated[
    Optional[str],
    typer.Option(metavar="NAME", help="Set of templates: none (default), photo, imagenet."),
]
_None = Annotated[
    Optional[str],
    typer.Option(metavar="LABEL", help="A further label for images of something else."),
]


class _Dtype(str, Enum):
    float32 = "float32"
    float16 = "float16"


@one_line_errors()
def classify(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help=f"{_SOURCE} `-` reads names on stdin.")
    ],
    labels: _Labels = None,
    labels_file: _LabelsFile = None,
    template: _Template = None,
    prompts: _Prompts = None,
    top_k: Annotated[int, typer.Option(min=1, metavar="N", help="Labels per image.")] = 1,
    none: _None = None,
    model: _Model = DEFAULT_MODEL,
    server: _Server = None,
    as_json: Json = False,
    as_csv: Csv = False,
    paths: NamesOnly = False,
    nul: Nul = False,
) -> None:
    """Label images zero-shot."""
    from align_zoo.collection.classify import Labels
    from align_zoo.collection.classify import classify as run
    from align_zoo.errors import InvalidImage

    form = chosen(as_json, as_csv, paths, nul)
    templates = _templates(template, prompts)
    with _extra(), _interruptible():
        names = _names(labels, labels_file)
        embedder = _embedder(model, server)
        read = Labels.read(names, embedder, templates=templates, none=none)
        failures: list[str] = []

        def rows() -> Iterator[dict[str, object]]:
            for path, answer in run(_inputs(images), read, embedder, top_k=top_k):
                if isinstance(answer, InvalidImage):
                    failures.append(path)
                    _complain(path, str(answer))
                    if form is Format.JSON:
                        yield {"path": path, "error": str(answer)}
                    continue
                for label, score in answer[: 1 if form in _PATHS else None]:
                    yield {"path": path, "label": label, "score": score}

        count = write_rows(rows(), form, {"path": str, "label": str, "score": "{:.3f}".format})
    _exit(count - (len(failures) if form is Format.JSON else 0), len(failures))


@one_line_errors()
def embed(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=_SOURCE)],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="OUT", help="A folder for Parquet parts, or NAME.npy."),
    ],
    dtype: Annotated[_Dtype, typer.Option(help="Type of the numbers.")] = _Dtype.float32,
    model: _Model = DEFAULT_MODEL,
    server: _Server = None,
    workers: _Workers = None,
    ray: _Ray = None,
) -> None:
    """Write the embeddings of images to files.

    The same command continues an interrupted run.
    """
    with _extra(), _interruptible("what is finished is kept: run the command again"):
        from align_zoo.collection.engines import choose_engine
        from align_zoo.collection.vectors import write_vectors

        engine = choose_engine(workers, ray)
        embedder = _embedder(model, server)
        report = write_vectors(
            source, out, embedder, dtype=dtype.value, engine=engine, progress=_bar()
        )
    _tell(report, f"written to {out}")


@one_line_errors()
def index(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=_SOURCE)],
    where: _Collection,
    prune: Annotated[
        bool, typer.Option("--prune", help="Forget this source's images that are gone.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Embed just what failed before.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Embed all images again, with another checkpoint.")
    ] = False,
    model: Annotated[
        Optional[str],
        typer.Option(metavar="CHECKPOINT", help=f"{CHECKPOINT} Of a new collection."),
    ] = None,
    server: _Server = None,
    workers: _Workers = None,
    ray: _Ray = None,
) -> None:
    """Bring a collection up to date with a source: embed what is new or has changed.

    The same command continues an interrupted run.
    """
    with _extra(), _interruptible("what is finished is kept: run the command again"):
        from align_zoo.collection.collection import Collection
        from align_zoo.collection.place import exists

        given = _embedder(model or DEFAULT_MODEL, server) if model or server else None
        if not exists(where):
            kept = Collection.create(where, model=given or _embedder(DEFAULT_MODEL, None))
        else:
            kept = Collection.open(where, model=None if rebuild else given)
            if rebuild:
                kept.rebuild(
                    model=given or kept.embedder,
                    prune=prune,
                    workers=workers,
                    ray=ray,
                    progress=_bar(),
                )
        with kept:
            report = kept.add(
                source,
                prune=prune,
                retry_failed=retry_failed,
                workers=workers,
                ray=ray,
                progress=_bar(),
            )
    _tell(report, f"search by: align-zoo search {where} WORDS")


@one_line_errors()
def search(
    where: _Collection,
    query: Annotated[
        list[str],
        typer.Argument(
            metavar="QUERY...",
            help='Words, an image, sums and differences: "beach + ./dog.jpg - 0.5:people".',
        ),
    ],
    number: Annotated[int, typer.Option("-n", min=1, metavar="N", help="The most hits.")] = 10,
    condition: _Condition = None,
    fold: Annotated[
        bool, typer.Option("--fold-duplicates", help="Show of near-duplicates the nearest alone.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show the nearest images, whether they match or not.")
    ] = False,
    sheet: Annotated[
        Optional[Path], typer.Option(metavar="FILE", help="Draw the hits in one picture.")
    ] = None,
    server: _Server = None,
    as_json: Json = False,
    as_csv: Csv = False,
    paths: NamesOnly = False,
    nul: Nul = False,
) -> None:
    """Search a collection by words and images."""
    form = chosen(as_json, as_csv, paths, nul)
    with _extra(), _interruptible():
        from align_zoo.collection.collection import Collection

        given = _embedder("", server) if server else None
        with Collection.open(where, model=given) as kept:
            hits = kept.search(
                query, k=number, where=condition, fold_duplicates=fold, all=everything
            )
            nearest = [] if hits else kept.search(query, k=1, where=condition, all=True)
        rows = [{"path": hit.path, "score": hit.score, **hit.columns} for hit in hits]
        write_rows(rows, form, {"score": "{:.3f}".format, "path": str})
        if sheet is not None and hits:
            from align_zoo.collection.sheet import draw_sheet

            shown = [(hit.input, f"{hit.score:.3f}") for hit in hits]
            try:
                draw_sheet(sheet, " ".join(query), shown)
            except OSError as error:
                raise AlignZooError(f"{sheet} cannot be written: {error.strerror}") from error
            typer.echo(f"drawn to {sheet}", err=True)
    for hit in nearest:
        typer.echo(
            f"nothing here matches {' '.join(query)!r}; the nearest is {printable(hit.path)} "
            f"({hit.score:.3f}): --all shows it",
            err=True,
        )
    _exit(len(hits), 0)


@one_line_errors()
def dedupe(
    where: _Collection,
    condition: _Condition = None,
    others: Annotated[
        bool, typer.Option("--others", help="Leave out the best copy of each group.")
    ] = False,
    as_json: Json = False,
    as_csv: Csv = False,
    paths: NamesOnly = False,
    nul: Nul = False,
) -> None:
    """List near-duplicates in groups, the best copy first.

    Nothing is deleted. Every image that has a near one is read, and thumbnails are compared.
    """
    form = chosen(as_json, as_csv, paths, nul)
    with _extra(), _interruptible():
        from align_zoo.collection.collection import Collection

        with Collection.open(where) as kept:
            found = kept.duplicates(where=condition, progress=_bar())
    rows: Iterator[dict[str, object]] = (
        {"group": number, "path": hit.path, "score": hit.score, "best": not place, **hit.columns}
        for number, group in enumerate(found.groups, 1)
        for place, hit in enumerate(group)
        if place or not others
    )
    shows: dict[str, Callable[[object], str]] = {
        "group": str,
        "score": "{:.3f}".format,
        "width": str,
        "height": str,
        "path": str,
    }
    write_rows(rows, form, shows)
    for path, error in found.unreadable.items():
        _complain(path, error)
    copies = sum(len(group) - 1 for group in found.groups)
    typer.echo(f"{len(found.groups)} groups with {copies} copies", err=True)
    _exit(len(found.groups), len(found.unreadable))


@one_line_errors()
def label(
    where: _Collection,
    labels: _Labels = None,
    labels_file: _LabelsFile = None,
    template: _Template = None,
    prompts: _Prompts = None,
    none: _None = None,
    column: Annotated[
        str, typer.Option(metavar="NAME", help="The label's column; NAME_score has the score.")
    ] = "zero_shot",
    server: _Server = None,
) -> None:
    """Give every image of a collection a zero-shot label and its score, as columns.

    No image is embedded again. Search by the labels: --where "zero_shot = 'cat'".
    """
    with _extra(), _interruptible():
        from align_zoo.collection.collection import Collection

        given = _embedder("", server) if server else None
        with Collection.open(where, model=given) as kept:
            counts = kept.label(
                _names(labels, labels_file),
                templates=_templates(template, prompts),
                none=none,
                column=column,
                progress=_bar(),
            )
    rows = [{"label": name, "images": count} for name, count in counts.items()]
    write_rows(rows, chosen(False, False, False, False), {"label": str, "images": str})
    _exit(sum(counts.values()), 0)


collection = typer.Typer(help="Look after a collection.", no_args_is_help=True)


@collection.command()
@one_line_errors()
def info(where: _Collection, as_json: Json = False) -> None:
    """Show rows, failures by reason, checkpoint, bytes and indexes."""
    import json

    with _extra():
        from align_zoo.collection.collection import Collection

        with Collection.open(where) as kept:
            about = kept.info()
    if as_json or not sys.stdout.isatty():
        typer.echo(json.dumps(about))
        return
    for name, value in about.items():
        typer.echo(f"{name:12} {value}")


@collection.command()
@one_line_errors()
def check(
    where: _Collection,
    repair: Annotated[
        bool, typer.Option("--repair", help="Keep the sound rows alone, in a new table.")
    ] = False,
) -> None:
    """Read every row, and name those that are damaged; measure the index.

    After a repair, `align-zoo index` embeds the images of damaged rows again.
    """
    with _extra(), _interruptible():
        from align_zoo.collection.collection import Collection

        with Collection.open(where) as kept:
            health = kept.check(repair=repair, progress=_bar())
    for path, what in health.damaged.items():
        _complain(path, what)
    for line in health.summary():
        typer.echo(line, err=True)
    if not health.sound:
        typer.echo(
            "the sound rows are kept in a new table; `align-zoo index` embeds the others again"
            if repair
            else "--repair keeps the sound rows",
            err=True,
        )
    _exit(1, 0 if repair else not health.sound)


@collection.command()
@one_line_errors()
def optimize(where: _Collection) -> None:
    """Merge small files, follow with the index, and remove old versions."""
    with _extra(), _interruptible():
        from align_zoo.collection.collection import Collection

        with Collection.open(where) as kept:
            kept.optimize()


def _inputs(sources: Iterable[str]) -> Iterator[Input]:
    from align_zoo.collection.sources import list_names, list_source

    for source in sources:
        yield from list_names(sys.stdin.buffer) if source == "-" else list_source(source)


def _names(labels: str | None, file: Path | None) -> list[str]:
    if (labels is None) == (file is None):
        raise InvalidInput("give --labels or --labels-file")
    if file is None:
        return [name.strip() for name in (labels or "").split(",") if name.strip()]
    from align_zoo.collection.classify import read_labels

    return read_labels(file)


def _templates(template: str | None, prompts: str | None) -> str:
    if template is not None and prompts is not None:
        raise InvalidInput("--template and --prompts exclude each other")
    return template or prompts or "none"


def _embedder(model: str, server: str | None) -> Embedder:
    from align_zoo.collection.embedder import EncoderEmbedder, ServerEmbedder

    if server:
        return ServerEmbedder([url.strip() for url in server.split(",") if url.strip()])
    return EncoderEmbedder(model)


def _bar() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _complain(path: str, error: str) -> None:
    typer.echo(f"{printable(path)}: {error}", err=True)


def _tell(report: Report, next_step: str) -> None:
    """Show a run's counts and every failure on stderr, and exit with 2 if something failed."""
    for path, error in report.failed.items():
        _complain(path, error)
    typer.echo(f"{report.summary()}; {next_step}", err=True)
    _exit(report.listed - len(report.failed), len(report.failed))


def _exit(found: int, failed: int) -> None:
    if failed:
        raise typer.Exit(_SOME_FAILED)
    if not found:
        raise typer.Exit(1)


@contextmanager
def _interruptible(kept: str = "") -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted{'; ' + kept if kept else ''}", err=True)
        raise typer.Exit(_INTERRUPTED) from None


def _extra() -> AbstractContextManager[None]:
    return needs("a collection", extra=".[collection]", missing=ModuleNotFoundError)
