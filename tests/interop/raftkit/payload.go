package main

import "encoding/binary"

// Where the fields of an execution payload envelope of version 3 are: the SSZ encoding of the parent
// beacon block root, and of a payload whose one transaction fills it up.
const (
	envelopeBytes     = 32
	payloadFixedBytes = 528
	blockNumberAt     = envelopeBytes + 404
	extraDataAt       = envelopeBytes + 436
	blockHashAt       = envelopeBytes + 472
	transactionsAt    = envelopeBytes + 504
	withdrawalsAt     = envelopeBytes + 508
	payloadBytesMin   = envelopeBytes + payloadFixedBytes + 4
)

// newPayload makes the payload of a block; it differs from that of any other, and of another size.
func newPayload(block uint64, size int) []byte {
	buffer := pattern(block, max(size, payloadBytesMin))
	makePayload(buffer, block)
	return buffer
}

// blockOf is the number in a payload, or 0 for bytes that are none.
func blockOf(payload []byte) uint64 {
	if len(payload) < payloadBytesMin {
		return 0
	}
	return binary.LittleEndian.Uint64(payload[blockNumberAt:])
}

// makePayload fills a buffer with the payload of a block; the rest of the buffer is its transaction.
func makePayload(buffer []byte, block uint64) {
	payloadBytes := uint32(len(buffer) - envelopeBytes)
	binary.LittleEndian.PutUint64(buffer[blockNumberAt:], block)
	binary.LittleEndian.PutUint32(buffer[extraDataAt:], payloadFixedBytes)
	copy(buffer[blockHashAt:blockHashAt+32], pattern(block, 32))
	copy(buffer[envelopeBytes:envelopeBytes+32], pattern(block-1, 32))
	binary.LittleEndian.PutUint32(buffer[transactionsAt:], payloadFixedBytes)
	binary.LittleEndian.PutUint32(buffer[withdrawalsAt:], payloadBytes)
	binary.LittleEndian.PutUint32(buffer[envelopeBytes+payloadFixedBytes:], 4)
}
