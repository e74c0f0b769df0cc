package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// Longer than any test holds a lock; waiting for ever would hide who does.
const lockTimeout = 5 * time.Second

// A databaseReport is what bbolt knows of a file, the meaning of its values aside.
type databaseReport struct {
	FileBytes     int64          `json:"file_bytes"`
	PageBytes     int            `json:"page_bytes"`
	PageCount     int64          `json:"page_count"`
	TransactionID int            `json:"transaction_id"`
	Pages         map[string]int `json:"pages"`
	Buckets       []bucketReport `json:"buckets"`
	CheckErrors   []string       `json:"check_errors"`
}

// A bucketReport names a bucket by its path from the top and digests its plain items in key order.
type bucketReport struct {
	Path     []string `json:"path"`
	Items    int      `json:"items"`
	Depth    int      `json:"depth"`
	Inline   bool     `json:"inline"`
	Sequence uint64   `json:"sequence"`
	SHA256   string   `json:"sha256"`
}

// readOnly never writes to the file and never creates it, whatever the version of bbolt.
func readOnly() *bbolt.Options {
	return &bbolt.Options{ReadOnly: true, Timeout: lockTimeout}
}

// view runs a function in a read transaction of a file that has to exist.
func view(path string, read func(*bbolt.DB, *bbolt.Tx) error) error {
	// Up to 1.3, bbolt creates a missing file even to read it.
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o600, readOnly())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error { return read(db, tx) })
}

func describeDatabase(path string) (databaseReport, error) {
	var report databaseReport
	facts, err := os.Stat(path)
	if err != nil {
		return report, err
	}
	report.FileBytes = facts.Size()
	err = view(path, func(db *bbolt.DB, tx *bbolt.Tx) error {
		report.PageBytes = db.Info().PageSize
		report.PageCount = tx.Size() / int64(report.PageBytes)
		report.TransactionID = tx.ID()
		// The check loads the list of free pages, which the count of pages needs.
		report.CheckErrors = checkTransaction(tx)
		report.Pages, err = countPages(tx, int(report.PageCount))
		if err != nil {
			return err
		}
		return tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
			return describeBucket(&report.Buckets, nil, name, bucket)
		})
	})
	return report, err
}

func checkTransaction(tx *bbolt.Tx) []string {
	found := []string{}
	for err := range tx.Check() {
		found = append(found, err.Error())
	}
	return found
}

// countPages counts pages by type; pages that continue another one count as its type.
func countPages(tx *bbolt.Tx, pageCount int) (map[string]int, error) {
	counts := map[string]int{}
	for id := 0; id < pageCount; {
		page, err := tx.Page(id)
		if err != nil {
			return nil, err
		}
		run := 1
		if page.Type != "free" {
			run += page.OverflowCount
		}
		counts[page.Type] += run
		id += run
	}
	return counts, nil
}

func describeBucket(reports *[]bucketReport, parent []string, name []byte, bucket *bbolt.Bucket) error {
	path := append(append([]string{}, parent...), hex.EncodeToString(name))
	digest := sha256.New()
	items := 0
	var nested [][]byte
	err := bucket.ForEach(func(key, value []byte) error {
		if value == nil {
			nested = append(nested, key)
			return nil
		}
		items++
		writeSized(digest, key)
		writeSized(digest, value)
		return nil
	})
	if err != nil {
		return err
	}
	stats := bucket.Stats()
	*reports = append(*reports, bucketReport{
		Path:     path,
		Items:    items,
		Depth:    stats.Depth,
		Inline:   bucket.Root() == 0,
		Sequence: bucket.Sequence(),
		SHA256:   hex.EncodeToString(digest.Sum(nil)),
	})
	for _, key := range nested {
		if err := describeBucket(reports, path, key, bucket.Bucket(key)); err != nil {
			return err
		}
	}
	return nil
}

// writeSized adds a length and the bytes, so that no two lists of items have one digest.
func writeSized(digest hash.Hash, data []byte) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(data)))
	digest.Write(size[:])
	digest.Write(data)
}

// A checkReport is the verdict of bbolt on one file.
type checkReport struct {
	Path   string   `json:"path"`
	Errors []string `json:"errors"`
}

func check(paths []string) (any, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("want at least one file")
	}
	reports := make([]checkReport, 0, len(paths))
	var verdict error
	for _, path := range paths {
		report := checkReport{Path: path}
		err := view(path, func(_ *bbolt.DB, tx *bbolt.Tx) error {
			report.Errors = checkTransaction(tx)
			return nil
		})
		if err != nil {
			report.Errors = []string{err.Error()}
		}
		if len(report.Errors) > 0 {
			verdict = errFindings
		}
		reports = append(reports, report)
	}
	return reports, verdict
}
