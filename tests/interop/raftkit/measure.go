package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// A walkReport sums up a node's log and stable store.
type walkReport struct {
	CurrentTerm   uint64         `json:"current_term"`
	FirstIndex    uint64         `json:"first_index"`
	LastIndex     uint64         `json:"last_index"`
	Entries       int            `json:"entries"`
	DataBytes     int64          `json:"data_bytes"`
	ByType        map[string]int `json:"by_type"`
	HighestBlock  uint64         `json:"highest_block"`
	Configuration []serverReport `json:"configuration"`
	Problems      []string       `json:"problems"`
	Seconds       float64        `json:"seconds"`
}

// info does what an overview of a node needs: every entry is read and decoded once.
func info(arguments []string) (any, error) {
	dir, err := only(arguments, "node directory")
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	report, err := walk(dir)
	report.Seconds = time.Since(begin).Seconds()
	return report, err
}

// verify does what info does, and has bbolt check both files.
func verify(arguments []string) (any, error) {
	dir, err := only(arguments, "node directory")
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	report, err := walk(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{logFile, stableFile} {
		if err := checked(filepath.Join(dir, name)); err != nil {
			report.Problems = append(report.Problems, err.Error())
		}
	}
	report.Seconds = time.Since(begin).Seconds()
	if len(report.Problems) > 0 {
		err = errFindings
	}
	return report, err
}

// walk reads a node's stores through raft-boltdb, entry by entry.
func walk(dir string) (walkReport, error) {
	report := walkReport{ByType: map[string]int{}, Problems: []string{}}
	stable, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(dir, stableFile), BoltOptions: readOnly(),
	})
	if err != nil {
		return report, err
	}
	defer stable.Close()
	if report.CurrentTerm, err = stable.GetUint64([]byte("CurrentTerm")); err != nil {
		return report, err
	}
	logs, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(dir, logFile), BoltOptions: readOnly(),
	})
	if err != nil {
		return report, err
	}
	defer logs.Close()
	if report.FirstIndex, err = logs.FirstIndex(); err != nil {
		return report, err
	}
	if report.LastIndex, err = logs.LastIndex(); err != nil {
		return report, err
	}
	term := uint64(0)
	for index := report.FirstIndex; index <= report.LastIndex && index > 0; index++ {
		var entry raft.Log
		if err := logs.GetLog(index, &entry); err != nil {
			report.Problems = append(report.Problems, fmt.Sprintf("entry %d: %v", index, err))
			continue
		}
		if entry.Index != index || entry.Term < term {
			report.Problems = append(report.Problems, fmt.Sprintf("entry %d is out of order", index))
		}
		term = entry.Term
		report.add(&entry)
	}
	return report, nil
}

func (r *walkReport) add(entry *raft.Log) {
	r.Entries++
	r.DataBytes += int64(len(entry.Data))
	r.ByType[entry.Type.String()]++
	switch {
	case entry.Type == raft.LogConfiguration:
		r.Configuration = describeServers(raft.DecodeConfiguration(entry.Data))
	case entry.Type == raft.LogCommand:
		r.HighestBlock = max(r.HighestBlock, blockOf(entry.Data))
	}
}
