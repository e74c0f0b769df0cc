package main

import (
	"encoding/binary"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
)

// pattern makes bytes that differ for every index and at every position, without randomness.
func pattern(index uint64, size int) []byte {
	data := make([]byte, size+8)
	state := index*0x9e3779b97f4a7c15 + 1
	for at := 0; at < size; at += 8 {
		// The xorshift generator: cheap, and any misplaced page shows.
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		binary.LittleEndian.PutUint64(data[at:], state)
	}
	return data[:size]
}

// moment is a time of appending with the precision that Raft keeps.
func moment(index uint64) time.Time {
	return time.Unix(1752244856, 123456789).Add(time.Duration(index) * time.Millisecond).UTC()
}

// smallEntries are what most logs hold: commands, with a no-op where a leader began.
func smallEntries(first, count uint64, dataBytes int) []*raft.Log {
	entries := make([]*raft.Log, 0, count)
	for index := first; index < first+count; index++ {
		entry := &raft.Log{Index: index, Term: 1 + index/500, AppendedAt: moment(index)}
		if index%500 == 0 {
			entry.Type = raft.LogNoop
		} else {
			entry.Data = pattern(index, dataBytes)
		}
		entries = append(entries, entry)
	}
	return entries
}

// oddEntries hold every form that a field can have, at the borders of its encodings.
func oddEntries() []*raft.Log {
	var entries []*raft.Log
	add := func(entry raft.Log) {
		entry.Index = uint64(len(entries)) + 1
		entry.Term = max(entry.Term, 1)
		entries = append(entries, &entry)
	}
	add(raft.Log{Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(someServers())})
	add(raft.Log{Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(raft.Configuration{})})
	add(raft.Log{Type: raft.LogNoop})
	add(raft.Log{Type: raft.LogBarrier})
	add(raft.Log{Data: []byte{}})
	add(raft.Log{Data: []byte("hello"), Extensions: []byte("extension")})
	add(raft.Log{Extensions: []byte{}})
	add(raft.Log{Type: raft.LogType(9), Data: []byte("of a later version")})
	for _, size := range []int{1, 31, 32, 255, 256, 4096, 65535, 65536, 100_000} {
		add(raft.Log{Data: pattern(uint64(size), size)})
	}
	for _, term := range []uint64{127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1 << 63, 1<<64 - 1} {
		add(raft.Log{Term: term})
	}
	for _, at := range oddTimes() {
		add(raft.Log{AppendedAt: at})
	}
	for _, index := range []uint64{127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<64 - 2} {
		entries = append(entries, &raft.Log{Index: index, Term: 7, Data: []byte("far")})
	}
	return entries
}

// oddTimes are inside what both time formats can hold; the newer one keeps no zone.
func oddTimes() []time.Time {
	zone := func(seconds int) *time.Location { return time.FixedZone("", seconds) }
	return []time.Time{
		moment(1),
		moment(1).In(zone(2 * 3600)),
		moment(1).In(zone(-7 * 3600)),
		moment(1).In(zone(0)),
		moment(1).In(zone(5*3600 + 1830)),
		time.Unix(0, 0).UTC(),
		time.Unix(0, 1).UTC(),
		time.Unix(-1, 999_999_999).UTC(),
		time.Date(1901, 2, 3, 4, 5, 6, 7, time.UTC),
		time.Unix(1<<32-1, 0).UTC(),
		time.Unix(1<<32, 5).UTC(),
		time.Date(2514, 5, 30, 1, 53, 4, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	}
}

func someServers() raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{
		{Suffrage: raft.Voter, ID: "sequencer-1", Address: "10.0.0.1:50050"},
		{Suffrage: raft.Nonvoter, ID: "sequencer-2", Address: "[::1]:50050"},
		{
			Suffrage: raft.Staging,
			ID:       "sequencer-3",
			Address:  "sequencer-3.conductor.some-namespace.svc.cluster.local:50050",
		},
	}}
}

// peerEntries are membership changes as raft wrote them before it had configurations.
func peerEntries() ([]*raft.Log, error) {
	var entries []*raft.Log
	for number, kind := range []raft.LogType{raft.LogAddPeerDeprecated, raft.LogRemovePeerDeprecated} {
		addresses := [][]byte{[]byte("127.0.0.1:7001"), []byte("sequencer-2.internal:7001")}
		var data []byte
		encoder := codec.NewEncoderBytes(&data, &codec.MsgpackHandle{})
		if err := encoder.Encode(addresses[number:]); err != nil {
			return nil, err
		}
		entries = append(entries, &raft.Log{Index: uint64(number) + 1, Term: 1, Type: kind, Data: data})
	}
	return entries, nil
}
