# SPDX-License-Identifier: MIT
"""Further pictures without those that are also in the held-out part: collections often draw from the same source.

  python3 -m tools.train.leave_out_near MORE CACHE DATA OUT OUT_CACHE [--nearer 0.8] [--side 192] [--threads N]

MORE, CACHE: pictures and what teacher.py made of them; DATA: what train.py trains on, whose held-out part is looked for.
A picture is left out where the teacher's embedding of the whole of it lies nearer to one of the held-out pictures than
--nearer (cosine, after the mean of the held-out ones was taken off). At 0.8 (--side 128) a copy of the same photograph
at another size or crop goes, and now and then a picture that is merely much alike.
"""

from tools.train import command

if __name__ == "__main__":
	command.begin("torch", "numpy", "PIL")

import argparse
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from tools.train import pictures, teacher

ROWS = 4000


def nearest(made, held_out):
	"""Cosine of each embedding to its nearest held-out one, both less the mean of the held-out ones: N."""
	mean = held_out.mean(0)

	def directions(a):
		return F.normalize(torch.from_numpy(a.astype("f4") - mean), dim=1)

	there = directions(held_out).T
	return np.concatenate(
		[(directions(made[i : i + ROWS]) @ there).max(1)[0].numpy() for i in range(0, len(made), ROWS)]
	)


def leave_out(more, cache, out, out_cache, index):
	"""Writes pictures `index` of more and cache to out and out_cache."""
	for folder in (out, out_cache):
		folder.mkdir(parents=True, exist_ok=True)
	np.save(out / "train_x.npy", np.load(more / "train_x.npy", mmap_mode="r")[index])
	for name in (teacher.VIEWS, teacher.KEPT):
		np.save(out_cache / name, np.load(cache / name, mmap_mode="r")[:, index])
	(out_cache / teacher.CLASSIFIER).write_bytes((cache / teacher.CLASSIFIER).read_bytes())
	teacher.say_of(out_cache, pictures.unlabelled(out))


def main():
	p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
	for name in ("more", "cache", "data", "out", "out_cache"):
		p.add_argument(name, type=pathlib.Path)
	p.add_argument("--nearer", type=float, default=0.8)
	p.add_argument("--side", type=int, default=192, help="as of teacher.py")
	p.add_argument("--store", type=int, default=80, help="as of train.py")
	p.add_argument("--threads", type=command.number(int, 1, 1024))
	a = p.parse_args()
	if a.threads:
		torch.set_num_threads(a.threads)
	x = pictures.load(a.data, a.store, cache=a.out)[1].x
	device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
	net = teacher.teacher_net().to(device)
	held_out = teacher.embed_whole(net, pictures.batches(x, teacher.BATCH), a.side, device)
	near = nearest(np.load(a.cache / teacher.KEPT, mmap_mode="r")[teacher.WHOLE_VIEW], held_out) > a.nearer
	leave_out(a.more, a.cache, a.out, a.out_cache, np.flatnonzero(~near))
	print(f"{near.sum()} of {len(near)} left out")


if __name__ == "__main__":
	command.run(main)
