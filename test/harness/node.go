package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Node is one redis-server of several, on a TCP port of loopback: a master, a
// replica, a sentinel, or a member of a cluster.
type Node struct {
	fleet *Fleet
	name  string // of its process
	dir   string
	args  []string
	port  int
}

// nodeTries is how often another port is tried: the one that was free may be
// taken before the server binds it.
const nodeTries = 5

// StartNode starts a server with an append-only file that is written each second
// and an empty data folder; args are further options of redis-server, and
// override those.
func (f *Fleet) StartNode(ctx context.Context, name string, args ...string) (*Node, error) {
	n, err := f.newNode(name)
	if err != nil {
		return nil, err
	}
	n.args = append([]string{"--save", "", "--appendonly", "yes", "--appendfsync", string(EverySecond)}, args...)
	return n, n.startSomewhere(ctx)
}

func (f *Fleet) newNode(name string) (*Node, error) {
	dir, err := RedisDir()
	return &Node{fleet: f, name: name, dir: dir}, err
}

func (n *Node) startSomewhere(ctx context.Context) (err error) {
	for range nodeTries {
		if n.port, err = FreePort(); err != nil {
			return err
		}
		if err = n.Restart(ctx); err == nil {
			return nil
		}
	}
	return err
}

// Addr is host:port.
func (n *Node) Addr() string { return fmt.Sprintf("127.0.0.1:%d", n.port) }

// URL is what redisdb.Open takes, for this server alone.
func (n *Node) URL() string { return "redis://" + n.Addr() }

// Port is the port of Addr.
func (n *Node) Port() int { return n.port }

// Restart starts the server on its data again and waits until it answers.
func (n *Node) Restart(ctx context.Context) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("the system tests need redis-server on PATH (apt-get install redis-server): %w", err)
	}
	address := []string{"--port", fmt.Sprint(n.port), "--bind", "127.0.0.1", "--dir", n.dir}
	args := append(address, n.args...)
	if config := n.config(); exists(config) { // a sentinel's, which it rewrites
		args = append(append([]string{config}, address...), n.args...)
	}
	p, err := n.fleet.Start(Spec{Name: n.name, Path: path, Env: Environ(), Dir: n.dir, Args: args})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return Eventually(ctx, func() error {
		if !p.Running() {
			cancel() // it will not answer any more
			return fmt.Errorf("%s ended:\n%s", n.name, p.Log.Tail(20))
		}
		return ping("tcp", n.Addr())
	})
}

func (n *Node) config() string { return filepath.Join(n.dir, "sentinel.conf") }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Kill ends the server at once.
func (n *Node) Kill(ctx context.Context) error {
	p, err := n.fleet.Process(n.name)
	if err != nil {
		return err
	}
	return p.Kill(ctx)
}

// Freeze stops the server where it is, and Thaw lets it go on: its connections
// stay, and nobody answers on them.
func (n *Node) Freeze() error { return n.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (n *Node) Thaw() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(sig syscall.Signal) error {
	p, err := n.fleet.Process(n.name)
	if err != nil {
		return err
	}
	return p.Signal(sig)
}

// Remove deletes the data. The fleet must be closed.
func (n *Node) Remove() error { return os.RemoveAll(n.dir) }

func removeAll(nodes []*Node) error {
	var errs []error
	for _, n := range nodes {
		errs = append(errs, n.Remove())
	}
	return errors.Join(errs...)
}

// ping says whether a server answers to PING.
func ping(network, addr string) error {
	conn, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	reply := make([]byte, 7)
	if _, err := conn.Read(reply); err != nil {
		return err
	}
	if string(reply) != "+PONG\r\n" {
		return fmt.Errorf("redis-server at %s answers %q to PING", addr, reply)
	}
	return nil
}
