"""Label one image: writes its class ids and an overlay as PNG files, and prints the share of each class.

Without an image it renders one of the synthetic street, so that it runs without any data:

    python examples/label_image.py
    python examples/label_image.py photo.jpg --weights cityscapes --alpha 8 --out result
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from espnet_ros import SyntheticStreet, draw_overlay, load_segmenter


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path, help="image file (default: an image of the synthetic street)")
    parser.add_argument("--out", type=Path, default=Path("example_output"), help="folder to write to")
    parser.add_argument("--alpha", type=int, default=3, help="3 (fast), 5 or 8 (accurate)")
    parser.add_argument("--weights", default="street", help="family, checkpoint or file (see espnet_ros.list_weights)")
    parser.add_argument("--backend", default="auto", help="inference backend")
    args = parser.parse_args()

    image = cv2.imread(str(args.image)) if args.image else next(iter(SyntheticStreet(seed=3))).image
    if image is None:
        parser.error(f"{args.image} is not an image that OpenCV can read")

    with load_segmenter(args.alpha, args.weights, args.backend) as segmenter:
        segmentation = segmenter.segment(image)

    args.out.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out / "labels.png"), segmentation.labels)
    cv2.imwrite(str(args.out / "overlay.png"), draw_overlay(image, segmentation))
    for row in segmentation.class_table.classes:
        share = np.mean(segmentation.labels == row.id)
        if share > 0:
            print(f"{row.name:>12}  {100 * share:5.1f} %")
    print(f"wrote labels.png and overlay.png to {args.out}; inference took {1000 * segmentation.times.infer:.0f} ms")


if __name__ == "__main__":
    main()
