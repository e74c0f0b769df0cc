package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/hashicorp/raft"
	raftboltdbv1 "github.com/hashicorp/raft-boltdb"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const (
	logFile    = "raft-log.db"
	stableFile = "raft-stable.db"
)

// entriesPerCommit keeps transactions small enough that files get a history.
const entriesPerCommit = 1000

// A scenario fills a directory with databases as some life of a node leaves them.
type scenario func(dir string) error

var scenarios = map[string]scenario{
	"empty":             inLog(nil),
	"one":               inLog(one),
	"thousand":          inLog(thousand),
	"fifty-thousand":    inLog(fiftyThousand),
	"big-values":        inLog(bigValues),
	"odd-entries":       inLog(storeOdd),
	"legacy-peers":      inLog(legacyPeers),
	"front-deleted":     inLog(frontDeleted),
	"gaps":              inLog(gaps),
	"all-deleted":       inLog(allDeleted),
	"churned":           inLog(churned),
	"new-time-format":   inFile(logFile, raftboltdb.Options{MsgpackUseNewTimeFormat: true}, storeOdd),
	"page-512":          inFile(logFile, pages(512), frontDeleted),
	"page-1024":         inFile(logFile, pages(1024), frontDeleted),
	"page-16384":        inFile(logFile, pages(16384), frontDeleted),
	"page-65536":        inFile(logFile, pages(65536), frontDeleted),
	"unsynced-freelist": inFile(logFile, unsynced(), churned),
	"huge-freelist":     inFile(logFile, pages(512), hugeFreelist),
	"stable":            inFile(stableFile, raftboltdb.Options{}, stableKeys),
	"merged":            inFile("raft.db", raftboltdb.Options{}, merged),
	"nested-buckets":    nestedBuckets,
	"first-version":     firstVersion,
	"live":              live,
	"recovered":         recovered,
}

func scenarioNames([]string) (any, error) {
	names := make([]string, 0, len(scenarios))
	for name := range scenarios {
		names = append(names, name)
	}
	sort.Strings(names)
	return names, nil
}

// write runs a scenario and lists the database files that it has made.
func write(arguments []string) (any, error) {
	if len(arguments) != 2 {
		return nil, fmt.Errorf("want a scenario and a directory")
	}
	name, dir := arguments[0], arguments[1]
	fill, found := scenarios[name]
	if !found {
		return nil, fmt.Errorf("unknown scenario %q", name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := fill(dir); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return databases(dir)
}

// databases lists all database files below a directory.
func databases(dir string) ([]string, error) {
	paths := []string{}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".db" {
			paths = append(paths, path)
		}
		return err
	})
	return paths, err
}

func inLog(fill func(*raftboltdb.BoltStore) error) scenario {
	return inFile(logFile, raftboltdb.Options{}, fill)
}

func inFile(name string, options raftboltdb.Options, fill func(*raftboltdb.BoltStore) error) scenario {
	return func(dir string) error {
		options.Path = filepath.Join(dir, name)
		options.NoSync = true
		store, err := raftboltdb.New(options)
		if err != nil {
			return err
		}
		if fill != nil {
			if err := fill(store); err != nil {
				store.Close()
				return err
			}
		}
		return store.Close()
	}
}

func pages(size int) raftboltdb.Options {
	return raftboltdb.Options{BoltOptions: &bbolt.Options{PageSize: size}}
}

func unsynced() raftboltdb.Options {
	return raftboltdb.Options{BoltOptions: &bbolt.Options{NoFreelistSync: true}}
}

// storeAll commits entries in batches.
func storeAll(store raft.LogStore, entries []*raft.Log) error {
	for len(entries) > 0 {
		batch := entries[:min(entriesPerCommit, len(entries))]
		if err := store.StoreLogs(batch); err != nil {
			return err
		}
		entries = entries[len(batch):]
	}
	return nil
}

func one(store *raftboltdb.BoltStore) error {
	return store.StoreLog(&raft.Log{
		Index: 1,
		Term:  1,
		Type:  raft.LogConfiguration,
		Data:  raft.EncodeConfiguration(someServers()),
	})
}

func thousand(store *raftboltdb.BoltStore) error {
	return storeAll(store, smallEntries(1, 1000, 200))
}

func fiftyThousand(store *raftboltdb.BoltStore) error {
	return storeAll(store, smallEntries(1, 50_000, 40))
}

func bigValues(store *raftboltdb.BoltStore) error {
	for _, entry := range smallEntries(1, 20, 1<<20) {
		if err := store.StoreLog(entry); err != nil {
			return err
		}
	}
	return nil
}

func storeOdd(store *raftboltdb.BoltStore) error {
	return storeAll(store, oddEntries())
}

func legacyPeers(store *raftboltdb.BoltStore) error {
	entries, err := peerEntries()
	if err != nil {
		return err
	}
	return storeAll(store, entries)
}

// frontDeleted is a log after several compactions, as snapshots cause them.
func frontDeleted(store *raftboltdb.BoltStore) error {
	for round := uint64(0); round < 4; round++ {
		if err := storeAll(store, smallEntries(1+round*700, 700, 300)); err != nil {
			return err
		}
		if round < 3 {
			if err := store.DeleteRange(1, (round+1)*600); err != nil {
				return err
			}
		}
	}
	return nil
}

// gaps no healthy log has, but a damaged one may, and the file format does not mind.
func gaps(store *raftboltdb.BoltStore) error {
	if err := storeAll(store, smallEntries(5, 600, 100)); err != nil {
		return err
	}
	for _, hole := range [][2]uint64{{6, 6}, {100, 320}, {400, 401}, {604, 604}} {
		if err := store.DeleteRange(hole[0], hole[1]); err != nil {
			return err
		}
	}
	return storeAll(store, smallEntries(1<<40, 5, 100))
}

func allDeleted(store *raftboltdb.BoltStore) error {
	if err := storeAll(store, smallEntries(1, 2000, 100)); err != nil {
		return err
	}
	return store.DeleteRange(1, 2000)
}

// churned is many small commits at both ends and in the middle, so that pages lie in no order.
func churned(store *raftboltdb.BoltStore) error {
	for round := uint64(0); round < 150; round++ {
		size := int(round*round*7) % 9000
		if err := storeAll(store, smallEntries(1+round*20, 30, size)); err != nil {
			return err
		}
		if round%3 == 2 {
			if err := store.DeleteRange(round*5, round*10); err != nil {
				return err
			}
		}
		if err := store.SetUint64([]byte("CurrentTerm"), round); err != nil {
			return err
		}
	}
	return nil
}

// hugeFreelist frees more pages than the count in a page header can say.
func hugeFreelist(store *raftboltdb.BoltStore) error {
	if err := storeAll(store, smallEntries(1, 100, 50)); err != nil {
		return err
	}
	huge := &raft.Log{Index: 101, Term: 1, Data: make([]byte, 70_000*512)}
	if err := store.StoreLog(huge); err != nil {
		return err
	}
	return store.DeleteRange(50, 101)
}

func stableKeys(store *raftboltdb.BoltStore) error {
	if err := store.SetUint64([]byte("CurrentTerm"), 1<<40); err != nil {
		return err
	}
	if err := store.SetUint64([]byte("LastVoteTerm"), 7); err != nil {
		return err
	}
	if err := store.Set([]byte("LastVoteCand"), []byte("127.0.0.1:50050")); err != nil {
		return err
	}
	return store.Set([]byte("of another program"), pattern(1, 5000))
}

func merged(store *raftboltdb.BoltStore) error {
	if err := stableKeys(store); err != nil {
		return err
	}
	return frontDeleted(store)
}

// nestedBuckets is beyond what Raft stores, but within the file format.
func nestedBuckets(dir string) error {
	db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"logs", "conf", "other"} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		bucket := tx.Bucket([]byte("other"))
		for depth := 0; depth < 4; depth++ {
			if err := bucket.SetSequence(uint64(depth) + 10); err != nil {
				return err
			}
			for number := uint64(0); number < 300; number++ {
				key := fmt.Sprintf("key %d", number)
				if err := bucket.Put([]byte(key), pattern(number, int(number)%50)); err != nil {
					return err
				}
			}
			if bucket, err = bucket.CreateBucket([]byte("key 150 deeper")); err != nil {
				return err
			}
		}
		return nil
	})
}

// firstVersion is written by raft-boltdb before its version 2: the old bolt and the old msgpack.
func firstVersion(dir string) error {
	for name, fill := range map[string]func(*raftboltdbv1.BoltStore) error{
		logFile: func(store *raftboltdbv1.BoltStore) error {
			if err := storeAll(store, oddEntries()); err != nil {
				return err
			}
			return storeAll(store, smallEntries(1000, 1000, 100))
		},
		stableFile: func(store *raftboltdbv1.BoltStore) error {
			if err := store.SetUint64([]byte("CurrentTerm"), 3); err != nil {
				return err
			}
			return store.Set([]byte("LastVoteCand"), []byte("10.0.0.1:50050"))
		},
	} {
		store, err := raftboltdbv1.New(raftboltdbv1.Options{Path: filepath.Join(dir, name), NoSync: true})
		if err != nil {
			return err
		}
		if err := fill(store); err != nil {
			store.Close()
			return err
		}
		if err := store.Close(); err != nil {
			return err
		}
	}
	return nil
}
