package main

import (
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// An election is one moment at which a node began to lead.
type election struct {
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
}

// elections are kept in the order in which they happened, over all nodes.
type elections struct {
	mutex sync.Mutex
	all   []election
}

func (e *elections) add(one election) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.all = append(e.all, one)
}

func (e *elections) list() []election {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return append([]election{}, e.all...)
}

// stores are what a node directory holds, opened as op-conductor opens it.
type stores struct {
	logs      *raftboltdb.BoltStore
	stable    *raftboltdb.BoltStore
	snapshots *raft.FileSnapshotStore
}

func openStores(dir string) (*stores, error) {
	snapshots, err := raft.NewFileSnapshotStore(dir, 1, io.Discard)
	if err != nil {
		return nil, err
	}
	logs, err := openBoltStore(filepath.Join(dir, logFile))
	if err != nil {
		return nil, err
	}
	stable, err := openBoltStore(filepath.Join(dir, stableFile))
	if err != nil {
		logs.Close()
		return nil, err
	}
	return &stores{logs, stable, snapshots}, nil
}

// openBoltStore does not wait for the disk: these nodes only ever stop in an orderly way.
func openBoltStore(path string) (*raftboltdb.BoltStore, error) {
	return raftboltdb.New(raftboltdb.Options{
		Path:        path,
		NoSync:      true,
		BoltOptions: &bbolt.Options{Timeout: lockTimeout},
	})
}

func (s *stores) close() error {
	if err := s.logs.Close(); err != nil {
		return err
	}
	return s.stable.Close()
}

// A node is one running Raft server with its stores.
type node struct {
	id        string
	raft      *raft.Raft
	machine   *newestPayload
	stores    *stores
	transport *raft.NetworkTransport
	noticed   chan struct{}
	notices   chan bool
}

// settings are op-conductor's, with times short enough for tests.
func settings(id string, heartbeat time.Duration) *raft.Config {
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(id)
	config.HeartbeatTimeout = heartbeat
	config.ElectionTimeout = heartbeat
	config.LeaderLeaseTimeout = heartbeat
	config.CommitTimeout = 5 * time.Millisecond
	// A snapshot leaves a few entries behind, as it does in a conductor.
	config.TrailingLogs = 10
	config.Logger = hclog.NewNullLogger()
	return config
}

// startNode starts a server on what its directory holds, and only that: nothing is bootstrapped.
func startNode(dir string, config *raft.Config, transport *raft.NetworkTransport, seen *elections) (*node, error) {
	opened, err := openStores(dir)
	if err != nil {
		transport.Close()
		return nil, fmt.Errorf("node %s: %w", config.LocalID, err)
	}
	started := &node{
		id:        string(config.LocalID),
		machine:   &newestPayload{},
		stores:    opened,
		transport: transport,
		noticed:   make(chan struct{}),
		notices:   make(chan bool, 16),
	}
	config.NotifyCh = started.notices
	started.raft, err = raft.NewRaft(
		config, started.machine, opened.logs, opened.stable, opened.snapshots, transport)
	if err != nil {
		opened.close()
		transport.Close()
		return nil, fmt.Errorf("node %s: %w", config.LocalID, err)
	}
	go started.recordElections(seen)
	return started, nil
}

func (n *node) recordElections(seen *elections) {
	defer close(n.noticed)
	for leads := range n.notices {
		if leads {
			seen.add(election{n.id, n.raft.CurrentTerm()})
		}
	}
}

// close waits for the end of a node that was shut down, and then gives its directory back.
func (n *node) close(end raft.Future) error {
	if err := end.Error(); err != nil {
		return err
	}
	close(n.notices)
	<-n.noticed
	return n.stores.close()
}

// listen opens a transport on the address itself, which a host name may give.
func listen(address string) (*raft.NetworkTransport, error) {
	return raft.NewTCPTransportWithConfig(address, nil, &raft.NetworkTransportConfig{
		MaxPool: 3,
		Timeout: 2 * time.Second,
		Logger:  hclog.NewNullLogger(),
	})
}
