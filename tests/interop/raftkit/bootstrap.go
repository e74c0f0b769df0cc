package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// bootstrap makes the directories of a new cluster's nodes, each as BootstrapCluster makes its own.
func bootstrap(arguments []string) (any, error) {
	flags := flag.NewFlagSet("bootstrap", flag.ContinueOnError)
	nodes := flags.Int("nodes", 3, "how many there are, all of them voters")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	dir, err := only(flags.Args(), "state directory")
	if err != nil {
		return nil, err
	}
	var members raft.Configuration
	for number := 1; number <= *nodes; number++ {
		members.Servers = append(members.Servers, raft.Server{
			ID:      raft.ServerID(fmt.Sprintf("sequencer-%d", number)),
			Address: raft.ServerAddress(fmt.Sprintf("sequencer-%d:50050", number)),
		})
	}
	ids := []string{}
	for _, server := range members.Servers {
		if err := bootstrapNode(filepath.Join(dir, string(server.ID)), server, members); err != nil {
			return nil, err
		}
		ids = append(ids, string(server.ID))
	}
	return ids, nil
}

// bootstrapNode waits for the disk, as a conductor does.
func bootstrapNode(dir string, self raft.Server, members raft.Configuration) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	logs, err := raftboltdb.NewBoltStore(filepath.Join(dir, logFile))
	if err != nil {
		return err
	}
	defer logs.Close()
	stable, err := raftboltdb.NewBoltStore(filepath.Join(dir, stableFile))
	if err != nil {
		return err
	}
	defer stable.Close()
	config := raft.DefaultConfig()
	config.LocalID = self.ID
	_, transport := raft.NewInmemTransport(self.Address)
	return raft.BootstrapCluster(config, logs, stable, raft.NewDiscardSnapshotStore(), transport, members)
}
