// Raftkit is the judge of our Raft state files: HashiCorp's own libraries, driven by the tests.
//
// Each command prints one JSON value. What goes wrong is text on stderr and exit status 1; a command
// that judges files prints its findings first.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
)

// errFindings ends a command whose printed report already says what is wrong.
var errFindings = errors.New("findings, see the report")

// A command returns what to print, also beside an error when there is something to say.
type command struct {
	usage string
	run   func(arguments []string) (any, error)
}

var commands = map[string]command{
	"dump":      {"FILE", dump},
	"check":     {"FILE...", check},
	"grow":      {"FILE", grow},
	"snapshots": {"NODE_DIR", snapshots},
	"write":     {"SCENARIO DIR", write},
	"scenarios": {"", scenarioNames},
	"cluster":   {"--dir STATE_DIR [flags]", cluster},
	"bootstrap": {"[--nodes N] STATE_DIR", bootstrap},
	"info":      {"NODE_DIR", info},
	"verify":    {"NODE_DIR", verify},
	"make-log":  {"[--entries N] [--value-bytes B] NODE_DIR", makeLog},
	"recover":   {"--members ID=ADDRESS,... [--nonvoters ID,...] NODE_DIR", recoverNode},
	"rejoin":    {"[--commits N] STATE_DIR", rejoin},
}

func main() {
	if len(os.Args) < 2 {
		fail(usage())
	}
	name := os.Args[1]
	chosen, found := commands[name]
	if !found {
		fail(fmt.Errorf("unknown command %q\n%w", name, usage()))
	}
	report, err := chosen.run(os.Args[2:])
	if report != nil {
		if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
			fail(err)
		}
	}
	if err != nil {
		fail(fmt.Errorf("%s: %w", name, err))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "raftkit:", err)
	os.Exit(1)
}

func usage() error {
	lines := make([]string, 0, len(commands))
	for name, one := range commands {
		lines = append(lines, strings.TrimSpace("  raftkit "+name+" "+one.usage))
	}
	sort.Strings(lines)
	return errors.New("usage:\n" + strings.Join(lines, "\n"))
}

// only returns the single argument that a command takes.
func only(arguments []string, what string) (string, error) {
	if len(arguments) != 1 {
		return "", fmt.Errorf("want exactly one %s, got %d arguments", what, len(arguments))
	}
	return arguments[0], nil
}
