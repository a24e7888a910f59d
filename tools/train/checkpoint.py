# SPDX-License-Identifier: MIT
"""Files of a training run: checkpoints that resume, and latent weights to continue from.

A checkpoint holds everything of a run and is replaced atomically. Latents are the network alone, float16 where it has
many numbers: a few MB, kept beside each shipped .bnn (models/NAME.latent.npz).
"""
import json
import os
import pathlib

import numpy as np
import torch

import nets

DESCRIPTION = '__net__'    # name and options of the network, as JSON
HALF_SMALLEST = 2.0 ** -24
HALF_LARGEST = 65504.0


def save(path, contents):
    path = pathlib.Path(path)
    part = path.with_suffix('.part')
    with open(part, 'wb') as f:
        torch.save(contents, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, path)


def load(path):
    return torch.load(path, map_location='cpu', weights_only=True)


def load_net(path):
    """(network in eval mode, checkpoint) of a checkpoint file."""
    contents = load(path)
    net = nets.build(contents['net'], len(contents['classes']), contents['options'])
    net.load_state_dict(contents['model'])
    return net.eval(), contents


def to_half(a):
    """float16 of the same signs: what would become zero keeps its sign, what is too large the largest number."""
    half = np.clip(a, -HALF_LARGEST, HALF_LARGEST).astype(np.float16)
    return np.where((half == 0) & (a < 0), np.float16(-HALF_SMALLEST), half)


def save_latents(path, state, name, options):
    """Matrices and filters as float16, vectors (batch norm's variances are large) as float32."""
    arrays = {DESCRIPTION: np.array(json.dumps({'net': name, 'options': options}))}
    for key, tensor in state.items():
        a = tensor.detach().cpu().numpy()
        arrays[key] = to_half(a) if a.ndim > 1 and a.dtype == np.float32 else a
    path = pathlib.Path(path)
    part = path.with_suffix('.part')
    with open(part, 'wb') as f:
        np.savez_compressed(f, **arrays)
    os.replace(part, path)


def read_latents(path):
    """(name, options, {key: tensor}). A file without a description is of the first photo backbone."""
    arrays = np.load(path)
    described = json.loads(str(arrays[DESCRIPTION])) if DESCRIPTION in arrays else {'net': 'photo', 'options': {}}
    state = {}
    for key in arrays.files:
        if key != DESCRIPTION:
            a = arrays[key]
            state[key] = torch.from_numpy(a.astype(np.float32)) if a.dtype.kind == 'f' else torch.tensor(a)
    return described['net'], described['options'], state


def continue_from(net, options, state):
    """Loads latents that were trained with these options; a classifier of other classes stays new, and a network may
    have other numbers of layers (Net.grown). Returns the names that were left out."""
    state = net.grown(options, state)
    own = net.state_dict()
    missing = sorted(k for k in own if k not in state and not k.startswith('fc.'))
    if missing:
        raise SystemExit(f'the latents lack {", ".join(missing[:3])}: they are of another network')
    other = sorted(k for k in own if k in state and own[k].shape != state[k].shape)
    if any(not k.startswith('fc.') for k in other):
        raise SystemExit(f'{other[0]} has another shape in the latents: give the same --options')
    own.update({k: v for k, v in state.items() if k in own and k not in other})
    net.load_state_dict(own)
    return other
