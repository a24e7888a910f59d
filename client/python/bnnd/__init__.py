# SPDX-License-Identifier: MIT
"""bnnd for Python: ask a running daemon what a picture shows, and teach it.

	import bnnd
	with bnnd.Client() as daemon:
		with daemon.lesson() as lesson:
			lesson.add("mug", bnnd.Picture.file("mug-1.jpg"))
			lesson.add("mug", bnnd.Picture.file("mug-2.jpg"))  # label, picture; label None: nothing in particular
		for index, error in lesson.refused:
			print(index, error)  # left out: the lesson is the others
		print(lesson.result.seq)
		answer = daemon.infer(bnnd.Picture.file("what.jpg"))
		print(answer.label.decode() if answer.known else "none" if answer.reason == 2 else "unknown")

It is written from proto/PROTOCOL.md and proto/bnnd.proto, shares no code with libbnnd, and needs python3-protobuf and
protoc (Debian's protobuf-compiler). One Client is one connection and belongs to one thread. Results are the protocol's
own messages; a refusal is an Error with the code, the sentence and the fields of the reply's Status.
"""

from .client import Client, Lesson, Picture
from .wire import Code, ConnectionLost, Error, Raw, messages

__all__ = ["Client", "Code", "ConnectionLost", "Error", "Lesson", "Picture", "Raw", "messages"]
