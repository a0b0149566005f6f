"""The commands about collections: index, search, dedupe, label, mcp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Optional

import typer

from align_zoo.cli.options import (
    SOURCE,
    CollectionPlace,
    LabelsFile,
    LabelsText,
    NoneLabel,
    Prompts,
    Ray,
    Server,
    Template,
    Workers,
    complain,
    embedder_of,
    exit_with,
    finish,
    interruptible,
    label_names,
    needs_collection,
    shows_bar,
    templates_of,
)
from align_zoo.cli.rows import Csv, Json, NamesOnly, Nul, chosen, printable, write_rows
from align_zoo.cli.shared import CHECKPOINT, needs, one_line_errors
from align_zoo.serving.model.settings import DEFAULT_MODEL

__all__ = ["dedupe", "index", "label", "mcp", "search"]

_Condition = Annotated[
    Optional[str],
    typer.Option("--where", metavar="SQL", help="As \"width > 1000 and path like '%2024%'\"."),
]


@one_line_errors()
def index(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCE)],
    where: CollectionPlace,
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
    server: Server = None,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """Bring a collection up to date with a source: embed what is new or has changed.

    The same command continues an interrupted run.
    """
    with needs_collection(), interruptible("what is finished is kept: run the command again"):
        from align_zoo.collection.collection import Collection
        from align_zoo.collection.place import exists

        given = embedder_of(model or DEFAULT_MODEL, server) if model or server else None
        if not exists(where):
            kept = Collection.create(where, model=given or embedder_of(DEFAULT_MODEL, None))
        else:
            kept = Collection.open(where, model=None if rebuild else given)
            if rebuild:
                kept.rebuild(
                    model=given or kept.embedder,
                    prune=prune,
                    workers=workers,
                    ray=ray,
                    progress=shows_bar(),
                )
        with kept:
            report = kept.add(
                source,
                prune=prune,
                retry_failed=retry_failed,
                workers=workers,
                ray=ray,
                progress=shows_bar(),
            )
    finish(report, f"search by: align-zoo search {where} WORDS")


@one_line_errors()
def search(
    where: CollectionPlace,
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
        Optional[Path], typer.Option(metavar="FILE", help="Draw the hits in one image.")
    ] = None,
    server: Server = None,
    as_json: Json = False,
    as_csv: Csv = False,
    paths: NamesOnly = False,
    nul: Nul = False,
) -> None:
    """Search a collection by words and images."""
    form = chosen(as_json, as_csv, paths, nul)
    with needs_collection(), interruptible():
        from align_zoo.collection.collection import Collection

        given = embedder_of("", server) if server else None
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
            draw_sheet(sheet, " ".join(query), shown)
            typer.echo(f"drawn to {sheet}", err=True)
    for hit in nearest:
        typer.echo(
            f"nothing here matches {' '.join(query)!r}; the nearest is {printable(hit.path)} "
            f"({hit.score:.3f}): --all shows it",
            err=True,
        )
    exit_with(len(hits), 0)


@one_line_errors()
def dedupe(
    where: CollectionPlace,
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
    with needs_collection(), interruptible():
        from align_zoo.collection.collection import Collection

        with Collection.open(where) as kept:
            found = kept.duplicates(where=condition, progress=shows_bar())
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
        complain(path, error)
    copies = sum(len(group) - 1 for group in found.groups)
    typer.echo(f"{len(found.groups)} groups with {copies} copies", err=True)
    exit_with(len(found.groups), len(found.unreadable))


@one_line_errors()
def label(
    where: CollectionPlace,
    labels: LabelsText = None,
    labels_file: LabelsFile = None,
    template: Template = None,
    prompts: Prompts = None,
    none: NoneLabel = None,
    column: Annotated[
        str, typer.Option(metavar="NAME", help="The label's column; NAME_score has the score.")
    ] = "zero_shot",
    server: Server = None,
) -> None:
    """Give every image of a collection a zero-shot label and its score, as columns.

    No image is embedded again. Search by the labels: --where "zero_shot = 'cat'".
    """
    with needs_collection(), interruptible():
        from align_zoo.collection.collection import Collection

        given = embedder_of("", server) if server else None
        with Collection.open(where, model=given) as kept:
            counts = kept.label(
                label_names(labels, labels_file),
                templates=templates_of(template, prompts),
                none=none,
                column=column,
                progress=shows_bar(),
            )
    rows = [{"label": name, "images": count} for name, count in counts.items()]
    write_rows(rows, chosen(False, False, False, False), {"label": str, "images": str})
    exit_with(sum(counts.values()), 0)


@one_line_errors()
def mcp(
    folder: Annotated[
        list[Path],
        typer.Option(
            "--folder", metavar="DIR", help="Read images within this folder. May be repeated."
        ),
    ],
    where: Annotated[
        Optional[str],
        typer.Option("--collection", metavar="COLLECTION", help="A collection to search."),
    ] = None,
    model: Annotated[
        Optional[str],
        typer.Option(metavar="CHECKPOINT", help=f"{CHECKPOINT} A collection has its own."),
    ] = None,
    server: Server = None,
) -> None:
    """Give an assistant tools by the Model Context Protocol, on stdin and stdout.

    The tools are classify, compare and, of a collection, search.
    """
    with needs("align-zoo mcp", extra=".[mcp]", missing=ModuleNotFoundError), interruptible():
        from align_zoo.collection.assistant import Assistant, Folders, mcp_server
        from align_zoo.collection.collection import Collection

        folders = Folders(folder)
        given = embedder_of(model or DEFAULT_MODEL, server) if server or model else None
        kept = Collection.open(where, model=given) if where else None
        embedder = kept.embedder if kept else given or embedder_of(DEFAULT_MODEL, None)
        mcp_server(Assistant(embedder, folders, kept)).run("stdio")
