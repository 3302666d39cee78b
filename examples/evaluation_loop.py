"""Evaluate a network with an own loop: mean IoU, and how it depends on the distance from the bottom of the image.

``espnet_ros.evaluate`` returns the usual numbers in one call. An own loop is for the questions that it does not answer.
Without a folder, the example evaluates on the synthetic street:

    python examples/evaluation_loop.py
    python examples/evaluation_loop.py val/images --labels val/labels --weights camvid
"""

import argparse
from pathlib import Path

from espnet_ros import ConfusionMatrix, SyntheticStreet, load_segmenter, open_frames

BANDS = 4
"""Horizontal bands of the image that are evaluated separately, from top to bottom."""


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="?", type=Path, help="folder of images (default: the synthetic street)")
    parser.add_argument("--labels", type=Path, help="folder of labels (default: 'labels' next to the images)")
    parser.add_argument("--frames", type=int, default=10, help="number of frames of the synthetic street")
    parser.add_argument("--alpha", type=int, default=3, help="3 (fast), 5 or 8 (accurate)")
    parser.add_argument("--weights", default="street", help="family, checkpoint or file (see espnet_ros.list_weights)")
    parser.add_argument("--backend", default="auto", help="inference backend")
    args = parser.parse_args()

    source = open_frames(args.images, args.labels) if args.images else SyntheticStreet(7, args.frames, rate=2.0)
    with load_segmenter(args.alpha, args.weights, args.backend) as segmenter:
        classes = segmenter.class_table.classes
        ignored = [row.id for row in classes if row.ignore]
        whole = ConfusionMatrix(len(classes), ignored)
        bands = [ConfusionMatrix(len(classes), ignored) for _ in range(BANDS)]
        for frame in source:
            if frame.labels is None:
                parser.error(f"{frame.name} has no true labels")
            labels = segmenter.segment(frame.image).labels
            whole.add(labels, frame.labels)
            height = len(labels)
            for index, band in enumerate(bands):
                rows = slice(index * height // BANDS, (index + 1) * height // BANDS)
                band.add(labels[rows], frame.labels[rows])

    for row, iou in zip(classes, whole.class_iou()):
        if not row.ignore:
            print(f"{row.name:>12}  IoU {100 * iou:5.1f} %")
    for index, band in enumerate(bands):
        print(f"band {index + 1} of {BANDS}: mean IoU {100 * band.mean_iou():5.1f} %")
    print(
        f"{len(source)} images: mean IoU {100 * whole.mean_iou():.1f} %, accuracy {100 * whole.pixel_accuracy():.1f} %"
    )


if __name__ == "__main__":
    main()
