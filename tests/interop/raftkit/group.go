package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

const (
	pollEvery = 2 * time.Millisecond
	// A node that starts late finds the others past several election timeouts.
	lateHeartbeats = 4
)

// A group is the running nodes of one cluster.
type group struct {
	nodes []*node
	seen  elections
}

// startAll starts all members, the late one long after the others could have elected a leader.
func (g *group) startAll(members []member, late string, heartbeat time.Duration) error {
	var waiting []member
	for _, one := range members {
		if one.id == late {
			waiting = append(waiting, one)
		} else if err := g.start(one, heartbeat); err != nil {
			return err
		}
	}
	if late != "" && len(waiting) == 0 {
		return fmt.Errorf("no node %q to start late", late)
	}
	for _, one := range waiting {
		time.Sleep(lateHeartbeats * heartbeat)
		if err := g.start(one, heartbeat); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) start(one member, heartbeat time.Duration) error {
	transport, err := listen(one.address)
	if err != nil {
		return fmt.Errorf("node %s: %w", one.id, err)
	}
	return g.startOn(one, settings(one.id, heartbeat), transport)
}

func (g *group) startOn(one member, config *raft.Config, transport *raft.NetworkTransport) error {
	started, err := startNode(one.dir, config, transport, &g.seen)
	if err != nil {
		return err
	}
	g.nodes = append(g.nodes, started)
	return nil
}

// stop ends all nodes at once: were it one after the other, those left could elect a new leader.
func (g *group) stop() error {
	ends := make([]raft.Future, len(g.nodes))
	for number, one := range g.nodes {
		ends[number] = one.raft.Shutdown()
	}
	var problems []error
	// A node that ends waits for the answers of others, who give none any more: better an error now.
	for _, one := range g.nodes {
		problems = append(problems, one.transport.Close())
	}
	for number, one := range g.nodes {
		problems = append(problems, one.close(ends[number]))
	}
	return errors.Join(problems...)
}

// leader is the node that leads now, or nil.
func (g *group) leader() *node {
	for _, one := range g.nodes {
		if one.raft.State() == raft.Leader {
			return one
		}
	}
	return nil
}

// commitNext commits the payload of the block after the last one. It hands it to whoever leads until
// one of them has committed it. When leadership is lost in between, it may be in the log twice, which
// is Raft's promise to clients.
func (g *group) commitNext(size int, deadline time.Duration) error {
	var block uint64
	for _, one := range g.nodes {
		block = max(block, one.machine.height())
	}
	payload := newPayload(block+1, size)
	var last error
	return g.await(deadline, func() error {
		leader := g.leader()
		if leader == nil {
			return fmt.Errorf("nobody leads; last refusal: %v", last)
		}
		last = leader.raft.Apply(payload, time.Second).Error()
		return last
	})
}

// settle waits until all nodes have applied what the leader has, and returns that leader. A new leader
// has not written anything yet, hence the barrier: behind it there is nothing left to come.
func (g *group) settle(deadline time.Duration) (leader *node, err error) {
	err = g.await(deadline, func() error {
		if leader = g.leader(); leader == nil {
			return errors.New("nobody leads")
		}
		return leader.raft.Barrier(time.Second).Error()
	})
	if err != nil {
		return nil, err
	}
	target := leader.raft.LastIndex()
	err = g.await(deadline, func() error {
		height := leader.machine.height()
		for _, one := range g.nodes {
			if one.raft.AppliedIndex() < target || one.machine.height() != height {
				return fmt.Errorf("node %s has not applied index %d", one.id, target)
			}
		}
		// On a busy machine the leader may lose its office meanwhile: the next try still needs one.
		present := g.leader()
		if present == nil {
			return errors.New("nobody leads")
		}
		leader = present
		return nil
	})
	return leader, err
}

// await tries until there is no error, or gives up with the last one and the state of all nodes.
func (g *group) await(deadline time.Duration, try func() error) error {
	end := time.Now().Add(deadline)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %v: %w (%s)", deadline, err, g)
		}
		time.Sleep(pollEvery)
	}
}

func (g *group) snapshotAll() error {
	for _, one := range g.nodes {
		if err := one.raft.Snapshot().Error(); err != nil {
			return fmt.Errorf("snapshot of %s: %w", one.id, err)
		}
	}
	return nil
}

// String says of each node what an operator would ask first.
func (g *group) String() string {
	var lines []string
	for _, one := range g.nodes {
		lines = append(lines, fmt.Sprintf("%s: %s in term %d, applied %d of %d", one.id,
			one.raft.State(), one.raft.CurrentTerm(), one.raft.AppliedIndex(), one.raft.LastIndex()))
	}
	return strings.Join(lines, "; ")
}
