// Package redisdb opens the Redis that everything meets in, and defines the
// [Step] by which two packages take part in one atomic script without knowing
// each other's keys.
//
// go-redis is the driver: the one that asynq uses, so the process keeps one
// kind of connection.
package redisdb

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

// Open connects to NIGHTSHIFT_REDIS_URL. Accepted forms:
//
//	redis://[user:password@]host:port[/db]
//	rediss://…                                      the same over TLS
//	unix:///path/to/redis.sock[?db=N]
//	redis+sentinel://[user:password@]h1:p1,h2:p2/master-name[/db]
//	redis+cluster://[user:password@]h1:p1,h2:p2     (rediss+… for TLS)
//
// It does not wait for the server: a service starts without Redis, says so in
// /readyz, and works as soon as Redis answers. adjust may change the options of
// this one client, its timeouts for example.
func Open(rawURL string, adjust ...func(*redis.UniversalOptions)) (redis.UniversalClient, error) {
	opts, err := options(rawURL)
	if err != nil {
		return nil, err
	}
	for _, change := range adjust {
		change(opts)
	}
	silence()
	if !opts.IsClusterMode {
		return redis.NewUniversalClient(opts), nil
	}
	cluster := opts.Cluster()
	cluster.ClusterStateReloadInterval = clusterReload
	return redis.NewClusterClient(cluster), nil
}

// Buffers of a connection, in bytes; go-redis would take 32 KiB for each.
const (
	readBuffer  = 8 << 10
	writeBuffer = 16 << 10
)

// clusterReload is how often a client that is used asks a cluster who is master
// of what. A dead master cannot say that it is none any more, and go-redis would
// call it for a minute after its replica has taken over.
const clusterReload = time.Second

// silence keeps go-redis from writing to stderr by itself. What it has to say
// (a server that does not answer, a connection that broke) the failing commands
// return as errors, and their callers log those with what they were doing.
var silence = sync.OnceFunc(func() { redis.SetLogger(mute{}) })

type mute struct{}

func (mute) Printf(context.Context, string, ...any) {}

// options translates a URL. Timeouts are explicit, because the library's
// defaults (5 s, four tries) add up to longer than a caller of ours waits.
func options(rawURL string) (*redis.UniversalOptions, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// url.Parse repeats the input, which may hold a password.
		return nil, fault.New(fault.Invalid, "the Redis URL cannot be read; it looks like redis://user:password@host:6379/0")
	}
	o := &redis.UniversalOptions{
		DialTimeout:           2 * time.Second,
		ReadTimeout:           3 * time.Second,
		WriteTimeout:          3 * time.Second,
		MaxRetries:            2,
		ContextTimeoutEnabled: true,
		// A user with no more rights than it needs may not say what library it is.
		DisableIdentity: true,
		// Each connection has its buffers for as long as it lives, and a busy worker has
		// some dozens of connections. Nearly all commands and answers are short; those
		// that are not pass in a few pieces.
		ReadBufferSize:  readBuffer,
		WriteBufferSize: writeBuffer,
		// Pipelines take connections like everything else. Otherwise go-redis has more of
		// them for these, with buffers of 128 KiB.
		PipelinePoolSize: -1,
	}
	if u.User != nil {
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	base, variant, _ := strings.Cut(u.Scheme, "+")
	switch base {
	case "redis", "rediss":
	case "unix":
		plain, err := redis.ParseURL(rawURL)
		if err != nil {
			return nil, fault.New(fault.Invalid, "the Redis URL cannot be read; it looks like unix:///path/to/redis.sock?db=0")
		}
		o.Addrs, o.DB = []string{plain.Addr}, plain.DB
		o.Username, o.Password = plain.Username, plain.Password
		return o, nil
	default:
		return nil, fault.New(fault.Invalid, "the Redis URL has the scheme %q; use redis, rediss, unix, redis+sentinel or redis+cluster", u.Scheme)
	}
	if base == "rediss" {
		o.TLSConfig = newTLSConfig()
	}
	o.Addrs = strings.Split(u.Host, ",")
	path := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch variant {
	case "":
		if strings.Contains(u.Host, ",") {
			return nil, fault.New(fault.Invalid, "the Redis URL names several hosts; say redis+cluster:// or redis+sentinel://")
		}
		plain, err := redis.ParseURL(rawURL)
		if err != nil {
			return nil, fault.New(fault.Invalid, "the Redis URL cannot be read; it looks like redis://user:password@host:6379/0")
		}
		o.Addrs, o.DB = []string{plain.Addr}, plain.DB
	case "cluster":
		o.IsClusterMode = true
		// Tries at one node multiply with those at the next (MaxRedirects), and
		// with those to connect: some 20 s for a command that a dead master has.
		o.MaxRetries, o.DialerRetries = -1, 1
	case "sentinel":
		if path[0] == "" {
			return nil, fault.New(fault.Invalid, "the Redis URL for Sentinel must name the master: redis+sentinel://host:26379/mymaster")
		}
		o.MasterName = path[0]
		if len(path) > 1 {
			if _, err := fmt.Sscan(path[1], &o.DB); err != nil {
				return nil, fault.New(fault.Invalid, "the Redis URL's database %q is not a number", path[1])
			}
		}
	default:
		return nil, fault.New(fault.Invalid, "the Redis URL has the scheme %q; use redis, rediss, unix, redis+sentinel or redis+cluster", u.Scheme)
	}
	return o, nil
}

// Ping says whether Redis answers, as a fault that a caller can be shown.
func Ping(ctx context.Context, rdb redis.UniversalClient) error {
	if err := rdb.Ping(ctx).Err(); err != nil {
		message := "Redis does not answer"
		if advice := advise(err); advice != "" {
			message += ": " + advice
		}
		return fault.Wrap(err, fault.Unavailable, "%s", message).After(2 * time.Second)
	}
	return nil
}

// Now returns Redis's own clock: the one clock that all services share.
func Now(ctx context.Context, rdb redis.UniversalClient) (time.Time, error) {
	now, err := rdb.Time(ctx).Result()
	if err != nil {
		return time.Time{}, fault.Wrap(err, fault.Unavailable, "reading the clock of Redis")
	}
	return now.UTC(), nil
}
