"""The report of an evaluation: numbers as JSON, and a summary in a few lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from align_zoo.evaluation.captions import Captions
from align_zoo.evaluation.checkpoint import Loaded
from align_zoo.evaluation.classification import Classified
from align_zoo.evaluation.embeddings import ImageEmbeddings
from align_zoo.evaluation.image_folder import ImageFolder, LeftOut
from align_zoo.evaluation.ranks import recall
from align_zoo.evaluation.retrieval import Retrieved
from align_zoo.writing import replacing

__all__ = ["classification_report", "retrieval_report", "summary", "write_report"]

Report = dict[str, Any]


def classification_report(
    model: Loaded,
    data: ImageFolder,
    templates: Sequence[str],
    embeddings: ImageEmbeddings,
    result: Classified,
) -> Report:
    """Make the report of a classification.

    Shares are 0 to 1; ``top5`` is None with fewer than five classes.
    """
    classes = len(data.classnames)
    recalls = result.recall_of_classes()
    known = [share for share in recalls if share is not None]
    return {
        "task": "zero-shot classification",
        "model": model.name,
        "fingerprint": model.fingerprint,
        "templates": list(templates),
        "images": len(result.ranks),
        "top1": recall(result.ranks, 1, classes),
        "top5": recall(result.ranks, 5, classes),
        "mean_class_recall": sum(known) / len(known),
        "classes": [
            {"folder": folder, "name": name, "images": count, "top1": share}
            for folder, name, count, share in zip(
                data.folders,
                data.classnames,
                result.confusion.sum(1).tolist(),
                recalls,
                strict=True,
            )
        ],
        **_others(data.files, embeddings, data.left_out),
    }


def retrieval_report(
    model: Loaded, data: Captions, embeddings: ImageEmbeddings, result: Retrieved
) -> Report:
    """Make the report of a retrieval.

    Shares are 0 to 1; R@k is None with fewer than k candidates. Captions of images that cannot
    be read are left out, and counted.
    """
    left_out = [LeftOut(path, f"the same file as {other}") for path, other in data.same.items()]
    images, captions = len(embeddings.sound), len(result.images)
    return {
        "task": "image-text retrieval",
        "model": model.name,
        "fingerprint": model.fingerprint,
        "images": images,
        "captions": captions,
        "text_to_image": {f"R@{k}": recall(result.images, k, images) for k in (1, 5, 10)},
        "image_to_text": {f"R@{k}": recall(result.texts, k, captions) for k in (1, 5, 10)},
        "captions_left_out": len(data.texts) - captions,
        **_others(data.files, embeddings, left_out),
    }


def write_report(report: Report, path: Path) -> None:
    """Write a report as JSON; a reader of the file finds a whole report or none."""
    content = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    # A file's name that is no UTF-8 is written as JSON escapes.
    with replacing(path) as part:
        part.write_text(content, "utf-8", errors="backslashreplace")


def summary(report: Report) -> str:
    """Summarise a report in a few lines: shares in percent, and counts of unused files."""
    lines = [f"{report['task']}, {report['model']}, {report['images']:,} images"]
    if "top1" in report:
        lines.append(f"top-1 {_percent(report['top1'])}   top-5 {_percent(report['top5'])}")
    for way in ("text_to_image", "image_to_text"):
        if way in report:
            shares = "   ".join(f"{k} {_percent(share)}" for k, share in report[way].items())
            lines.append(f"{way.replace('_', ' ')}: {shares}")
    if report["broken"]:
        lines.append(f"images that cannot be read: {len(report['broken'])}, named in the report")
    if report.get("captions_left_out"):
        lines.append(f"captions of such images, left out: {report['captions_left_out']:,}")
    if report["left_out"]:
        count = sum(entry["files"] for entry in report["left_out"])
        lines.append(f"files left out: {count:,}, named in the report")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _others(
    files: Sequence[Path], embeddings: ImageEmbeddings, left_out: Sequence[LeftOut]
) -> Report:
    """List the files that are not in the shares; with the images these are all files."""
    return {
        "broken": [{"file": str(files[i]), "reason": why} for i, why in embeddings.broken.items()],
        "left_out": [
            {"file": str(path), "reason": reason, "files": count}
            for path, reason, count in left_out
        ],
    }
