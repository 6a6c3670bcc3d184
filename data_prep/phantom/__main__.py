"""Command line of the phantom: `python -m data_prep.phantom --out DIR`."""

import argparse

from data_prep.phantom.generate import DEFAULT_STUDIES, generate


def main() -> None:
    """Parse the arguments and write the datasets."""
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.phantom",
        description="Write synthetic chest radiograph datasets in the layouts of MIMIC-CXR-JPG, NIH ChestX-ray14, "
        "RSNA Pneumonia and SIIM-ACR, with exact truth beside them.",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    for dataset, count in DEFAULT_STUDIES.items():
        parser.add_argument(f"--{dataset}", type=int, default=count, metavar="N", help=f"default {count}; 0: none")
    parser.add_argument("--size-px", type=int, default=320, help="side of the images (default 320)")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal bytes (default 0)")
    parser.add_argument("--processes", type=int, help="worker processes (default: every core)")
    parser.add_argument("--overwrite", action="store_true", help="replace a phantom of other arguments or code")
    arguments = parser.parse_args()
    studies = {dataset: getattr(arguments, dataset) for dataset in DEFAULT_STUDIES if getattr(arguments, dataset)}
    try:
        generate(arguments.out, studies, arguments.size_px, arguments.seed, arguments.processes, arguments.overwrite)
    except (FileExistsError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
