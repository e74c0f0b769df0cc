package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

const (
	liveHeartbeat = 100 * time.Millisecond
	liveDeadline  = 30 * time.Second
)

// live leaves the directories of three nodes that were bootstrapped the usual way and have lived:
// commits, changes of the membership, snapshots, compacted logs, commits after them.
func live(dir string) error {
	var running group
	if err := runLive(dir, &running); err != nil {
		running.stop()
		return err
	}
	return running.stop()
}

func runLive(dir string, running *group) error {
	first, err := startBlank(running, dir, "node-1")
	if err != nil {
		return err
	}
	err = first.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{
		{ID: "node-1", Address: first.transport.LocalAddr()},
	}}).Error()
	if err != nil {
		return err
	}
	if err := commitMany(running, 20); err != nil {
		return err
	}
	second, err := startBlank(running, dir, "node-2")
	if err != nil {
		return err
	}
	third, err := startBlank(running, dir, "node-3")
	if err != nil {
		return err
	}
	changes := []func(*raft.Raft) raft.IndexFuture{
		func(leader *raft.Raft) raft.IndexFuture {
			return leader.AddVoter("node-2", second.transport.LocalAddr(), 0, time.Second)
		},
		func(leader *raft.Raft) raft.IndexFuture {
			return leader.AddNonvoter("node-3", third.transport.LocalAddr(), 0, time.Second)
		},
		func(leader *raft.Raft) raft.IndexFuture {
			return leader.AddNonvoter("node-4", "10.9.8.7:50050", 0, time.Second)
		},
		func(leader *raft.Raft) raft.IndexFuture {
			return leader.RemoveServer("node-4", 0, time.Second)
		},
		func(leader *raft.Raft) raft.IndexFuture {
			return leader.AddVoter("node-3", third.transport.LocalAddr(), 0, time.Second)
		},
	}
	for _, change := range changes {
		err := running.await(liveDeadline, func() error {
			leader := running.leader()
			if leader == nil {
				return fmt.Errorf("nobody leads")
			}
			return change(leader.raft).Error()
		})
		if err != nil {
			return err
		}
	}
	if err := commitMany(running, 30); err != nil {
		return err
	}
	if err := running.snapshotAll(); err != nil {
		return err
	}
	return commitMany(running, 25)
}

// startBlank starts a node on an empty directory, at an address that the system chooses.
func startBlank(running *group, dir, id string) (*node, error) {
	transport, err := listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	one := member{id: id, dir: filepath.Join(dir, id)}
	if err := running.startOn(one, settings(id, liveHeartbeat), transport); err != nil {
		return nil, err
	}
	return running.nodes[len(running.nodes)-1], nil
}

func commitMany(running *group, count int) error {
	for number := 1; number <= count; number++ {
		if err := running.commitNext(payloadBytesMin+10*number, liveDeadline); err != nil {
			return err
		}
	}
	_, err := running.settle(liveDeadline)
	return err
}

// recovered is what raft.RecoverCluster leaves of one node of such a cluster: an empty log and a
// snapshot with the new configuration.
func recovered(dir string) error {
	if err := live(dir); err != nil {
		return err
	}
	opened, err := openStores(filepath.Join(dir, "node-1"))
	if err != nil {
		return err
	}
	_, transport := raft.NewInmemTransport("")
	err = raft.RecoverCluster(settings("node-1", time.Second), &newestPayload{},
		opened.logs, opened.stable, opened.snapshots, transport, someServers())
	if err != nil {
		opened.close()
		return err
	}
	return opened.close()
}
