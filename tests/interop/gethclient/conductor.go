package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

// op-node gives a commit one second in all, for two attempts this far apart.
const (
	commitTimeout  = time.Second
	commitAttempts = 2
	commitPause    = 50 * time.Millisecond
)

// Results that are no plain values.
type serverInfo struct {
	ID       string `json:"id"`
	Addr     string `json:"addr"`
	Suffrage int    `json:"suffrage"`
}

type clusterMembership struct {
	Servers []serverInfo `json:"servers"`
	Version uint64       `json:"version"`
}

// results gives, for each method, a place of the Go type that its callers decode into; nil for those
// that return nothing.
var results = map[string]func() any{
	"conductor_active":                 func() any { return new(bool) },
	"conductor_clusterMembership":      func() any { return new(clusterMembership) },
	"conductor_commitUnsafePayload":    nil,
	"conductor_epoch":                  func() any { return new(uint64) },
	"conductor_latestUnsafePayload":    func() any { return new(envelope) },
	"conductor_leader":                 func() any { return new(bool) },
	"conductor_leaderOverridden":       func() any { return new(bool) },
	"conductor_leaderWithID":           func() any { return new(serverInfo) },
	"conductor_overrideLeader":         nil,
	"conductor_pause":                  nil,
	"conductor_paused":                 func() any { return new(bool) },
	"conductor_payloadByHeight":        func() any { return new(envelope) },
	"conductor_resume":                 nil,
	"conductor_sequencerHealthy":       func() any { return new(bool) },
	"conductor_stop":                   nil,
	"conductor_stopped":                func() any { return new(bool) },
	"conductor_transferLeader":         nil,
	"conductor_transferLeaderToServer": nil,
	"health_status":                    func() any { return new(string) },
	"rpc_modules":                      func() any { return new(map[string]string) },
	// Called for the text of its error.
	"conductor_nothing": nil,
}

// An outcome is either a result or an error.
type outcome struct {
	Result any      `json:"result"`
	Error  *failure `json:"error,omitempty"`
}

// A failure is an error of Go, as far as the `rpc` package tells.
type failure struct {
	Text string `json:"text"`
	// Code is set when the server has answered with an error.
	Code *int `json:"code,omitempty"`
	Data any  `json:"data,omitempty"`
	// HTTPStatus is set when the server has answered with another status than 200.
	HTTPStatus int `json:"http_status,omitempty"`
	// DeadlineExceeded says that the caller has given up.
	DeadlineExceeded bool `json:"deadline_exceeded,omitempty"`
}

// A conductor is a connection to one.
type conductor struct {
	client *rpc.Client
}

func (c *conductor) call(ctx context.Context, asked call) (any, error) {
	place, err := placeFor(asked.Method)
	if err != nil {
		return nil, err
	}
	err = c.client.CallContext(ctx, place, asked.Method, asked.Params...)
	return outcomeOf(place, err), nil
}

// commit sends an envelope that has been through Go's types, twice if need be.
func (c *conductor) commit(ctx context.Context, document json.RawMessage) (any, error) {
	var payload envelope
	if err := json.Unmarshal(document, &payload); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	var err error
	for attempt := 0; attempt < commitAttempts; attempt++ {
		if attempt > 0 {
			time.Sleep(commitPause)
		}
		err = c.client.CallContext(ctx, nil, "conductor_commitUnsafePayload", &payload)
		if err == nil {
			break
		}
	}
	return outcomeOf(nil, err), nil
}

func (c *conductor) batch(ctx context.Context, calls []call) (any, error) {
	elements := make([]rpc.BatchElem, len(calls))
	for i, asked := range calls {
		place, err := placeFor(asked.Method)
		if err != nil {
			return nil, err
		}
		elements[i] = rpc.BatchElem{Method: asked.Method, Args: asked.Params, Result: place}
	}
	if err := c.client.BatchCallContext(ctx, elements); err != nil {
		return outcomeOf(nil, err), nil
	}
	outcomes := make([]outcome, len(elements))
	for i, element := range elements {
		outcomes[i] = outcomeOf(element.Result, element.Error)
	}
	return outcome{Result: outcomes}, nil
}

func placeFor(method string) (any, error) {
	place, known := results[method]
	if !known {
		return nil, fmt.Errorf("nobody has said what %s returns", method)
	}
	if place == nil {
		return nil, nil
	}
	return place(), nil
}

func outcomeOf(result any, err error) outcome {
	if err == nil {
		return outcome{Result: result}
	}
	failed := &failure{
		Text:             err.Error(),
		DeadlineExceeded: errors.Is(err, context.DeadlineExceeded),
	}
	var answered rpc.Error
	if errors.As(err, &answered) {
		code := answered.ErrorCode()
		failed.Code = &code
	}
	var detailed rpc.DataError
	if errors.As(err, &detailed) {
		failed.Data = detailed.ErrorData()
	}
	var refused rpc.HTTPError
	if errors.As(err, &refused) {
		failed.HTTPStatus = refused.StatusCode
	}
	return outcome{Error: failed}
}
