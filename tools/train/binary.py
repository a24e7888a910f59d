# SPDX-License-Identifier: MIT
"""Binary convolutions that can be trained: signs with a gradient, and products that are exact.

Invariant: what a network computes forward is what the exported file computes. The dot product of signs is an integer,
so it may be computed in any precision that holds it: float32 always; on a GPU float16 operands with float32 sums, which
give every even integer up to 4096 (K taps of an even number of channels make even dot products). The gradients need
no such care and may go through bfloat16. Everything between two signs stays float32: no sign is changed by rounding.
On a CPU with bfloat16 the training, and it alone, also multiplies forward in bfloat16: integers up to 256 stay exact,
larger ones lose at most 1/256 of themselves; on a GPU it takes float16 for more than 4096 taps, too. Without
gradients the product is always exact.
"""

import torch
import torch.nn.functional as F

WEIGHT_BOUND = 1.3  # latent weights are kept inside +-this; their gradient passes inside +-WEIGHT_PASS
WEIGHT_PASS = 1.25
HALF_EXACT = 4096  # even integers up to here are float16 numbers
HALF_TRAINING = 8192  # up to here they lose 2 at most; sums of so many signs hardly ever lie beyond HALF_EXACT
TAPS_FROM_CHANNELS = 256  # see weight_gradient_by_taps
LATENT_NAMES = ("w", "w_point", "w_second")  # of the parameters whose signs are the weights


def is_latent(name):
	"""Whether the parameter of this name (of named_parameters) is a binary weight."""
	return name.rsplit(".", 1)[-1] in LATENT_NAMES


class Precision:
	"""dtypes of the convolutions of signs; set once by choose()."""

	forward = torch.float32
	training = torch.float32  # forward, where gradients are wanted
	backward = torch.float32

	@classmethod
	def choose(cls, device, bfloat16):
		cls.forward = torch.float16 if device.type == "cuda" else torch.float32
		cls.backward = torch.bfloat16 if bfloat16 else torch.float32
		cls.training = cls.backward if device.type == "cpu" else cls.forward
		torch.backends.cuda.matmul.allow_tf32 = False  # would round what signs are taken of
		torch.backends.cudnn.allow_tf32 = False


def plus_minus(x):
	return (x >= 0).to(x.dtype).mul_(2).sub_(1)


class SmoothSign(torch.autograd.Function):
	"""+1 for x >= 0, else -1; the gradient of a piecewise parabola (Bi-Real Net): 2 - 2|x| inside +-1."""

	@staticmethod
	def forward(ctx, x):
		ctx.save_for_backward(x)
		return plus_minus(x)

	@staticmethod
	def backward(ctx, g):
		(x,) = ctx.saved_tensors
		return x.abs().mul_(-2).add_(2).clamp_(min=0).mul_(g)


class ClippedSign(torch.autograd.Function):
	"""+1 for x >= 0, else -1; the gradient passes unchanged inside +-1.25 (straight-through)."""

	@staticmethod
	def forward(ctx, x):
		ctx.save_for_backward(x)
		return plus_minus(x)

	@staticmethod
	def backward(ctx, g):
		(x,) = ctx.saved_tensors
		return g * (x.abs() <= WEIGHT_PASS)


def weight_gradient_by_taps(g, x, shape):
	"""Of a convolution without stride and padding: one matrix product for each tap. On CPUs three times faster than
	oneDNN's for 256 channels on small maps, slower for few channels."""
	c_out, c_in, height, width = shape
	rows, columns = g.shape[2:]
	g = g.permute(0, 2, 3, 1).reshape(-1, c_out).t()
	x = x.permute(0, 2, 3, 1)
	taps = [
		torch.mm(g, x[:, i : i + rows, j : j + columns].reshape(-1, c_in)) for i in range(height) for j in range(width)
	]
	return torch.stack(taps).view(height, width, c_out, c_in).permute(2, 3, 0, 1)


class SignConv(torch.autograd.Function):
	"""conv2d of +1/-1 with +1/-1, forward in dtype, gradients in Precision.backward."""

	@staticmethod
	def forward(ctx, x, w, stride, padding, dtype):
		ctx.save_for_backward(x, w)
		ctx.stride, ctx.padding = stride, padding
		return F.conv2d(x.to(dtype), w.to(dtype), None, stride, padding).to(x.dtype)

	@staticmethod
	def backward(ctx, g):
		x, w = ctx.saved_tensors
		dtype = Precision.backward if g.dtype == torch.float32 else g.dtype
		by_taps = (
			g.device.type == "cpu"
			and dtype == torch.bfloat16
			and w.shape[1] >= TAPS_FROM_CHANNELS
			and (ctx.stride, ctx.padding) == (1, 0)
		)
		gx, gw, _ = torch.ops.aten.convolution_backward(
			g.to(dtype),
			x.to(dtype),
			w.to(dtype),
			None,
			(ctx.stride,) * 2,
			(ctx.padding,) * 2,
			(1, 1),
			False,
			(0, 0),
			1,
			(True, not by_taps, False),
		)
		if by_taps:
			gw = weight_gradient_by_taps(g.to(dtype), x.to(dtype), w.shape)
		return gx.to(g.dtype), gw.to(g.dtype), None, None, None


def product_type(x, n_taps):
	"""dtype of a forward product of n_taps signs."""
	if x.dtype != torch.float32:
		return x.dtype
	if torch.is_grad_enabled() and Precision.training == torch.bfloat16:
		return torch.bfloat16
	exact = n_taps % 2 == 0 and n_taps <= (HALF_TRAINING if torch.is_grad_enabled() else HALF_EXACT)
	return Precision.forward if exact else x.dtype


def sign_conv(signs, latent, stride=1, pad=0, pad_value=1):
	"""Convolution of signs with the signs of the latent weights; pad_value +1, -1 or 0 (true zeros)."""
	if pad and pad_value:
		signs, pad = F.pad(signs, (pad,) * 4, value=float(pad_value)), 0
	dtype = product_type(signs, latent[0].numel())
	return SignConv.apply(signs, ClippedSign.apply(latent), stride, pad, dtype)


def latent_weights(c_out, c_in, kernel):
	return torch.nn.Parameter(torch.randn(c_out, c_in, kernel, kernel) * 0.05)
