# SPDX-License-Identifier: MIT
"""Training of backbones with PyTorch; doc/TRAINING.md walks through the commands."""
