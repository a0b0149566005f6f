"""Runs an evaluation, from the data to the report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from align_zoo.errors import AlignZooError, InvalidInput
from align_zoo.evaluation.captions import read_captions
from align_zoo.evaluation.checkpoint import Loaded, load
from align_zoo.evaluation.classification import classify
from align_zoo.evaluation.embeddings import ImageEmbeddings, embed_files
from align_zoo.evaluation.image_folder import read_image_folder
from align_zoo.evaluation.report import (
    Report,
    classification_report,
    retrieval_report,
    write_report,
)
from align_zoo.evaluation.retrieval import retrieve
from align_zoo.inputs.prompts import read_templates
from align_zoo.zero_shot.classifier import embed_texts, zero_shot_weights

__all__ = ["EvaluateOptions", "evaluate"]


@dataclass(frozen=True)
class EvaluateOptions:
    """The model, the data and the output folder of an evaluation.

    Attributes:
        data: a folder with a folder for each class, or a file of captions (.json, .csv).
        model: a hub id, a folder, "align_tiny" or "align_emoji".
        out: folder for the report, the chart and the embeddings.
        templates: for classification, as ``zero_shot_weights`` takes them; "photo" by default.
        classnames: for classification, a JSON file {"folder": "class name"}.
        images: for retrieval, the folder of the images; by default the folder of ``data``.
        device: torch's name of the device.
        batch_size: images, and texts, at a time.
        progress: show bars on stderr.
        revision: branch, tag or commit of a hub id.
    """

    data: Path
    model: str
    out: Path
    templates: str | None = None
    classnames: Path | None = None
    images: Path | None = None
    device: str = "cpu"
    batch_size: int = 32
    progress: bool = False
    revision: str | None = None


def evaluate(options: EvaluateOptions) -> Report:
    """Evaluate, and write ``report.json`` and for classes ``confusion.png`` to ``options.out``.

    A second call continues an interrupted run: the embeddings of images are kept.

    Raises:
        AlignZooError: the data, the model, the device or the folder cannot be used, or an
            option does not apply to this kind of data.
    """
    if options.batch_size < 1:
        raise InvalidInput(f"batch_size is {options.batch_size}; it must be at least 1")
    if not options.data.exists():
        raise AlignZooError(f"{options.data} does not exist")
    if options.out.exists() and not options.out.is_dir():
        raise AlignZooError(f"{options.out} is a file; results go to a folder")
    if options.data.is_dir() and _within(options.out, options.data):
        raise AlignZooError(
            f"{options.out} lies in {options.data}, where every folder is a class, and results "
            "would be one too; choose another --out"
        )
    _refuse_idle(options)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        report = _classification(options) if options.data.is_dir() else _retrieval(options)
        report["data"] = str(options.data)
        write_report(report, options.out / "report.json")
    except OSError as error:  # such as a full disk, or a folder without permission
        raise AlignZooError(f"the evaluation cannot go on: {error}") from error
    except torch.OutOfMemoryError as error:
        raise AlignZooError(
            f"--device {options.device} has no room for --batch-size {options.batch_size}; choose "
            f"a smaller one: {error}"
        ) from error
    return report


def _within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _refuse_idle(options: EvaluateOptions) -> None:
    """Reject options that do not apply to this kind of data."""
    idle: dict[str, object]
    classes, captions = "a folder of classes", "a file of captions"
    if options.data.is_dir():
        idle, what, wanted = {"--images": options.images}, classes, captions
    else:
        idle = {"--templates": options.templates, "--classnames": options.classnames}
        what, wanted = captions, classes
    for name, value in idle.items():
        if value is not None:
            raise AlignZooError(f"{name} is for {wanted}; {options.data} is {what}: leave it out")


def _classification(options: EvaluateOptions) -> Report:
    # Imported first: hours of work must not end with a missing matplotlib.
    from align_zoo.evaluation.confusion_chart import draw_confusion

    templates = read_templates("photo" if options.templates is None else options.templates)
    data = read_image_folder(options.data, options.classnames)
    model = load(options.model, options.device, revision=options.revision)
    weights = zero_shot_weights(
        model.align,
        model.tokenizer,
        data.classnames,
        templates,
        batch_size=options.batch_size,
        progress=options.progress,
    )
    embeddings = _embed(model, data.files, options)
    targets = [data.targets[i] for i in embeddings.sound]
    result = classify(embeddings.vectors, weights.float().cpu(), targets)
    draw_confusion(result.confusion, data.classnames, options.out / "confusion.png")
    return classification_report(model, data, templates, embeddings, result)


def _retrieval(options: EvaluateOptions) -> Report:
    data = read_captions(options.data, options.images)
    model = load(options.model, options.device, revision=options.revision)
    embeddings = _embed(model, data.files, options)
    row = {file: i for i, file in enumerate(embeddings.sound)}
    kept = [i for i, owner in enumerate(data.owners) if owner in row]
    if not kept:
        raise AlignZooError(f"none of the images that {options.data} has captions of can be read")
    texts = embed_texts(
        model.align,
        model.tokenizer,
        [data.texts[i] for i in kept],
        batch_size=options.batch_size,
        progress=options.progress,
    )
    owners = [row[data.owners[i]] for i in kept]
    result = retrieve(embeddings.vectors, texts.float().cpu(), owners)
    return retrieval_report(model, data, embeddings, result)


def _embed(model: Loaded, files: list[Path], options: EvaluateOptions) -> ImageEmbeddings:
    return embed_files(
        model,
        files,
        options.out / "embeddings",
        batch_size=options.batch_size,
        progress=options.progress,
    )
