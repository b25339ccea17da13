"""The store's files as keystone-log(5) describes them, read and written byte by byte.

Independent of the daemon's code on purpose: a mistake there is not repeated here.
"""

import os
import struct
import time
import zlib
from collections import namedtuple

MAGIC = b"KEYSTONE"
HEADER = struct.Struct("<8sIIQ16sQQI")  # and a CRC-32 behind it
HEADER_SIZE = 64
RECORD = struct.Struct("<IIQIHH")  # header_crc body_crc sequence value_size key_size flags
RECORD_SIZE = 24
TOMBSTONE = 0xFFFFFFFF
GROUP_GOES_ON, HAS_ATTRIBUTES, SYNC_MARK = 1, 2, 4
SYNC_MARK_SIZE = RECORD_SIZE + 8

# value is None for a tombstone; `end` is the offset behind the record.
Record = namedtuple("Record", "offset end sequence key value flags attributes")
# problem is None where the records reach to the end of the file or to its zeros.
Segment = namedtuple("Segment", "number store_id first_sequence records end problem")
Manifest = namedtuple("Manifest", "store_id seed segments")
# entries is a list of HintEntry, blocks a list of (size, entries, crc) for each shard.
Hint = namedtuple("Hint", "number store_id seed covered records last_sequence last_offset "
                          "last_bytes segment_crc blocks entries")
# expires_at_ms is None where the record has no attributes.
HintEntry = namedtuple("HintEntry", "shard tag size offset flags key expires_at_ms",
                       defaults=[None])
HINT_HEADER = struct.Struct("<8sIIQ16sQQQQQ8sII")  # then the directory
HINT_BLOCK = struct.Struct("<QII")
HINT_ENTRY = struct.Struct("<IIQHH")
HINT_EXPIRY = struct.Struct("<Q")
HINT_VERSION = 2
HINT_SHARDS = 256
HINT_HEADER_SIZE = HINT_HEADER.size + HINT_SHARDS * HINT_BLOCK.size + 8
HINT_TOMBSTONE, HINT_ATTRIBUTES = 1, 2


class FormatError(Exception):
    """Bytes that are not what the format says."""


def crc32(data):
    return zlib.crc32(data) & 0xFFFFFFFF


def segment_name(number):
    return "%012d.log" % number


def hint_name(number):
    return "%012d.hint" % number


# ---- writing

def encode_header(number, store_id, first_sequence=1, version=1, flags=0):
    data = HEADER.pack(MAGIC, version, flags, number, store_id, first_sequence,
                       int(time.time() * 1000), 0)
    return data + struct.pack("<I", crc32(data))


def encode_record(sequence, key, value, flags=0, attributes=None):
    """value None makes a tombstone; attributes are (client_flags, expires_at_ms)."""
    body = key + (value or b"")
    if attributes:
        flags |= HAS_ATTRIBUTES
        body = struct.pack("<IQ", *attributes) + body
    value_size = TOMBSTONE if value is None else len(value)
    return _with_header(sequence, value_size, len(key), flags, body)


def encode_sync_mark(sequence, offset):
    return _with_header(sequence, 8, 0, SYNC_MARK, struct.pack("<Q", offset))


def _with_header(sequence, value_size, key_size, flags, body):
    covered = struct.pack("<IQIHH", crc32(body), sequence, value_size, key_size, flags)
    return struct.pack("<I", crc32(covered)) + covered + body


def encode_manifest(store_id, segments, seed="9e3779b97f4a7c15", version=1):
    lines = ["keystonelight-manifest %d" % version, "store " + store_id.hex(), "seed " + seed]
    lines += ["segment %012d" % number for number in segments]
    text = "".join(line + "\n" for line in lines).encode()
    return text + b"crc32 %08x\n" % crc32(text)


class Log:
    """Makes one segment: records that number themselves, and knows where each one starts."""

    def __init__(self, number=1, store_id=bytes(range(16)), sequence=1):
        self.number = number
        self.store_id = store_id
        self.sequence = sequence
        self.offsets = []
        self.data = bytearray(encode_header(number, store_id, sequence))

    def append(self, data):
        self.offsets.append(len(self.data))
        self.data += data
        self.sequence += 1
        return self

    def set(self, key, value, flags=0, attributes=None):
        return self.append(encode_record(self.sequence, key, value, flags, attributes))

    def delete(self, key, flags=0):
        return self.append(encode_record(self.sequence, key, None, flags))

    def mark(self, offset=None):
        """A sync mark; by default it claims all that stands before it."""
        return self.append(encode_sync_mark(self.sequence,
                                            len(self.data) if offset is None else offset))

    def next(self):
        """The log that follows this one."""
        return Log(self.number + 1, self.store_id, self.sequence)


def write_file(path, data):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def write_store(directory, *logs):
    """Makes a data directory of these logs, the last one active."""
    os.makedirs(directory, 0o700, exist_ok=True)
    os.chmod(directory, 0o700)
    for log in logs:
        write_file(os.path.join(directory, segment_name(log.number)), log.data)
    write_file(os.path.join(directory, "MANIFEST"),
               encode_manifest(logs[0].store_id, [log.number for log in logs]))


# ---- reading

def parse_record(data, offset):
    """The record at offset; FormatError says what is wrong with it."""
    if len(data) - offset < RECORD_SIZE:
        raise FormatError("the file ends inside a record header")
    header_crc, body_crc, sequence, value_size, key_size, flags = RECORD.unpack_from(data, offset)
    if crc32(data[offset + 4:offset + RECORD_SIZE]) != header_crc:
        raise FormatError("header checksum")
    start = offset + RECORD_SIZE
    attributes_size = 12 if flags & HAS_ATTRIBUTES else 0
    value_start = start + attributes_size + key_size
    end = value_start + (0 if value_size == TOMBSTONE else value_size)
    if end > len(data):
        raise FormatError("the file ends inside a record")
    if crc32(data[start:end]) != body_crc:
        raise FormatError("body checksum")
    if flags & ~(GROUP_GOES_ON | HAS_ATTRIBUTES | SYNC_MARK):
        raise FormatError("unknown flag")
    if (key_size == 0) != bool(flags & SYNC_MARK):
        raise FormatError("key size")
    attributes = struct.unpack_from("<IQ", data, start) if attributes_size else None
    value = None if value_size == TOMBSTONE else bytes(data[value_start:end])
    key = bytes(data[start + attributes_size:value_start])
    return Record(offset, end, sequence, key, value, flags, attributes)


def parse_segment(data):
    """Reads records as far as they are intact."""
    if len(data) < HEADER_SIZE or data[:8] != MAGIC:
        raise FormatError("no segment header")
    _, version, flags, number, store_id, first, _, zero = HEADER.unpack_from(data)
    if crc32(data[:60]) != struct.unpack_from("<I", data, 60)[0]:
        raise FormatError("segment header checksum")
    if (version, flags, zero) != (1, 0, 0):
        raise FormatError("format version %d, flags %d" % (version, flags))
    records, offset, problem = [], HEADER_SIZE, None
    while offset < len(data) and any(data[offset:offset + RECORD_SIZE]):
        try:
            record = parse_record(data, offset)
        except FormatError as error:
            problem = str(error)
            break
        records.append(record)
        offset = record.end
    if problem is None and data[offset:].strip(b"\0"):
        problem = "bytes behind the zeros"
    return Segment(number, store_id, first, records, offset, problem)


def parse_manifest(data):
    text, _, last = data.rpartition(b"crc32 ")
    if last != b"%08x\n" % crc32(text):
        raise FormatError("MANIFEST checksum")
    lines = [line.split(" ") for line in text.decode().splitlines()]
    words = [line[0] for line in lines]
    if lines[0][1] != "1" or words[:3] != ["keystonelight-manifest", "store", "seed"]:
        raise FormatError("MANIFEST head")
    if set(words[3:]) != {"segment"}:
        raise FormatError("MANIFEST segments")
    return Manifest(bytes.fromhex(lines[1][1]), lines[2][1], [int(line[1]) for line in lines[3:]])


def read_file(*names):
    with open(os.path.join(*names), "rb") as file:
        return file.read()


def read_store(directory):
    """The MANIFEST and the segments it names, in order; strict about all but the last one."""
    manifest = parse_manifest(read_file(directory, "MANIFEST"))
    segments = [parse_segment(read_file(directory, segment_name(n))) for n in manifest.segments]
    for number, segment in zip(manifest.segments, segments):
        if segment.number != number or segment.store_id != manifest.store_id:
            raise FormatError("segment %d is a stranger" % number)
    for segment in segments[:-1]:
        if segment.problem:
            raise FormatError("segment %d: %s" % (segment.number, segment.problem))
    return manifest, segments


def replay(segments, now_ms=0):
    """What the records add up to: a dictionary. Unfinished groups don't count, nor does what has
    expired by now_ms."""
    found, group, last = {}, [], 0
    for segment in segments:
        for record in segment.records:
            if record.sequence <= last:
                raise FormatError("sequence %d after %d" % (record.sequence, last))
            last = record.sequence
            group.append(record)
            if record.flags & GROUP_GOES_ON:
                continue
            for member in group:
                if member.value is None or 0 < (member.attributes or (0, 0))[1] <= now_ms:
                    found.pop(member.key, None)
                elif not member.flags & SYNC_MARK:
                    found[member.key] = member.value
            group = []
        group = []
    return found


# ---- hints

def parse_hint(data):
    """A whole hint, with every check that needs no segment."""
    if len(data) < HINT_HEADER_SIZE:
        raise FormatError("no hint header")
    (magic, version, flags, number, store_id, seed, covered, records, last_sequence, last_offset,
     last_bytes, segment_crc, zero) = HINT_HEADER.unpack_from(data)
    crc_at = HINT_HEADER_SIZE - 8
    if struct.unpack_from("<II", data, crc_at) != (crc32(data[:crc_at]), 0):
        raise FormatError("hint header checksum")
    if (magic, version, flags, zero) != (b"KEYSHINT", HINT_VERSION, 0, 0):
        raise FormatError("hint version %d, flags %d" % (version, flags))
    blocks, entries, offset = [], [], HINT_HEADER_SIZE
    for shard in range(HINT_SHARDS):
        size, count, crc = HINT_BLOCK.unpack_from(data, HINT_HEADER.size + shard * HINT_BLOCK.size)
        block = data[offset:offset + size]
        if len(block) != size or crc32(block) != crc:
            raise FormatError("block of shard %d" % shard)
        found = list(parse_hint_block(shard, block))
        if len(found) != count or found != sorted(found, key=lambda e: (e.tag, e.offset)):
            raise FormatError("entries of shard %d" % shard)
        blocks.append((size, count, crc))
        entries += found
        offset += size
    if offset != len(data):
        raise FormatError("hint size")
    return Hint(number, store_id, seed, covered, records, last_sequence, last_offset, last_bytes,
                segment_crc, blocks, entries)


def parse_hint_block(shard, block):
    offset = 0
    while offset < len(block):
        tag, size, place, key_size, flags = HINT_ENTRY.unpack_from(block, offset)
        start, expires_at_ms = offset + HINT_ENTRY.size, None
        if flags & HINT_ATTRIBUTES:
            expires_at_ms, = HINT_EXPIRY.unpack_from(block, start)
            start += HINT_EXPIRY.size
        yield HintEntry(shard, tag, size, place, flags, bytes(block[start:start + key_size]),
                        expires_at_ms)
        offset = start + key_size


def encode_hint_entry(entry, version):
    data = HINT_ENTRY.pack(entry.tag, entry.size, entry.offset, len(entry.key), entry.flags)
    if version > 1 and entry.flags & HINT_ATTRIBUTES:
        data += HINT_EXPIRY.pack(entry.expires_at_ms)
    return data + entry.key


def encode_hint(hint, version=HINT_VERSION):
    """With the blocks that its entries make; version 1 did not tell when a record expires."""
    blocks = [b"".join(encode_hint_entry(entry, version) for entry in hint.entries
                       if entry.shard == shard) for shard in range(HINT_SHARDS)]
    header = HINT_HEADER.pack(b"KEYSHINT", version, 0, hint.number, hint.store_id, hint.seed,
                              hint.covered, hint.records, hint.last_sequence, hint.last_offset,
                              hint.last_bytes, hint.segment_crc, 0)
    for shard, block in enumerate(blocks):
        count = sum(e.shard == shard for e in hint.entries)
        header += HINT_BLOCK.pack(len(block), count, crc32(block))
    return header + struct.pack("<II", crc32(header), 0) + b"".join(blocks)


def check_hint(hint, data):
    """FormatError where the hint is not that of all bytes of a segment's file."""
    segment = parse_segment(data)
    if (hint.number, hint.store_id) != (segment.number, segment.store_id):
        raise FormatError("hint of another segment")
    if hint.segment_crc != struct.unpack_from("<I", data, 60)[0]:
        raise FormatError("segment_crc")
    last = segment.records[-1] if segment.records else None
    told = (hint.covered, hint.records, hint.last_sequence, hint.last_offset, hint.last_bytes)
    if last is None:
        expected = (HEADER_SIZE, 0, 0, 0, bytes(8))
    else:
        expected = (segment.end, len(segment.records), last.sequence, last.offset,
                    data[last.offset:last.offset + 8])
    if told != expected:
        raise FormatError("hint says %r, not %r" % (told, expected))
    found = {e.key: (e.offset, e.size, e.flags, e.expires_at_ms) for e in hint.entries}
    if len(found) != len(hint.entries) or found != last_operations(segment):
        raise FormatError("entries")


def last_operations(segment):
    """key -> (offset, size, flags of a hint, expires_at_ms)"""
    return {r.key: (r.offset, r.end - r.offset,
                    (HINT_TOMBSTONE if r.value is None else 0) |
                    (HINT_ATTRIBUTES if r.attributes else 0),
                    r.attributes[1] if r.attributes else None)
            for r in segment.records if not r.flags & SYNC_MARK}


# ---- damage

def flip_bit(path, offset, bit=0):
    """Changes one bit of a file in place; doing it twice undoes it."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))
