"""The commands about images without a collection: classify, embed and explain."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from align_zoo.cli.options import (
    PATHS,
    SOURCE,
    LabelsFile,
    LabelsText,
    Model,
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
from align_zoo.cli.rows import Csv, Format, Json, NamesOnly, Nul, chosen, write_rows
from align_zoo.cli.shared import one_line_errors
from align_zoo.errors import InvalidImage
from align_zoo.serving.model.settings import DEFAULT_MODEL

if TYPE_CHECKING:
    from align_zoo.collection.sources import Input

__all__ = ["classify", "embed", "explain"]


class _Dtype(str, Enum):
    float32 = "float32"
    float16 = "float16"


@one_line_errors()
def classify(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help=f"{SOURCE} `-` reads names on stdin.")
    ],
    labels: LabelsText = None,
    labels_file: LabelsFile = None,
    template: Template = None,
    prompts: Prompts = None,
    top_k: Annotated[int, typer.Option(min=1, metavar="N", help="Labels per image.")] = 1,
    none: NoneLabel = None,
    model: Model = DEFAULT_MODEL,
    server: Server = None,
    as_json: Json = False,
    as_csv: Csv = False,
    paths: NamesOnly = False,
    nul: Nul = False,
) -> None:
    """Label images zero-shot."""
    form = chosen(as_json, as_csv, paths, nul)
    templates = templates_of(template, prompts)
    with needs_collection(), interruptible():
        from align_zoo.collection.classify import Labels
        from align_zoo.collection.classify import classify as run

        names = label_names(labels, labels_file)
        embedder = embedder_of(model, server)
        read = Labels.read(names, embedder, templates=templates, none=none)
        failures: list[str] = []

        def rows() -> Iterator[dict[str, object]]:
            for path, answer in run(_inputs(images), read, embedder, top_k=top_k):
                if isinstance(answer, InvalidImage):
                    failures.append(path)
                    complain(path, str(answer))
                    if form is Format.JSON:
                        yield {"path": path, "error": str(answer)}
                    continue
                for label, score in answer[: 1 if form in PATHS else None]:
                    yield {"path": path, "label": label, "score": score}

        count = write_rows(rows(), form, {"path": str, "label": str, "score": "{:.3f}".format})
    exit_with(count - (len(failures) if form is Format.JSON else 0), len(failures))


@one_line_errors()
def explain(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    text: Annotated[str, typer.Argument(help="What to look for.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="The image to write, as a .png.")
    ],
    against: Annotated[
        Optional[str],
        typer.Option(metavar="TEXT", help="Show what speaks for the first text and not this."),
    ] = None,
    size: Annotated[
        Optional[int],
        typer.Option(
            min=1,
            metavar="N",
            help="Compute on about N x N pixels, for a finer map; the score changes.",
        ),
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw on a dark ground.")] = False,
    model: Model = DEFAULT_MODEL,
) -> None:
    """Draw where in an image a text is seen."""
    from align_zoo.inputs.image_files import save_image, written_format
    from align_zoo.runtime.load import load_encoder
    from align_zoo.zero_shot.heatmap import heatmap

    with interruptible():
        written_format(out)  # before a model is loaded
        heat = heatmap(load_encoder(model), image, text, against=against, size=size)
        save_image(heat.overlay(dark=dark), out)
    typer.echo(f"{heat.summary()}; drawn to {out}")


@one_line_errors()
def embed(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=SOURCE)],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="OUT", help="A folder for Parquet parts, or NAME.npy."),
    ],
    dtype: Annotated[_Dtype, typer.Option(help="Type of the numbers.")] = _Dtype.float32,
    model: Model = DEFAULT_MODEL,
    server: Server = None,
    workers: Workers = None,
    ray: Ray = None,
) -> None:
    """Write the embeddings of images to files.

    The same command continues an interrupted run.
    """
    with needs_collection(), interruptible("what is finished is kept: run the command again"):
        from align_zoo.collection.engines import choose_engine
        from align_zoo.collection.vectors import write_vectors

        engine = choose_engine(workers, ray)
        embedder = embedder_of(model, server)
        report = write_vectors(
            source, out, embedder, dtype=dtype.value, engine=engine, progress=shows_bar()
        )
    finish(report, f"written to {out}")


def _inputs(sources: Iterable[str]) -> Iterator[Input]:
    from align_zoo.collection.sources import list_names, list_source

    for source in sources:
        yield from list_names(sys.stdin.buffer) if source == "-" else list_source(source)
