package main

import (
	"fmt"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// A growReport says what became of the log: entries up to DeletedTo are gone, those between are as
// they were, and those from AddedFrom to AddedTo are new.
type growReport struct {
	DeletedTo uint64 `json:"deleted_to"`
	AddedFrom uint64 `json:"added_from"`
	AddedTo   uint64 `json:"added_to"`
}

// grow does to a database what a running conductor does: replace the end of the log by another
// leader's entries, append, vote, compact. Each step opens the file anew, commits, and is followed by
// a check, so that pages which one step frees are used by the next.
func grow(arguments []string) (any, error) {
	path, err := only(arguments, "file")
	if err != nil {
		return nil, err
	}
	var first, last uint64
	err = withStore(path, func(store *raftboltdb.BoltStore) error {
		if first, err = store.FirstIndex(); err != nil {
			return err
		}
		last, err = store.LastIndex()
		return err
	})
	if err != nil {
		return nil, err
	}
	// Half of what was there goes, so that both what is kept and what is gone is seen.
	middle := first + (last-first)/2
	next := max(last, 1)

	type store = *raftboltdb.BoltStore
	steps := []func(store) error{
		func(s store) error { return s.DeleteRange(last, last) },
		func(s store) error { return appendEntries(s, next, 1, 9<<10) },
		func(s store) error { return appendEntries(s, next+1, 300, 100) },
		func(s store) error { return s.SetUint64([]byte("CurrentTerm"), 1<<40) },
		func(s store) error { return s.DeleteRange(0, first) },
		func(s store) error { return s.DeleteRange(0, middle) },
		func(s store) error { return appendEntries(s, next+301, 50, 1000) },
	}
	for number, step := range steps {
		if err := withStore(path, step); err != nil {
			return nil, fmt.Errorf("step %d: %w", number+1, err)
		}
		if err := checked(path); err != nil {
			return nil, fmt.Errorf("after step %d: %w", number+1, err)
		}
	}
	return growReport{DeletedTo: middle, AddedFrom: max(next, middle+1), AddedTo: next + 350}, nil
}

// withStore opens a file as a conductor does, except that nothing waits for the disk.
func withStore(path string, use func(*raftboltdb.BoltStore) error) error {
	store, err := raftboltdb.New(raftboltdb.Options{
		Path:        path,
		NoSync:      true,
		BoltOptions: &bbolt.Options{Timeout: lockTimeout},
	})
	if err != nil {
		return err
	}
	if err := use(store); err != nil {
		store.Close()
		return err
	}
	return store.Close()
}

func appendEntries(store *raftboltdb.BoltStore, first uint64, count, dataBytes int) error {
	entries := make([]*raft.Log, count)
	for number := range entries {
		index := first + uint64(number)
		entries[number] = &raft.Log{Index: index, Term: 1, Data: pattern(index, dataBytes)}
	}
	return store.StoreLogs(entries)
}

// checked fails with the first finding of bbolt.
func checked(path string) error {
	return view(path, func(_ *bbolt.DB, tx *bbolt.Tx) error {
		if found := checkTransaction(tx); len(found) > 0 {
			return fmt.Errorf("%d findings, first: %s", len(found), found[0])
		}
		return nil
	})
}
