#!/usr/bin/env bash
# nbconvert's default HTML template ignores the alt text that a notebook stores with a figure, and writes "No description
# has been provided for this image" instead; the template "classic" uses the alt text.
#
# Versions: nbconvert 7.17.2, nbformat 5.11.1, beautifulsoup4 4.15.0, ipython 9.18.1. Seen: 2026-11-27.
# A good guess: display(figure, metadata={"image/png": {"alt": ...}}) sets the alt text in every HTML template, and a figure
#   without alt text becomes an <img> without alt, which an accessibility check reports.
# What is true: "lab", the default, writes no alt text for PNG outputs. A later step of the exporter then gives the stock
#   sentence to every <img> without alt. It logs how many there were, as if the author had forgotten them. An image in the
#   HTML therefore never lacks an alt text.
# Why it matters: reports of image classification consist mostly of figures. People who listen to the report hear the same
#   sentence for each figure although all are described, and a check for missing alt texts passes. Insert the alt texts
#   from the notebook's metadata after the export, and treat the stock sentence as missing.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nbconvert==7.17.2 nbformat==5.11.1 beautifulsoup4==4.15.0 ipython==9.18.1

"$work/venv/bin/python" - <<'EOF'
import base64
import logging
import struct
import sys
import zlib

import nbformat.v4 as v4
from bs4 import BeautifulSoup
from nbconvert import HTMLExporter


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
png += chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")
data = {"image/png": base64.b64encode(png).decode()}
ALT, STOCK = "Confusion matrix of ten classes", "No description has been provided for this image"


def figure(metadata):
    return v4.new_code_cell("plot()", outputs=[v4.new_output("display_data", data=data, metadata=metadata)])


notebook = v4.new_notebook(cells=[figure({"image/png": {"alt": ALT}}), figure({})])
logging.disable(logging.WARNING)
seen = {}
for template in ("classic", "lab"):
    html, _ = HTMLExporter(template_name=template).from_notebook_node(notebook)
    seen[template] = [image.get("alt") for image in BeautifulSoup(html, "html.parser").find_all("img")]
    for kind, expected, alt in zip(("with", "without"), (ALT, None), seen[template]):
        print(f"template {template}, figure {kind} alt text in its metadata: expected {expected!r}, seen {alt!r}")
default = HTMLExporter().template_name
print(f"default template: {default}")
same = seen == {"classic": [ALT, STOCK], "lab": [STOCK, STOCK]} and default == "lab"
sys.exit(0 if same else "the behaviour has changed")
EOF
