// Gethclient calls a conductor as op-node does: with the `rpc` client of go-ethereum, typed results
// and a connection that it keeps.
//
// It is started with a URL, reads orders from its input, one JSON object a line, and answers each
// with a line: what came back as Go has decoded it, or the error by its Go type.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

// callTimeout is for everything but a commit, which has op-node's own.
const callTimeout = 20 * time.Second

// lineBytesMax has room for an envelope of 16 MiB as JSON.
const lineBytesMax = 64 << 20

// An order names one of a call, a commit and a batch.
type order struct {
	Call      *call           `json:"call"`
	Commit    json.RawMessage `json:"commit"`
	Batch     []call          `json:"batch"`
	TimeoutMS int             `json:"timeout_ms"`
}

type call struct {
	Method string `json:"method"`
	Params []any  `json:"params"`
}

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: gethclient URL"))
	}
	client, err := rpc.DialOptions(context.Background(), os.Args[1])
	if err != nil {
		fail(err)
	}
	defer client.Close()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, lineBytesMax)
	for lines.Scan() {
		answer, err := obey(&conductor{client}, lines.Bytes())
		if err != nil {
			fail(err)
		}
		if err := write(os.Stdout, answer); err != nil {
			fail(err)
		}
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}

// obey carries out an order. Its error is the order's fault, not the conductor's.
func obey(to *conductor, line []byte) (any, error) {
	var given order
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	timeout := callTimeout
	if given.TimeoutMS > 0 {
		timeout = time.Duration(given.TimeoutMS) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	switch {
	case given.Call != nil:
		return to.call(ctx, *given.Call)
	case given.Commit != nil:
		return to.commit(ctx, given.Commit)
	case given.Batch != nil:
		return to.batch(ctx, given.Batch)
	}
	return nil, fmt.Errorf("%s orders nothing", line)
}

func write(to io.Writer, answer any) error {
	line, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(to, "%s\n", line)
	return err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "gethclient:", err)
	os.Exit(1)
}
