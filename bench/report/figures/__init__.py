"""What is drawn: charts as data, and pictures of them."""

import os
import sys

if "matplotlib" not in sys.modules:  # as it is imported it reads a person's backend and style, which may be faulty
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
