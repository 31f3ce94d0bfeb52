package meter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis reads the counters of one redis-server.
type Redis struct {
	addr   string
	client *redis.Client
	reads  int64 // commands that were ours
}

// NewRedis connects to the server at host:port.
func NewRedis(ctx context.Context, addr string) (*Redis, error) {
	r := &Redis{addr: addr, client: redis.NewClient(&redis.Options{Addr: addr, PoolSize: 1, DisableIdentity: true})}
	// What comes with the connection is over before the first reading.
	return r, r.client.Ping(ctx).Err()
}

// Close closes the connection.
func (r *Redis) Close() { _ = r.client.Close() }

// Counters are what a server has done and holds.
type Counters struct {
	Commands int64            // executed, those of scripts included, those of the meter not
	ByName   map[string]int64 // the same, and the meter's
	In, Out  int64            // bytes on the wire
	Memory   int64            // bytes of data and overhead
	File     int64            // bytes of the append-only file
	Rewrites int64            // of that file
}

// Read reads the counters.
func (r *Redis) Read(ctx context.Context) (Counters, error) {
	text, err := r.client.Info(ctx, "everything").Result()
	if err != nil {
		return Counters{}, err
	}
	c, err := parseInfo(text)
	c.Commands -= r.reads
	r.reads++
	return c, err
}

func parseInfo(text string) (Counters, error) {
	c := Counters{ByName: map[string]int64{}}
	into := map[string]*int64{
		"total_commands_processed": &c.Commands, "total_net_input_bytes": &c.In, "total_net_output_bytes": &c.Out,
		"used_memory": &c.Memory, "aof_current_size": &c.File, "aof_rewrites": &c.Rewrites,
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		var err error
		if command, ok := strings.CutPrefix(name, "cmdstat_"); ok {
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			c.ByName[command], err = strconv.ParseInt(calls, 10, 64)
		} else if n, ok := into[name]; ok {
			*n, err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			return c, fmt.Errorf("INFO says %q: %w", line, err)
		}
	}
	return c, nil
}

// Watch counts the commands that clients send, by name, until it is stopped. What
// scripts call is not among them.
type Watch struct {
	conn net.Conn
	done chan struct{}
	sent map[string]int
	err  error
}

// StartWatch begins to listen to all commands.
func (r *Redis) StartWatch() (*Watch, error) {
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		return nil, err
	}
	w := &Watch{conn: conn, done: make(chan struct{}), sent: map[string]int{}}
	lines := bufio.NewReaderSize(conn, 1<<20)
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if ok, err := lines.ReadString('\n'); err != nil || ok != "+OK\r\n" {
		return nil, errors.Join(fmt.Errorf("MONITOR is answered %q", ok), err, conn.Close())
	}
	go w.listen(lines)
	return w, nil
}

func (w *Watch) listen(lines *bufio.Reader) {
	defer close(w.done)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			w.err = err
			return
		}
		if name := sentCommand(line); name != "" {
			w.sent[name]++
		}
	}
}

// Stop returns what was sent until now.
func (w *Watch) Stop() (map[string]int, error) {
	_ = w.conn.SetReadDeadline(time.Now())
	<-w.done
	_ = w.conn.Close()
	if !errors.Is(w.err, os.ErrDeadlineExceeded) {
		return nil, w.err
	}
	return w.sent, nil
}

// sentCommand is the command in a line of MONITOR, or "" for one of a script:
//
//	+1700000000.123456 [0 127.0.0.1:6000] "get" "key"
func sentCommand(line string) string {
	_, line, _ = strings.Cut(line, " [")
	from, line, ok := strings.Cut(line, `] "`)
	if !ok || strings.HasSuffix(from, " lua") {
		return ""
	}
	name, _, _ := strings.Cut(line, `"`)
	return strings.ToLower(name)
}
