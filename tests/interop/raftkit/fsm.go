package main

import (
	"errors"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// A newestPayload keeps the payload of the highest block and nothing else, as op-conductor's state
// machine does; like that one it has no snapshot before the first payload.
type newestPayload struct {
	mutex   sync.Mutex
	payload []byte
	applied int
}

var errNoPayload = errors.New("no payload yet")

// state is the newest payload, and how many commands were applied since the node started.
func (f *newestPayload) state() ([]byte, int) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.payload, f.applied
}

// height is the block of the newest payload, or 0.
func (f *newestPayload) height() uint64 {
	payload, _ := f.state()
	return blockOf(payload)
}

func (f *newestPayload) Apply(entry *raft.Log) any {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if blockOf(entry.Data) > blockOf(f.payload) {
		f.payload = append([]byte(nil), entry.Data...)
	}
	f.applied++
	return nil
}

func (f *newestPayload) Snapshot() (raft.FSMSnapshot, error) {
	payload, _ := f.state()
	if payload == nil {
		return nil, errNoPayload
	}
	return payloadSnapshot(payload), nil
}

func (f *newestPayload) Restore(source io.ReadCloser) error {
	defer source.Close()
	payload, err := io.ReadAll(source)
	if err != nil {
		return err
	}
	if blockOf(payload) == 0 {
		return errNoPayload
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.payload = payload
	return nil
}

type payloadSnapshot []byte

func (s payloadSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s payloadSnapshot) Release() {}
