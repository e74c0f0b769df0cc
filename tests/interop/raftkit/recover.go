package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

const (
	rejoinHeartbeat = 100 * time.Millisecond
	rejoinDeadline  = 30 * time.Second
)

// recoverNode has Raft itself recover one node's directory, in place, with other members.
func recoverNode(arguments []string) (any, error) {
	flags := flag.NewFlagSet("recover", flag.ContinueOnError)
	members := flags.String("members", "", "id=host:port,...: all members from now on")
	nonvoters := flags.String("nonvoters", "", "id,...: those that do not vote")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	dir, err := only(flags.Args(), "node directory")
	if err != nil {
		return nil, err
	}
	configuration, err := parseMembers(*members, *nonvoters)
	if err != nil {
		return nil, err
	}
	opened, err := openStores(dir)
	if err != nil {
		return nil, err
	}
	_, transport := raft.NewInmemTransport("")
	err = raft.RecoverCluster(settings(filepath.Base(dir), time.Second), &newestPayload{},
		opened.logs, opened.stable, opened.snapshots, transport, configuration)
	if err != nil {
		opened.close()
		return nil, err
	}
	if err := opened.close(); err != nil {
		return nil, err
	}
	return snapshots([]string{dir})
}

func parseMembers(members, nonvoters string) (raft.Configuration, error) {
	var configuration raft.Configuration
	for _, text := range strings.Split(members, ",") {
		id, address, found := strings.Cut(text, "=")
		if !found {
			return configuration, fmt.Errorf("%q is not id=host:port", text)
		}
		server := raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(address)}
		for _, name := range strings.Split(nonvoters, ",") {
			if name == id {
				server.Suffrage = raft.Nonvoter
			}
		}
		configuration.Servers = append(configuration.Servers, server)
	}
	return configuration, nil
}

// rejoin starts a cluster of which some members have a state and the others, whom the former know by
// their addresses, have nothing; it reports all of them once they agree.
func rejoin(arguments []string) (report any, err error) {
	flags := flag.NewFlagSet("rejoin", flag.ContinueOnError)
	commits := flags.Int("commits", 3, "commands to commit")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	dir, err := only(flags.Args(), "state directory")
	if err != nil {
		return nil, err
	}
	members, err := allMembers(dir)
	if err != nil {
		return nil, err
	}
	var running group
	defer func() {
		if stopped := running.stop(); err == nil {
			err = stopped
		}
	}()
	if err := running.startAll(members, "", rejoinHeartbeat); err != nil {
		return nil, err
	}
	for number := 0; number < *commits; number++ {
		// Whoever leads must have applied what is there before the next block is known.
		if _, err := running.settle(rejoinDeadline); err != nil {
			return nil, err
		}
		if err := running.commitNext(0, rejoinDeadline); err != nil {
			return nil, err
		}
	}
	if _, err := running.settle(rejoinDeadline); err != nil {
		return nil, err
	}
	reports := []nodeReport{}
	for _, one := range running.nodes {
		described, err := one.describe()
		if err != nil {
			return nil, err
		}
		reports = append(reports, described)
	}
	return reports, nil
}

// allMembers are those with a directory, and whom these name besides.
func allMembers(dir string) ([]member, error) {
	persisted := map[string][]serverReport{}
	members, err := findMembers(dir, persisted)
	if err != nil {
		return nil, err
	}
	for _, server := range persisted[members[0].id] {
		if _, known := persisted[server.ID]; known {
			continue
		}
		empty := filepath.Join(dir, server.ID)
		if err := os.Mkdir(empty, 0o755); err != nil {
			return nil, err
		}
		members = append(members, member{id: server.ID, dir: empty, address: server.Address})
	}
	return members, nil
}
