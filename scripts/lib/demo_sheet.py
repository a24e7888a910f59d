# SPDX-License-Identifier: MIT
"""A contact sheet: pictures with the daemon's answers on them, right ones green, wrong ones red, unknown ones grey."""

from PIL import Image, ImageDraw, ImageFont

CELL, CAPTION, GAP, COLUMNS = 168, 42, 12, 5
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
PAPER, INK = (250, 250, 248), (40, 40, 40)
RIGHT, WRONG, UNKNOWN = (30, 130, 60), (190, 40, 40), (110, 110, 110)


def _font(size):
	try:
		return ImageFont.truetype(FONT, size)
	except OSError:
		return ImageFont.load_default()


def _fitted(draw, text, font, width):
	while text and draw.textlength(text, font=font) > width:
		text = text[:-2] + "\u2026" if len(text) > 2 else ""
	return text


def contact_sheet(path, cells):
	"""cells: (image, what was answered, the Answer, the true class)."""
	rows = (len(cells) + COLUMNS - 1) // COLUMNS
	paper = Image.new("RGB", (GAP + COLUMNS * (CELL + GAP), GAP + rows * (CELL + CAPTION + GAP)), PAPER)
	draw = ImageDraw.Draw(paper)
	bold, small = _font(15), _font(12)
	for number, (image, answered, answer, truth) in enumerate(cells):
		x = GAP + number % COLUMNS * (CELL + GAP)
		y = GAP + number // COLUMNS * (CELL + CAPTION + GAP)
		side = min(image.size)
		left, top = (image.width - side) // 2, (image.height - side) // 2
		image = image.crop((left, top, left + side, top + side))
		paper.paste(image.resize((CELL, CELL), Image.NEAREST if side < CELL // 2 else Image.LANCZOS), (x, y))
		colour = UNKNOWN if not answer.known else RIGHT if answered == truth else WRONG
		draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), outline=colour, width=3)
		score = answer.top[0].score if answer.known else answer.unknown_score
		draw.text((x, y + CELL + 3), _fitted(draw, f"{answered}  {score:.2f}", bold, CELL), fill=colour, font=bold)
		if answered != truth:
			draw.text((x, y + CELL + 23), _fitted(draw, f"it is: {truth}", small, CELL), fill=INK, font=small)
	paper.save(path)
