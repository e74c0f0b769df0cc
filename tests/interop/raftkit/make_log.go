package main

import (
	"flag"
	"fmt"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// commitBytes is how much make-log puts into one transaction.
const commitBytes = 64 << 20

// makeLog makes the stores of a node whose log holds a configuration and then payloads.
func makeLog(arguments []string) (any, error) {
	flags := flag.NewFlagSet("make-log", flag.ContinueOnError)
	entries := flags.Int("entries", 10_000, "entries of the log, the configuration included")
	valueBytes := flags.Int("value-bytes", 500_000, "bytes of each payload")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	dir, err := only(flags.Args(), "node directory")
	if err != nil {
		return nil, err
	}
	if *entries < 1 || *valueBytes < payloadBytesMin {
		return nil, fmt.Errorf("want an entry and at least %d bytes for each", payloadBytesMin)
	}
	if err := fillNode(dir, *entries, *valueBytes); err != nil {
		return nil, err
	}
	return databases(dir)
}

func fillNode(dir string, entries, valueBytes int) error {
	opened, err := createStores(dir, int64(entries)*int64(valueBytes))
	if err != nil {
		return err
	}
	defer opened.close()
	if err := opened.stable.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		return err
	}
	members := &raft.Log{
		Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(threeVoters()),
	}
	if err := opened.logs.StoreLog(members); err != nil {
		return err
	}
	// All entries of a commit are in memory at once: one buffer for each, used again and again.
	batch := make([]*raft.Log, max(1, min(1000, commitBytes/valueBytes)))
	for number := range batch {
		batch[number] = &raft.Log{Term: 1, Data: pattern(uint64(number), valueBytes)}
	}
	for index := 2; index <= entries; {
		count := min(len(batch), entries-index+1)
		for _, entry := range batch[:count] {
			entry.Index = uint64(index)
			entry.AppendedAt = moment(entry.Index)
			makePayload(entry.Data, entry.Index)
			index++
		}
		if err := opened.logs.StoreLogs(batch[:count]); err != nil {
			return err
		}
	}
	return opened.logs.Sync()
}

// createStores maps the whole log from the beginning: growing the map again and again takes longer.
func createStores(dir string, bytes int64) (*stores, error) {
	created, err := openStores(dir)
	if err != nil {
		return nil, err
	}
	if err := created.logs.Close(); err != nil {
		return nil, err
	}
	created.logs, err = raftboltdb.New(raftboltdb.Options{
		Path:        filepath.Join(dir, logFile),
		NoSync:      true,
		BoltOptions: &bbolt.Options{InitialMmapSize: int(bytes + bytes/10)},
	})
	return created, err
}

func threeVoters() raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{
		{ID: "sequencer-1", Address: "10.0.0.1:50050"},
		{ID: "sequencer-2", Address: "10.0.0.2:50050"},
		{ID: "sequencer-3", Address: "10.0.0.3:50050"},
	}}
}
