package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// A storeReport is raft-boltdb's view of a file.
type storeReport struct {
	Database   databaseReport `json:"database"`
	FirstIndex uint64         `json:"first_index"`
	LastIndex  uint64         `json:"last_index"`
	Conf       []confReport   `json:"conf"`
	Entries    []entryReport  `json:"entries"`
}

type confReport struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type entryReport struct {
	Key        uint64         `json:"key"`
	Index      uint64         `json:"index"`
	Term       uint64         `json:"term"`
	Type       uint8          `json:"type"`
	DataBytes  int            `json:"data_bytes"`
	DataIsNil  bool           `json:"data_is_nil"`
	DataSHA256 string         `json:"data_sha256"`
	Extensions *string        `json:"extensions"`
	AppendedAt *timeReport    `json:"appended_at"`
	Servers    []serverReport `json:"servers"`
}

// A timeReport has no zone offset for UTC, and is null for the zero time.
type timeReport struct {
	UnixSeconds int64 `json:"unix_seconds"`
	Nanoseconds int   `json:"nanoseconds"`
	ZoneOffset  *int  `json:"zone_offset_s"`
}

type serverReport struct {
	ID       string `json:"id"`
	Address  string `json:"address"`
	Suffrage int    `json:"suffrage"`
}

func dump(arguments []string) (any, error) {
	path, err := only(arguments, "file")
	if err != nil {
		return nil, err
	}
	var report storeReport
	if report.Database, err = describeDatabase(path); err != nil {
		return nil, err
	}
	indexes, err := readKeys(path, &report)
	if err != nil {
		return nil, err
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: readOnly()})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	if report.FirstIndex, err = store.FirstIndex(); err != nil {
		return nil, err
	}
	if report.LastIndex, err = store.LastIndex(); err != nil {
		return nil, err
	}
	report.Entries = make([]entryReport, 0, len(indexes))
	for _, index := range indexes {
		var entry raft.Log
		if err := store.GetLog(index, &entry); err != nil {
			return nil, fmt.Errorf("entry %d: %w", index, err)
		}
		described, err := describeEntry(index, &entry)
		if err != nil {
			return nil, err
		}
		report.Entries = append(report.Entries, described)
	}
	return report, nil
}

// readKeys lists the keys of the log, which raft-boltdb does not, and all of the stable store.
func readKeys(path string, report *storeReport) ([]uint64, error) {
	var indexes []uint64
	report.Conf = []confReport{}
	err := view(path, func(_ *bbolt.DB, tx *bbolt.Tx) error {
		logs, conf := tx.Bucket([]byte("logs")), tx.Bucket([]byte("conf"))
		if logs == nil || conf == nil {
			return fmt.Errorf("%s: no store of raft-boltdb, logs or conf is missing", path)
		}
		err := logs.ForEach(func(key, _ []byte) error {
			if len(key) != 8 {
				return fmt.Errorf("%s: key %x is no index", path, key)
			}
			indexes = append(indexes, binary.BigEndian.Uint64(key))
			return nil
		})
		if err != nil {
			return err
		}
		return conf.ForEach(func(key, value []byte) error {
			report.Conf = append(report.Conf,
				confReport{hex.EncodeToString(key), hex.EncodeToString(value)})
			return nil
		})
	})
	return indexes, err
}

func describeEntry(key uint64, entry *raft.Log) (entryReport, error) {
	digest := sha256.Sum256(entry.Data)
	report := entryReport{
		Key:        key,
		Index:      entry.Index,
		Term:       entry.Term,
		Type:       uint8(entry.Type),
		DataBytes:  len(entry.Data),
		DataIsNil:  entry.Data == nil,
		DataSHA256: hex.EncodeToString(digest[:]),
		AppendedAt: describeTime(entry.AppendedAt),
	}
	if entry.Extensions != nil {
		text := hex.EncodeToString(entry.Extensions)
		report.Extensions = &text
	}
	switch entry.Type {
	case raft.LogConfiguration:
		report.Servers = describeServers(raft.DecodeConfiguration(entry.Data))
	case raft.LogAddPeerDeprecated, raft.LogRemovePeerDeprecated:
		peers, err := decodePeers(entry.Data)
		if err != nil {
			return report, fmt.Errorf("peers of entry %d: %w", key, err)
		}
		report.Servers = describeServers(peers)
	}
	return report, nil
}

func describeTime(at time.Time) *timeReport {
	if at.IsZero() {
		return nil
	}
	report := timeReport{UnixSeconds: at.Unix(), Nanoseconds: at.Nanosecond()}
	if at.Location() != time.UTC {
		_, offset := at.Zone()
		report.ZoneOffset = &offset
	}
	return &report
}

func describeServers(configuration raft.Configuration) []serverReport {
	reports := make([]serverReport, 0, len(configuration.Servers))
	for _, server := range configuration.Servers {
		reports = append(reports,
			serverReport{string(server.ID), string(server.Address), int(server.Suffrage)})
	}
	return reports
}

// decodePeers reads entries from before configurations, as raft itself does: all peers are voters
// that are known by their addresses.
func decodePeers(data []byte) (raft.Configuration, error) {
	var addresses [][]byte
	err := codec.NewDecoderBytes(data, &codec.MsgpackHandle{}).Decode(&addresses)
	var configuration raft.Configuration
	for _, address := range addresses {
		configuration.Servers = append(configuration.Servers, raft.Server{
			Suffrage: raft.Voter,
			ID:       raft.ServerID(address),
			Address:  raft.ServerAddress(address),
		})
	}
	return configuration, err
}
