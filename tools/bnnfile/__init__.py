# SPDX-License-Identifier: MIT
"""The .bnn model file in Python: write, read strictly, evaluate.

The contract is lib/bnn/model.proto, which is compiled at run time: no generated code lies in the repository. Nothing
here is needed at run time of the daemon, and nothing here shares code with lib/bnn: the two check each other.

  schema.py   the message classes, compiled; BadModel
  shapes.py   what each operation accepts and makes: used when a graph is built and when a file is read
  check.py    is a whole graph sound? for read()
  format.py   header, digest, data section; packed bits; read(), write()
  build.py    Builder: an operation at a time, shapes inferred
  tail.py     a network with a new tail: features from statistics of several maps
  identity.py feature_id
  evaluate.py forward pass in float64, or as doc/NUMBERS.md defines it, bit for bit
"""

from .build import Builder
from .evaluate import Evaluator
from .format import Model, pack_bits, read, unpack_bits, write
from .identity import feature_id
from .schema import BadModel, proto

__all__ = [
	"BadModel",
	"Builder",
	"Evaluator",
	"Model",
	"feature_id",
	"pack_bits",
	"proto",
	"read",
	"unpack_bits",
	"write",
]
