package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// holdPause is what a cluster that is held rests between commits: a copy that was made in between is
// to be possible, but not the rule.
const holdPause = 3 * time.Millisecond

// A clusterPlan is what to do with the directories of a cluster.
type clusterPlan struct {
	dir       string
	inPlace   bool
	rounds    int
	commits   int
	size      int
	hold      bool
	restarts  int
	snapshot  bool
	late      string
	heartbeat time.Duration
	deadline  time.Duration
}

// A roundReport is one life of a cluster from its directories.
type roundReport struct {
	// Persisted is what Raft takes each directory's configuration to be, before any node has run.
	Persisted map[string][]serverReport `json:"persisted"`
	// Phases are the first start and the restarts.
	Phases []phaseReport `json:"phases"`
	// CheckErrors are what bbolt finds in the files afterwards.
	CheckErrors []string `json:"check_errors"`
}

// A phaseReport is the time between a start of all nodes and their orderly stop.
type phaseReport struct {
	Elections []election   `json:"elections"`
	Leader    string       `json:"leader"`
	Term      uint64       `json:"term"`
	Nodes     []nodeReport `json:"nodes"`
}

type nodeReport struct {
	ID            string         `json:"id"`
	State         string         `json:"state"`
	Term          uint64         `json:"term"`
	AppliedIndex  uint64         `json:"applied_index"`
	Applied       int            `json:"applied"`
	Height        uint64         `json:"height"`
	Configuration []serverReport `json:"configuration"`
}

// cluster starts real Raft nodes from directories, with no bootstrap, and reports what they did.
func cluster(arguments []string) (any, error) {
	var plan clusterPlan
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.StringVar(&plan.dir, "dir", "", "the state directory, with one directory for each node")
	flags.BoolVar(&plan.inPlace, "in-place", false, "run on the directories, not on copies of them")
	flags.IntVar(&plan.rounds, "rounds", 1, "how often, each time from fresh copies")
	flags.IntVar(&plan.commits, "commits", 3, "commands to commit after each start")
	flags.IntVar(&plan.size, "payload-bytes", 0, "how large each command is, if not as small as can be")
	flags.BoolVar(&plan.hold, "hold", false,
		"after that go on committing until standard input ends; \"ready\" on stderr says it does")
	flags.IntVar(&plan.restarts, "restarts", 0, "how often to stop all nodes and start them again")
	flags.BoolVar(&plan.snapshot, "snapshot", false, "take snapshots before each stop")
	flags.StringVar(&plan.late, "late", "", "start this node well after the others")
	flags.DurationVar(&plan.heartbeat, "heartbeat", 100*time.Millisecond, "timeout of elections")
	flags.DurationVar(&plan.deadline, "deadline", 30*time.Second, "of each step")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 || plan.dir == "" || (plan.inPlace && plan.rounds != 1) {
		return nil, fmt.Errorf("want --dir, no arguments, and no rounds in place")
	}
	reports := make([]roundReport, 0, plan.rounds)
	for round := 1; round <= plan.rounds; round++ {
		report, err := plan.round()
		if err != nil {
			return reports, fmt.Errorf("round %d: %w", round, err)
		}
		reports = append(reports, report)
	}
	return reports, nil
}

// round runs once through the plan, on copies unless it is to be in place.
func (p *clusterPlan) round() (roundReport, error) {
	report := roundReport{Persisted: map[string][]serverReport{}, CheckErrors: []string{}}
	dir := p.dir
	if !p.inPlace {
		copied, err := os.MkdirTemp("", "raftkit-")
		if err != nil {
			return report, err
		}
		defer os.RemoveAll(copied)
		if err := os.CopyFS(copied, os.DirFS(p.dir)); err != nil {
			return report, err
		}
		dir = copied
	}
	members, err := findMembers(dir, report.Persisted)
	if err != nil {
		return report, err
	}
	for phase := 0; phase <= p.restarts; phase++ {
		done, err := p.phase(members, phase)
		if err != nil {
			return report, fmt.Errorf("start %d: %w", phase+1, err)
		}
		report.Phases = append(report.Phases, done)
	}
	paths, err := databases(dir)
	if err != nil {
		return report, err
	}
	for _, path := range paths {
		if err := checked(path); err != nil {
			report.CheckErrors = append(report.CheckErrors, err.Error())
		}
	}
	return report, nil
}

// phase starts all nodes, commits, and stops them.
func (p *clusterPlan) phase(members []member, number int) (report phaseReport, err error) {
	var running group
	defer func() {
		if stopped := running.stop(); err == nil {
			err = stopped
		}
	}()
	if err := running.startAll(members, p.late, p.heartbeat); err != nil {
		return report, err
	}
	if err := p.commitAll(&running); err != nil {
		return report, err
	}
	leader, err := running.settle(p.deadline)
	if err != nil {
		return report, err
	}
	if p.snapshot {
		if err := running.snapshotAll(); err != nil {
			return report, err
		}
	}
	report.Elections = running.seen.list()
	report.Leader = leader.id
	report.Term = leader.raft.CurrentTerm()
	for _, one := range running.nodes {
		described, err := one.describe()
		if err != nil {
			return report, err
		}
		report.Nodes = append(report.Nodes, described)
	}
	return report, nil
}

// commitAll commits the payloads of blocks, one higher than the other.
func (p *clusterPlan) commitAll(running *group) error {
	commit := func() error { return running.commitNext(p.size, p.deadline) }
	// Whoever leads may not know yet which commands of an earlier life are committed.
	if _, err := running.settle(p.deadline); err != nil {
		return err
	}
	for range p.commits {
		if err := commit(); err != nil {
			return err
		}
	}
	if !p.hold {
		return nil
	}
	fmt.Fprintln(os.Stderr, "ready")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.Copy(io.Discard, os.Stdin)
	}()
	for {
		select {
		case <-ended:
			return nil
		case <-time.After(holdPause):
		}
		if err := commit(); err != nil {
			return err
		}
	}
}

// A member is a node directory and the address that the configuration in it gives the node.
type member struct {
	id      string
	dir     string
	address string
}

// findMembers reads all node directories below a state directory, named by their ids.
func findMembers(dir string, persisted map[string][]serverReport) ([]member, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var members []member
	for _, item := range found {
		if !item.IsDir() {
			continue
		}
		one := member{id: item.Name(), dir: filepath.Join(dir, item.Name())}
		configuration, err := persistedConfiguration(one.dir, one.id)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.dir, err)
		}
		persisted[one.id] = describeServers(configuration)
		for _, server := range configuration.Servers {
			if string(server.ID) == one.id {
				one.address = string(server.Address)
			}
		}
		if one.address == "" {
			return nil, fmt.Errorf("%s: its configuration does not name %s", one.dir, one.id)
		}
		members = append(members, one)
	}
	if len(members) == 0 {
		return nil, fmt.Errorf("%s: no node directories", dir)
	}
	return members, nil
}

// persistedConfiguration asks Raft itself, without starting a node.
func persistedConfiguration(dir, id string) (raft.Configuration, error) {
	opened, err := openStores(dir)
	if err != nil {
		return raft.Configuration{}, err
	}
	defer opened.close()
	_, transport := raft.NewInmemTransport("")
	return raft.GetConfiguration(settings(id, time.Second), &newestPayload{},
		opened.logs, opened.stable, opened.snapshots, transport)
}

func (n *node) describe() (nodeReport, error) {
	configuration := n.raft.GetConfiguration()
	if err := configuration.Error(); err != nil {
		return nodeReport{}, err
	}
	payload, applied := n.machine.state()
	return nodeReport{
		ID:            n.id,
		State:         n.raft.State().String(),
		Term:          n.raft.CurrentTerm(),
		AppliedIndex:  n.raft.AppliedIndex(),
		Applied:       applied,
		Height:        blockOf(payload),
		Configuration: describeServers(configuration.Configuration()),
	}, nil
}
