"""Reads an exposition on stdin by the parsers of python3-prometheus-client and
prints its samples as JSON: openmetrics.py openmetrics|text"""

import json
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

text = sys.stdin.buffer.read().decode('utf-8')
read = openmetrics if sys.argv[1] == 'openmetrics' else parser
families = list(read.text_string_to_metric_families(text))

json.dump({
    'families': {f.name: f.type for f in families},
    # JSON has no infinity
    'samples': [[s.name, s.labels,
                 '+Inf' if s.value == float('inf') else s.value]
                for f in families for s in f.samples],
}, sys.stdout)
