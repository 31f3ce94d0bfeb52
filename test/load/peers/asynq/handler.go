package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/hibiken/asynq"
)

// inProcess is the function in Go: it reads the call and sends one datagram.
func inProcess() (asynq.HandlerFunc, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, task *asynq.Task) error {
		var call struct {
			ID   int64  `json:"id"`
			T    int64  `json:"t"`
			Sink string `json:"sink"`
		}
		if err := json.Unmarshal(task.Payload(), &call); err != nil || call.Sink == "" {
			return err
		}
		to, err := netip.ParseAddrPort(call.Sink)
		if err != nil {
			return err
		}
		_, err = socket.WriteToUDPAddrPort(fmt.Appendf(nil, "%d %d", call.ID, call.T), to)
		return err
	}, nil
}

// overHTTP posts the call to a function that is a server of its own.
func overHTTP(url string, connections int) asynq.HandlerFunc {
	client := &http.Client{
		Transport: &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections},
		Timeout:   15 * time.Minute,
	}
	return func(ctx context.Context, task *asynq.Task) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(task.Payload()))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("the function answers %s", res.Status)
		}
		return nil
	}
}
