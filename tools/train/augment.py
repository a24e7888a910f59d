# SPDX-License-Identifier: MIT
"""Random views of pictures, on the device: crop, mirror, brightness, contrast, saturation.

A view is (sx, sy, tx, ty): half sizes and centre of a rectangle in coordinates -1..1. WHOLE is the picture.
"""

import torch
import torch.nn.functional as F

from tools.train.nets import prepare

WHOLE = (1, 1, 0, 0)  # view
LEAST_DETAIL = 0.4  # of the side, of pictures that lose detail
MOST_SHARPENED = 1.0  # times the difference to the mean of 3x3
REDUCE_TO = 1.5  # times the side: larger pictures are reduced before they are cut
LOG_ASPECT = 0.29  # crops are at most a third longer than wide


def uniform(shape, lo, hi, device):
	return torch.rand(shape, device=device) * (hi - lo) + lo


def crops(n, least_area, device):
	"""Random rectangles of at least this share of the picture."""
	area = uniform((n,), least_area, 1.0, device)
	aspect = uniform((n,), -LOG_ASPECT, LOG_ASPECT, device).exp()
	sx, sy = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
	return torch.stack((sx, sy, uniform((n,), -1, 1, device) * (1 - sx), uniform((n,), -1, 1, device) * (1 - sy)), 1)


def inside(views, crop):
	"""A crop of a view is a view."""
	return torch.cat((views[:, :2] * crop[:, :2], views[:, 2:] + views[:, :2] * crop[:, 2:]), 1)


def cut(x, views, side, mode="bilinear"):
	"""x (N x 3 x S x S floats) seen through views, side x side."""
	theta = torch.zeros(len(x), 2, 3, device=x.device)
	theta[:, 0, 0], theta[:, 1, 1] = views[:, 0], views[:, 1]
	theta[:, 0, 2], theta[:, 1, 2] = views[:, 2], views[:, 3]
	grid = F.affine_grid(theta, (len(x), 3, side, side), align_corners=False)
	return F.grid_sample(x, grid, mode=mode, padding_mode="reflection", align_corners=False)


def colours(x):
	n = len(x)
	grey = x.mean(1, keepdim=True)
	x = grey + (x - grey) * uniform((n, 1, 1, 1), 0.6, 1.4, x.device)
	mean = x.mean((1, 2, 3), keepdim=True)
	brightness = uniform((n, 1, 1, 1), 0.7, 1.3, x.device)
	return (x - mean) * uniform((n, 1, 1, 1), 0.7, 1.3, x.device) + mean * brightness


def blurred(x):
	"""Reduced to a random smaller side and enlarged again: far things, small pictures."""
	side = x.shape[-1]
	small = int(side * float(uniform((), LEAST_DETAIL, 1.0, "cpu")))
	few = F.interpolate(x, size=(small, small), mode="bilinear", antialias=True, align_corners=False)
	return F.interpolate(few, size=(side, side), mode="bilinear", align_corners=False)


def sharpened(x):
	"""An unsharp mask of random strength. Every cut through a picture is softer than what a camera's picture becomes
	when it is reduced; networks that saw nothing sharper lost up to ten points on sharp ones."""
	soft = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
	return x + (x - soft) * uniform((len(x), 1, 1, 1), 0, MOST_SHARPENED, x.device)


def detail(x, blur, sharpen):
	"""x in a random order: these shares of it blurred and, of the others, sharpened."""
	n = round(len(x) * blur)
	m = n + round((len(x) - n) * sharpen)
	parts = (blurred(x[:n]) if n else x[:0], sharpened(x[n:m]) if m > n else x[:0], x[m:])
	return torch.cat(parts)


def cut_groups(groups, views, side):
	"""The pictures of Store.batch seen through views; what is much larger than side is first reduced."""
	out = torch.empty(len(views), 3, side, side, device=views.device)
	for where, x in groups:
		size = round(side * REDUCE_TO)
		if x.shape[-1] > size:
			x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
		out[where] = cut(x, views[where], side, "bicubic")
	return out


def augment(groups, side, views=None, least_area=0.25, blur=0.0, sharpen=0.0):
	"""groups: of Store.batch, floats 0..255, in a random order -> the networks' input, side x side. views: look inside
	these. blur, sharpen: see detail()."""
	n, device = sum(len(x) for _, x in groups), groups[0][1].device
	crop = crops(n, least_area, device)
	crop = crop if views is None else inside(views, crop)
	mirror = (torch.rand(n, device=device) < 0.5).float() * 2 - 1
	crop = torch.stack((crop[:, 0] * mirror, crop[:, 1], crop[:, 2], crop[:, 3]), 1)
	x = colours(detail(cut_groups(groups, crop, side), blur, sharpen)).clamp_(0, 255)
	return prepare(x).contiguous(memory_format=torch.channels_last)
