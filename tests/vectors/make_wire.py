# SPDX-License-Identifier: MIT
"""Makes the golden frames of tests/vectors/wire with Google's protobuf, which shares no code with ours.

  python3 -m tests.vectors.make_wire    writes NAME.hex for each frame of the table below

A file is a comment (the message as text) and the bytes of one frame in hex, header first. Frames of a released version
never change: add new ones.
"""

import pathlib
import struct
import subprocess
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "vectors" / "wire"
HELLO, REQUEST, REPLY, EVENT, CANCEL = 1, 2, 3, 4, 5
KEY = '"' + "".join(f"\\x{i:02x}" for i in range(16)) + '"'
FEATURE_ID = '"' + "".join(f"\\x{0xA0 + i % 16:02x}" for i in range(32)) + '"'
MODEL = f'model {{ name: "photo96-1" feature_id: {FEATURE_ID} features: 512 input {{ width: 96 height: 96 fit: "cover" image_rules: 1 }} }}'
TIMES = "us { queue: 12 image: 345 backbone: 2345 head: 7 total: 2750 }"
RAW = "picture { raw { width: 2 height: 2 channels: 3 } }"
PIXELS = bytes(range(0x10, 0x1C))

# name, kind, message, text, request id, payload
FRAMES = [
	("hello", HELLO, "Hello", 'major: 1 minor: 0 software: "bnnctl 0.1.0"', 0, b""),
	(
		"hello-reply",
		HELLO,
		"HelloReply",
		f"""major: 1 minor: 0 software: "bnnd 0.1.0" {MODEL}
		limits {{ body_bytes: 65536 payload_bytes: 8388608 in_flight: 16 lesson_pictures: 10000 lesson_classes: 256
		lesson_idle_ms: 60000 classes: 4096 page: 100 frame_complete_ms: 5000 }} role: ROLE_ADMIN seq: 3""",
		0,
		b"",
	),
	(
		"hello-reply-refused",
		HELLO,
		"HelloReply",
		"""status { code: 9 message: "the daemon speaks protocol 1.0, not 2.0" }
		major: 1 minor: 0 software: "bnnd 0.1.0" """,
		0,
		b"",
	),
	("cancel", CANCEL, None, "", 5, b""),
	("request-status", REQUEST, "Request", "status { }", 1, b""),
	("request-infer-raw", REQUEST, "Request", f"timeout_ms: 2000 infer {{ {RAW} top: 3 }}", 2, PIXELS),
	("request-infer-never", REQUEST, "Request", "infer { refuse { never: true } }", 3, b"\x89PNG"),
	(
		"request-infer-roi",
		REQUEST,
		"Request",
		"""infer { picture { rotate: 90 roi { x: 0.25 y: 0.125 width: 0.5 height: 0.875 } }
		top: 1 refuse { share: 0.01 } }""",
		3,
		b"\x89PNG",
	),
	("request-embed", REQUEST, "Request", "embed { picture { } }", 4, b"\xff\xd8\xff"),
	("request-look", REQUEST, "Request", "look { picture { } }", 5, b"\xff\xd8\xff"),
	("request-lesson-begin", REQUEST, "Request", f"lesson_begin {{ key: {KEY} guard {{ if_seq: 3 }} }}", 6, b""),
	("request-lesson-begin-dry", REQUEST, "Request", f"lesson_begin {{ key: {KEY} dry_run: true }}", 6, b""),
	("request-lesson-add", REQUEST, "Request", f'lesson_add {{ lesson: 7 label: "mug" {RAW} }}', 7, PIXELS),
	("request-lesson-add-none", REQUEST, "Request", f"lesson_add {{ lesson: 7 none: true {RAW} }}", 8, PIXELS),
	("request-lesson-commit", REQUEST, "Request", "timeout_ms: 30000 lesson_commit { lesson: 7 added: 2 }", 9, b""),
	("request-lesson-abort", REQUEST, "Request", "lesson_abort { lesson: 7 }", 10, b""),
	("request-classes", REQUEST, "Request", 'classes { after: "mug" limit: 50 }', 11, b""),
	("request-class-detail", REQUEST, "Request", 'class_detail { label: "mug" }', 12, b""),
	("request-class-detail-none", REQUEST, "Request", "class_detail { none: true }", 12, b""),
	("request-history", REQUEST, "Request", "history { before_seq: 300 limit: 10 }", 13, b""),
	("request-forget", REQUEST, "Request", f'forget {{ label: "mug" guard {{ if_seq: 0 }} key: {KEY} }}', 14, b""),
	("request-forget-none", REQUEST, "Request", "forget { none: true }", 15, b""),
	(
		"request-rename",
		REQUEST,
		"Request",
		r'rename { old_label: "mug" new_label: "gr\303\266\303\237e" guard { if_seq: 4 } key: ' + KEY + " }",
		16,
		b"",
	),
	("request-undo", REQUEST, "Request", f"undo {{ guard {{ if_seq: 4 }} key: {KEY} }}", 17, b""),
	("request-rollback", REQUEST, "Request", f"rollback {{ seq: 2 guard {{ if_seq: 5 }} key: {KEY} }}", 18, b""),
	(
		"reply-error",
		REPLY,
		"Reply",
		"""status { code: 8 message: "64 pictures wait already: ask again soon" field: "queue"
		limit: 64 retry_after_ms: 50 }""",
		2,
		b"",
	),
	(
		"reply-status",
		REPLY,
		"Reply",
		f"""daemon_status {{ state: "degraded" reasons: "the disk is full" version: "0.1.0" {MODEL}
		kernels: "avx2" classes: 2 seq: 5 uptime_ms: 3600000 infer_threads: 3 widths: "8/16" preset: "default"
		memory_bound_bytes: 201326592 negatives: 4 refuse: 0.05 }}""",
		1,
		b"",
	),
	(
		"reply-status-waiting",
		REPLY,
		"Reply",
		"""daemon_status { state: "ready" version: "0.1.0"
		waiting: "2 classes were learned with the model 'photo64-1' and wait" }""",
		1,
		b"",
	),
	(
		"reply-status-method",
		REPLY,
		"Reply",
		"""daemon_status { state: "ready" version: "0.1.0" method: "metric"
		no_metric: "learner.keep is none" }""",
		1,
		b"",
	),
	(
		"reply-status-scene",
		REPLY,
		"Reply",
		"""daemon_status { state: "ready" version: "0.1.0" scene: true
		no_scene: "1 of 2 classes are judged with the scene" }""",
		1,
		b"",
	),
	(
		"reply-answer",
		REPLY,
		"Reply",
		f"""answer {{ known: true label: "mug" unknown_score: 0.125 margin: 0.5
		top {{ label: "mug" score: 0.625 cosine: 0.75 }} top {{ label: "cup" score: 0.125 cosine: 0.25 }}
		top {{ none: true score: 0.125 cosine: 0.25 }} seq: 5 {TIMES} }}""",
		2,
		b"",
	),
	("reply-answer-unknown", REPLY, "Reply", f"answer {{ reason: REASON_UNKNOWN unknown_score: 1 {TIMES} }}", 2, b""),
	(
		"reply-answer-none",
		REPLY,
		"Reply",
		f"""answer {{ reason: REASON_NONE unknown_score: 0.25
		top {{ none: true score: 0.75 cosine: 0.5 }} margin: 0.75 seq: 5 {TIMES} }}""",
		2,
		b"",
	),
	("reply-embedding", REPLY, "Reply", r'embedding { features: "\001\377\177\201\000" ' + TIMES + " }", 4, b""),
	("reply-looked", REPLY, "Reply", "looked { width: 96 height: 96 }", 5, b"\x89PNG\r\n\x1a\n"),
	("reply-begun", REPLY, "Reply", "begun { lesson: 7 }", 6, b""),
	(
		"reply-begun-first",
		REPLY,
		"Reply",
		"""begun { first { seq: 4 classes { label: "mug" samples: 2 is_new: true } us: 9000
		op: "learn" repeated: true undone: true } }""",
		6,
		b"",
	),
	("reply-added", REPLY, "Reply", f"added {{ accepted: 2 {TIMES} }}", 7, b""),
	("reply-added-known", REPLY, "Reply", f"added {{ already_known: true accepted: 1 {TIMES} }}", 8, b""),
	(
		"reply-changed-learn",
		REPLY,
		"Reply",
		"""changed { seq: 4 classes { label: "mug" samples: 2 is_new: true }
		classes { none: true samples: 1 } already_known: 1 hint: "few pictures" us: 9000 op: "learn" }""",
		9,
		b"",
	),
	(
		"reply-changed-rename",
		REPLY,
		"Reply",
		r'changed { seq: 5 us: 800 op: "rename" label: "mug" new_label: "gr\303\266\303\237e" }',
		16,
		b"",
	),
	("reply-changed-forget-none", REPLY, "Reply", 'changed { seq: 6 us: 800 op: "forget" none: true }', 15, b""),
	(
		"reply-changed-undo",
		REPLY,
		"Reply",
		"""changed { seq: 7 us: 800 op: "undo" restored_seq: 5 undid { seq: 6
		time_ms: 1790000000123 op: "forget" none: true } }""",
		17,
		b"",
	),
	(
		"reply-classes",
		REPLY,
		"Reply",
		"""class_list { classes { none: true samples: 4 lessons: 1 first_ms: 1790000000123 last_ms: 1790000000123 }
		classes { label: "mug" samples: 20 lessons: 2 first_ms: 1790000000123
		last_ms: 1790000050000 } more: true seq: 7 total: 2 }""",
		11,
		b"",
	),
	(
		"reply-class-info",
		REPLY,
		"Reply",
		"""class_info { summary { label: "mug" samples: 20 lessons: 1 first_ms: 1790000000123
		last_ms: 1790000000123 } lessons { seq: 4 time_ms: 1790000000123 samples: 20 } }""",
		12,
		b"",
	),
	(
		"reply-history",
		REPLY,
		"Reply",
		"""history_list { entries { seq: 6 time_ms: 1790000070000 op: "undo" restored_seq: 4 }
		entries { seq: 5 time_ms: 1790000060000 op: "rename" undone: true
		label: "mug" new_label: "cup" } entries { seq: 4 time_ms: 1790000000123 op: "learn"
		classes { label: "mug" samples: 20 is_new: true } } more: true seq: 6 }""",
		13,
		b"",
	),
]


def factory():
	"""Message classes of proto/bnnd.proto, compiled in passing."""
	with tempfile.TemporaryDirectory() as folder:
		out = pathlib.Path(folder) / "set"
		subprocess.run(
			["protoc", f"--proto_path={ROOT / 'proto'}", f"--descriptor_set_out={out}", "bnnd.proto"], check=True
		)
		files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
	pool = descriptor_pool.DescriptorPool()
	for file in files.file:
		pool.Add(file)
	return lambda name: message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName("bnnd." + name))


def hex_lines(data):
	"""The header on a line of its own, then 32 bytes a line."""
	rest = data[16:]
	lines = [data[:16].hex(" ", -4)] + [rest[i : i + 32].hex(" ", -4) for i in range(0, len(rest), 32)]
	return "\n".join(lines) + "\n"


def frames():
	make = factory()
	for name, kind, message, text, request_id, payload in FRAMES:
		body, shown = b"", ""
		if message:
			m = text_format.Parse(text, make(message)())
			body = m.SerializeToString(deterministic=True)
			shown = message + " { " + text_format.MessageToString(m, as_one_line=True) + " }"
		data = struct.pack(">IIIHH", len(body), len(payload), request_id, kind, 0) + body + payload
		note = f"# {shown}\n" if shown else "# no body\n"
		note += f"# payload of {len(payload)} bytes\n" if payload else ""
		yield name, note, data


def files():
	"""{path: bytes}."""
	return {FOLDER / f"{name}.hex": (note + hex_lines(data)).encode() for name, note, data in frames()}


if __name__ == "__main__":
	for path, data in files().items():
		path.write_bytes(data)
