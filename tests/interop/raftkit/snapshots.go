package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// A snapshotReport is a snapshot that Raft would start from, in the order of its preference.
type snapshotReport struct {
	ID                 string         `json:"id"`
	Version            int            `json:"version"`
	Index              uint64         `json:"index"`
	Term               uint64         `json:"term"`
	Peers              string         `json:"peers"`
	Servers            []serverReport `json:"servers"`
	ConfigurationIndex uint64         `json:"configuration_index"`
	StateBytes         int64          `json:"state_bytes"`
	StateSHA256        string         `json:"state_sha256"`
}

// snapshots lists what Raft's own store finds and can open; opening compares the checksum.
func snapshots(arguments []string) (any, error) {
	dir, err := only(arguments, "node directory")
	if err != nil {
		return nil, err
	}
	// The store would make the directory.
	if _, err := os.Stat(filepath.Join(dir, "snapshots")); err != nil {
		return nil, err
	}
	store, err := raft.NewFileSnapshotStore(dir, 100, io.Discard)
	if err != nil {
		return nil, err
	}
	metas, err := store.List()
	if err != nil {
		return nil, err
	}
	reports := []snapshotReport{}
	for _, meta := range metas {
		_, state, err := store.Open(meta.ID)
		if err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", meta.ID, err)
		}
		digest := sha256.New()
		size, err := io.Copy(digest, state)
		if err != nil {
			return nil, err
		}
		if err := state.Close(); err != nil {
			return nil, err
		}
		reports = append(reports, snapshotReport{
			ID:                 meta.ID,
			Version:            int(meta.Version),
			Index:              meta.Index,
			Term:               meta.Term,
			Peers:              hex.EncodeToString(meta.Peers),
			Servers:            describeServers(meta.Configuration),
			ConfigurationIndex: meta.ConfigurationIndex,
			StateBytes:         size,
			StateSHA256:        hex.EncodeToString(digest.Sum(nil)),
		})
	}
	return reports, nil
}
